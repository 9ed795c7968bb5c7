/** Kysely over node pg: the query builder reads, `sql` appends and looks back; introspection, streaming, a plugin. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { CamelCasePlugin, Kysely, PostgresDialect, sql } from 'kysely';
import pg from 'pg';
import Cursor from 'pg-cursor';
import { check, finish, sqlstate } from '../checks.mjs';

const lock = createRequire(import.meta.url)('./package-lock.json');
const { version } = lock.packages['node_modules/kysely'];
const ID = 'kysely-1';
const ADMITTED = new Date('2026-01-02T03:04:05.678Z');

const dialect = () => new PostgresDialect({ pool: new pg.Pool({ ssl: false, max: 4 }), cursor: Cursor });
const db = new Kysely({ dialect: dialect() });
const update = (on, id, name) =>
  sql`INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES (${id}, ${name})
      RETURNING version, position, event_id`
    .execute(on)
    .then(({ rows }) => rows[0]);
const nameOf = (on, id) =>
  on
    .selectFrom('patient')
    .select('last_name')
    .where('aggregate_id', '=', id)
    .executeTakeFirst()
    .then((row) => row?.last_name);
const pause = () => new Promise((resolve) => setTimeout(resolve, 20));
let first;
let between;

await check('append with sql', async () => {
  const { rows } = await sql`INSERT INTO patient EVENTS patient_created
    (aggregate_id, first_name, last_name, birthdate, weight, admitted_at, smoker, visits)
    VALUES (${ID}, 'Ada', 'King', '1815-12-10', ${'61.500'}, ${ADMITTED}, ${true}, ${3})
    RETURNING version, position, event_id`.execute(db);
  assert.equal(rows[0].version, '1');
  [first] = rows;
});

await check('append again', async () => {
  await pause();
  between = new Date();
  await pause();
  assert.equal((await update(db, ID, 'Lovelace')).version, '2');
});

await check('append without RETURNING: numAffectedRows', async () => {
  const result = await sql`INSERT INTO patient EVENTS patient_updated (aggregate_id, visits)
      VALUES ('kysely-2', 1), ('kysely-2', 2)`.execute(db);
  assert.equal(result.numAffectedRows, 2n);
});

await check('read state, typed', async () => {
  const row = await db
    .selectFrom('patient')
    .selectAll()
    .where('aggregate_id', '=', ID)
    .executeTakeFirstOrThrow();
  assert.deepEqual(
    [row.last_name, row.weight, row.admitted_at.getTime(), row.smoker, row.visits, row.version],
    ['Lovelace', '61.500', ADMITTED.getTime(), true, 3, '2'],
  );
  assert.equal(row.birthdate.toDateString(), 'Sun Dec 10 1815');
});

for (const [what, at] of [
  ['VERSION', () => 1],
  ['TIMESTAMP', () => between],
  ['POSITION', () => first.position],
])
  await check(`AS OF ${what}, in a built query`, async () => {
    const past = sql`patient AS OF ${sql.raw(what)} ${at()}`.as('past');
    const row = await db
      .selectFrom(past)
      .select(['past.last_name', 'past.version'])
      .where('past.aggregate_id', '=', ID)
      .executeTakeFirst();
    assert.deepEqual(row, { last_name: 'King', version: '1' });
  });

await check('the past joined with the present', async () => {
  const row = await db
    .selectFrom('patient as now')
    .innerJoin(sql`patient AS OF VERSION 1`.as('past'), 'past.aggregate_id', 'now.aggregate_id')
    .select(['now.last_name as name', 'past.last_name as was'])
    .where('now.aggregate_id', '=', ID)
    .executeTakeFirst();
  assert.deepEqual(row, { name: 'Lovelace', was: 'King' });
});

await check('history and events', async () => {
  const rows = await db
    .selectFrom('patient_history as h')
    .innerJoin('patient_events as e', (join) =>
      join.onRef('e.aggregate_id', '=', 'h.aggregate_id').onRef('e.version', '=', 'h.version'),
    )
    .select(['h.version', 'h.last_name', 'e.event_type'])
    .select(sql`e.payload ->> 'last_name'`.as('said'))
    .where('h.aggregate_id', '=', ID)
    .where('h.version', 'in', [1, 2])
    .orderBy('h.version', 'desc')
    .execute();
  assert.deepEqual(rows, [
    { version: '2', last_name: 'Lovelace', event_type: 'patient_updated', said: 'Lovelace' },
    { version: '1', last_name: 'King', event_type: 'patient_created', said: 'King' },
  ]);
});

await check('aggregates, CASE, json, CTE, HAVING, DISTINCT ON', async () => {
  const row = await db
    .with('heavy', (query) => query.selectFrom('patient').selectAll().where('weight', '>', 1))
    .selectFrom('heavy')
    .select(({ fn, eb }) => [
      fn.countAll().as('n'),
      fn.avg('weight').as('mean'),
      fn.sum(eb.case().when('smoker', '=', true).then(1).else(0).end()).as('smokers'),
      fn.max('admitted_at').as('last'),
    ])
    .where('aggregate_id', '=', ID)
    .groupBy('aggregate_id')
    .having(({ fn }) => fn.countAll(), '>', 0)
    .executeTakeFirst();
  assert.deepEqual([row.n, Number(row.mean), row.smokers], ['1', 61.5, '1']);
  assert.equal(row.last.getTime(), ADMITTED.getTime());
  const latest = await db
    .selectFrom('patient_history')
    .distinctOn('aggregate_id')
    .select(['aggregate_id', 'version'])
    .where('aggregate_id', '=', ID)
    .orderBy('aggregate_id')
    .orderBy('version', 'desc')
    .execute();
  assert.deepEqual(latest, [{ aggregate_id: ID, version: '2' }]);
});

await check('the builder writes nothing: INSERT, UPDATE, DELETE, MERGE are 0A000', async () => {
  const row = { aggregate_id: 'x', last_name: 'x' };
  const states = [
    await sqlstate(db.insertInto('patient').values(row).execute()),
    await sqlstate(db.updateTable('patient').set({ visits: 1 }).where('aggregate_id', '=', ID).execute()),
    await sqlstate(db.deleteFrom('patient').where('aggregate_id', '=', ID).execute()),
    await sqlstate(
      db
        .mergeInto('patient')
        .using('patient as source', 'source.aggregate_id', 'patient.aggregate_id')
        .whenMatched()
        .thenDelete()
        .execute(),
    ),
    await sqlstate(db.schema.createTable('other').addColumn('id', 'integer').execute()),
  ];
  assert.deepEqual(states, ['0A000', '0A000', '0A000', '0A000', '0A000']);
  assert.equal(await nameOf(db, ID), 'Lovelace');
});

await check('errors 42703, 42P01, 40001, and goes on', async () => {
  const appended = (more) => sql`INSERT INTO patient EVENTS patient_updated ${more}`.execute(db);
  assert.equal(await sqlstate(appended(sql`(aggregate_id, nope) VALUES (${ID}, 1)`)), '42703');
  assert.equal(await sqlstate(db.selectFrom('nobody').selectAll().execute()), '42P01');
  const expected = appended(sql`(aggregate_id, visits) VALUES (${ID}, 1) EXPECT VERSION ${9}`);
  assert.equal(await sqlstate(expected), '40001');
  assert.equal(await nameOf(db, ID), 'Lovelace');
});

await check('transaction: reads its own writes, rolls back on a throw', async () => {
  const failure = await db
    .transaction()
    .execute(async (transaction) => {
      await update(transaction, ID, 'Byron');
      throw new Error(await nameOf(transaction, ID));
    })
    .catch((error) => error);
  assert.equal(failure.message, 'Byron');
  assert.equal(await nameOf(db, ID), 'Lovelace');
});

await check('controlled transaction with a savepoint', async () => {
  const transaction = await db.startTransaction().setIsolationLevel('repeatable read').execute();
  await update(transaction, 'kysely-3', 'outer');
  const inner = await transaction.savepoint('inner').execute();
  await update(inner, 'kysely-3', 'inner');
  await (await inner.rollbackToSavepoint('inner').execute()).commit().execute();
  assert.equal(await nameOf(db, 'kysely-3'), 'outer');
});

await check('stream through a cursor', async () => {
  const values = sql.join(Array.from({ length: 200 }, (_, n) => sql`(${`kysely-many-${n}`}, ${n})`));
  await sql`INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES ${values}`.execute(db);
  let n = 0;
  const many = db
    .selectFrom('patient')
    .select('visits')
    .where('aggregate_id', 'like', 'kysely-many-%')
    .orderBy('visits');
  for await (const row of many.stream(30)) assert.equal(row.visits, n++);
  assert.equal(n, 200);
});

await check('introspection: schemas, tables, views, types', async () => {
  const schemas = await db.introspection.getSchemas();
  assert.ok(schemas.some(({ name }) => name === 'eventful'));
  const tables = await db.introspection.getTables();
  const patient = tables.find(({ name, schema }) => name === 'patient' && schema === 'public');
  assert.equal(patient.isView, false);
  assert.deepEqual(
    patient.columns.slice(5).map(({ name, dataType, isNullable }) => [name, dataType, isNullable]),
    [
      ['first_name', 'text', true],
      ['last_name', 'text', true],
      ['birthdate', 'date', true],
      ['weight', 'numeric', true],
      ['admitted_at', 'timestamptz', true],
      ['smoker', 'bool', true],
      ['visits', 'int4', true],
    ],
  );
  assert.equal(tables.find(({ name }) => name === 'patient_events').isView, true);
});

await check('CamelCasePlugin over the same tables', async () => {
  const camel = new Kysely({ dialect: dialect(), plugins: [new CamelCasePlugin()] });
  const row = await camel
    .selectFrom('patient')
    .select(['lastName', 'admittedAt'])
    .where('aggregateId', '=', ID)
    .executeTakeFirst();
  await camel.destroy();
  assert.deepEqual(row, { lastName: 'Lovelace', admittedAt: ADMITTED });
});

await check('explain', async () => {
  const plan = await db.selectFrom('patient').selectAll().explain();
  assert.match(plan.map((row) => row['QUERY PLAN']).join('\n'), /Scan on patient/);
});

await db.destroy();
finish(`kysely ${version}`);
