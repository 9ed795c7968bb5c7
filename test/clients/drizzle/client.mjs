/** Drizzle over node pg and postgres.js: mapped tables and views read, `sql` appends and looks back; `drizzle-kit pull`. */
import { spawnSync } from 'node:child_process';
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { and, avg, count, desc, eq, gt, inArray, relations, sql } from 'drizzle-orm';
import { drizzle as overPg } from 'drizzle-orm/node-postgres';
import { drizzle as overPostgresJs } from 'drizzle-orm/postgres-js';
import {
  bigint,
  boolean,
  date,
  integer,
  jsonb,
  numeric,
  pgTable,
  pgView,
  text,
  timestamp,
} from 'drizzle-orm/pg-core';
import pg from 'pg';
import postgres from 'postgres';
import { check, finish, sqlstate } from '../checks.mjs';

const lock = createRequire(import.meta.url)('./package-lock.json');
const { version } = lock.packages['node_modules/drizzle-orm'];
const ADMITTED = new Date('2026-01-02T03:04:05.678Z');
const { PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE } = process.env;

const state = {
  aggregateId: text('aggregate_id').primaryKey(),
  version: bigint({ mode: 'number' }).notNull(),
  firstName: text('first_name'),
  lastName: text('last_name'),
  birthdate: date(),
  weight: numeric({ precision: 8, scale: 3 }),
  admittedAt: timestamp('admitted_at', { withTimezone: true }),
  smoker: boolean(),
  visits: integer(),
};
const patient = pgTable('patient', state);
const history = pgView('patient_history', {
  aggregateId: text('aggregate_id'),
  version: bigint({ mode: 'number' }),
  lastName: text('last_name'),
  validTo: timestamp('valid_to', { withTimezone: true }),
}).existing();
/** A view mapped as a table, for relational queries. */
const event = pgTable('patient_events', {
  position: bigint({ mode: 'number' }).primaryKey(),
  aggregateId: text('aggregate_id'),
  version: bigint({ mode: 'number' }),
  eventType: text('event_type'),
  payload: jsonb(),
});
const schema = {
  patient,
  event,
  patientRelations: relations(patient, ({ many }) => ({ events: many(event) })),
  eventRelations: relations(event, ({ one }) => ({
    patient: one(patient, { fields: [event.aggregateId], references: [patient.aggregateId] }),
  })),
};

/** Drizzle wraps the driver's error. */
const stateOf = (promise) => sqlstate(promise.catch((error) => Promise.reject(error.cause ?? error)));
/** Drizzle wants plain columns only of tables it sees in FROM, and it does not see into `sql`. */
const raw = (column) => sql`${column}`.mapWith(column);
/** What `execute` gives differs by driver. */
const rowsOf = (result) => result.rows ?? [...result];

async function client(driver, db) {
  const own = `drizzle-${driver}-1`;
  const update = (on, id, name) =>
    on
      .execute(
        sql`INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES (${id}, ${name})
            RETURNING version, position, event_id`,
      )
      .then((result) => rowsOf(result)[0]);
  const nameOf = (on, id) =>
    on
      .select({ name: patient.lastName })
      .from(patient)
      .where(eq(patient.aggregateId, id))
      .then(([row]) => row?.name);
  const pause = () => new Promise((resolve) => setTimeout(resolve, 20));
  const run = (name, body) => check(`${driver}: ${name}`, body);
  let first;
  let between;

  await run('append with sql', async () => {
    // Drizzle hands parameters of raw SQL to the driver as they are; postgres.js takes no Date there.
    const result = await db.execute(sql`INSERT INTO patient EVENTS patient_created
      (aggregate_id, first_name, last_name, birthdate, weight, admitted_at, smoker, visits)
      VALUES (${own}, 'Ada', 'King', '1815-12-10', ${'61.500'}, ${ADMITTED.toISOString()}, ${true}, ${3})
      RETURNING version, position, event_id`);
    [first] = rowsOf(result);
    assert.equal(Number(first.version), 1);
  });

  await run('append again', async () => {
    await pause();
    between = new Date().toISOString();
    await pause();
    assert.equal(Number((await update(db, own, 'Lovelace')).version), 2);
  });

  await run('read state, typed', async () => {
    const [row] = await db.select().from(patient).where(eq(patient.aggregateId, own));
    assert.deepEqual(row, {
      aggregateId: own,
      version: 2,
      firstName: 'Ada',
      lastName: 'Lovelace',
      birthdate: '1815-12-10',
      weight: '61.500',
      admittedAt: ADMITTED,
      smoker: true,
      visits: 3,
    });
  });

  for (const [what, at] of [
    ['VERSION', () => 1],
    ['TIMESTAMP', () => between],
    ['POSITION', () => first.position],
  ])
    await run(`AS OF ${what}, in a built query`, async () => {
      const rows = await db
        .select({ name: raw(patient.lastName), version: raw(patient.version) })
        .from(sql`${patient} AS OF ${sql.raw(what)} ${at()}`)
        .where(eq(patient.aggregateId, own));
      assert.deepEqual(rows, [{ name: 'King', version: 1 }]);
    });

  await run('history and events, a view joined', async () => {
    const rows = await db
      .select({
        version: history.version,
        name: history.lastName,
        type: event.eventType,
        said: event.payload,
      })
      .from(history)
      .innerJoin(event, and(eq(event.aggregateId, history.aggregateId), eq(event.version, history.version)))
      .where(and(eq(history.aggregateId, own), inArray(history.version, [1, 2])))
      .orderBy(desc(history.version));
    assert.deepEqual(
      rows.map(({ version: n, name, type }) => [n, name, type]),
      [
        [2, 'Lovelace', 'patient_updated'],
        [1, 'King', 'patient_created'],
      ],
    );
    assert.deepEqual(rows[0].said, { last_name: 'Lovelace' });
  });

  await run('relational query: an aggregate with its events', async () => {
    const found = await db.query.patient.findFirst({
      columns: { lastName: true, admittedAt: true },
      with: { events: { columns: { version: true, payload: true }, orderBy: desc(event.version), limit: 1 } },
      where: eq(patient.aggregateId, own),
    });
    assert.deepEqual(found, {
      lastName: 'Lovelace',
      admittedAt: ADMITTED,
      events: [{ version: 2, payload: { last_name: 'Lovelace' } }],
    });
  });

  await run('aggregates, a CTE, $count', async () => {
    const heavy = db.$with('heavy').as(db.select().from(patient).where(gt(patient.weight, '1')));
    const rows = await db
      .with(heavy)
      .select({ smoker: heavy.smoker, n: count(), mean: avg(heavy.weight) })
      .from(heavy)
      .where(eq(heavy.aggregateId, own))
      .groupBy(heavy.smoker);
    assert.deepEqual([rows[0].smoker, rows[0].n, Number(rows[0].mean)], [true, 1, 61.5]);
    assert.equal(await db.$count(patient, eq(patient.aggregateId, own)), 1);
  });

  await run('a prepared query, many times', async () => {
    const query = db
      .select({ name: history.lastName })
      .from(history)
      .where(and(eq(history.aggregateId, own), eq(history.version, sql.placeholder('version'))))
      .prepare(`${driver}_history`);
    for (let round = 0; round < 8; round++)
      assert.deepEqual(await query.execute({ version: (round % 2) + 1 }), [
        { name: round % 2 === 0 ? 'King' : 'Lovelace' },
      ]);
  });

  await run('the mapped table takes no writes: 0A000', async () => {
    const row = { aggregateId: 'x', version: 1, lastName: 'x' };
    const mine = eq(patient.aggregateId, own);
    assert.deepEqual(
      [
        await stateOf(db.insert(patient).values(row)),
        await stateOf(
          db.insert(patient).values(row).onConflictDoUpdate({ target: patient.aggregateId, set: row }),
        ),
        await stateOf(db.update(patient).set({ visits: 1 }).where(mine)),
        await stateOf(db.delete(patient).where(mine)),
      ],
      ['0A000', '0A000', '0A000', '0A000'],
    );
    assert.equal(await nameOf(db, own), 'Lovelace');
  });

  await run('errors 42703, 40001, and goes on', async () => {
    const append = (more) => db.execute(sql`INSERT INTO patient EVENTS patient_updated ${more}`);
    assert.equal(await stateOf(append(sql`(aggregate_id, nope) VALUES (${own}, 1)`)), '42703');
    const expected = append(sql`(aggregate_id, visits) VALUES (${own}, 1) EXPECT VERSION ${9}`);
    assert.equal(await stateOf(expected), '40001');
    assert.equal(await nameOf(db, own), 'Lovelace');
  });

  await run('transaction: reads its own writes, rolls back', async () => {
    const seen = [];
    await assert.rejects(
      db.transaction(async (transaction) => {
        await update(transaction, own, 'Byron');
        seen.push(await nameOf(transaction, own));
        transaction.rollback();
      }),
    );
    seen.push(await nameOf(db, own));
    assert.deepEqual(seen, ['Byron', 'Lovelace']);
  });

  await run('transaction: nested, as a savepoint, at an isolation level', async () => {
    await db.transaction(
      async (transaction) => {
        await update(transaction, `${own}-nested`, 'outer');
        await transaction
          .transaction(async (inner) => {
            await update(inner, `${own}-nested`, 'inner');
            inner.rollback();
          })
          .catch(() => undefined);
      },
      { isolationLevel: 'repeatable read' },
    );
    assert.equal(await nameOf(db, `${own}-nested`), 'outer');
  });
}

const pool = new pg.Pool({ ssl: false, max: 4 });
await client('pg', overPg(pool, { schema }));
await pool.end();

const connection = postgres({
  host: PGHOST,
  port: Number(PGPORT),
  user: PGUSER,
  password: PGPASSWORD,
  database: PGDATABASE,
  ssl: false,
  max: 4,
});
await client('postgres-js', overPostgresJs(connection, { schema }));
await connection.end();

await check('drizzle-kit pull writes the tables and views it finds', async () => {
  const out = mkdtempSync(join(tmpdir(), 'eventful-drizzle-'));
  const url = `postgresql://${PGUSER}:${encodeURIComponent(PGPASSWORD)}@${PGHOST}:${PGPORT}/${PGDATABASE}`;
  try {
    // Another package than drizzle-orm: it runs in its own process and prints a spinner.
    const kit = join(import.meta.dirname ?? '.', 'node_modules', '.bin', 'drizzle-kit');
    const { status, stdout, stderr } = spawnSync(
      kit,
      ['pull', '--dialect=postgresql', `--url=${url}`, `--out=${out}`],
      { encoding: 'utf8', timeout: 60_000 },
    );
    assert.equal(status, 0, `${stdout}${stderr}`);
    const written = readFileSync(join(out, 'schema.ts'), 'utf8');
    assert.match(written, /export const patient = pgTable\("patient"/);
    // Without the key: drizzle-kit looks for it where PostgreSQL shows it to a table's owner alone.
    assert.match(written, /aggregateId: text\("aggregate_id"\)\.notNull\(\)/);
    assert.match(written, /weight: numeric\(\{ precision: 8, scale: {2}3 \}\)/);
    assert.match(written, /admittedAt: timestamp\("admitted_at", \{ withTimezone: true/);
    assert.match(written, /export const patientHistory = pgView\("patient_history"/);
  } finally {
    rmSync(out, { recursive: true });
  }
});

finish(`drizzle-orm ${version}, drizzle-kit ${lock.packages['node_modules/drizzle-kit'].version}`);
