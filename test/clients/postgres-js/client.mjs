/** postgres.js: describes before it binds, pipelines, dynamic helpers, cursors, LISTEN, COPY streams. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import postgres from 'postgres';
import { check, finish, sqlstate } from '../checks.mjs';

const lock = createRequire(import.meta.url)('./package-lock.json');
const { version } = lock.packages['node_modules/postgres'];
const ID = 'postgres-js-1';
const ADMITTED = new Date('2026-01-02T03:04:05.678Z');
const BIRTH = new Date('1815-12-10T00:00:00Z');
const environment = process.env;
const connect = (more = {}) =>
  postgres({
    host: environment.PGHOST,
    port: Number(environment.PGPORT),
    user: environment.PGUSER,
    password: environment.PGPASSWORD,
    database: environment.PGDATABASE,
    ssl: false,
    max: 4,
    onnotice: () => undefined,
    ...more,
  });
const sql = connect();
const update = (db, id, name) =>
  db`INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES (${id}, ${name})
     RETURNING version, position, event_id`;
const nameOf = async (db, id) =>
  (await db`SELECT last_name FROM patient WHERE aggregate_id = ${id}`)[0]?.last_name;
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
let first;
let between;

await check('append', async () => {
  const rows = await sql`INSERT INTO patient EVENTS patient_created
    (aggregate_id, first_name, last_name, birthdate, weight, admitted_at, smoker, visits)
    VALUES (${ID}, ${'Ada'}, ${'King'}, ${'1815-12-10'}, ${'61.500'}, ${ADMITTED}, ${true}, ${3})
    RETURNING version, position, event_id`;
  assert.deepEqual([rows.count, rows.command, rows[0].version], [1, 'INSERT', '1']);
  assert.ok(BigInt(rows[0].position) > 0n);
  [first] = rows;
});

await check('append again', async () => {
  await pause(20);
  between = new Date();
  await pause(20);
  assert.equal((await update(sql, ID, 'Lovelace'))[0].version, '2');
});

await check('a Date for a date field', async () => {
  await sql`INSERT INTO patient EVENTS patient_created (aggregate_id, birthdate) VALUES ('postgres-js-date', ${BIRTH})`;
  const [row] = await sql`SELECT birthdate FROM patient WHERE aggregate_id = 'postgres-js-date'`;
  assert.equal(row.birthdate.getTime(), BIRTH.getTime());
});

await check('read state, typed', async () => {
  const [row] = await sql`SELECT * FROM patient WHERE aggregate_id = ${ID}`;
  assert.deepEqual(
    [row.last_name, row.birthdate.getTime(), row.weight, row.admitted_at.getTime(), row.smoker, row.visits],
    ['Lovelace', BIRTH.getTime(), '61.500', ADMITTED.getTime(), true, 3],
  );
});

await check('AS OF VERSION $n', async () => {
  const rows = await sql`SELECT last_name FROM patient AS OF VERSION ${1} WHERE aggregate_id = ${ID}`;
  assert.deepEqual([...rows], [{ last_name: 'King' }]);
});

await check('AS OF TIMESTAMP $n', async () => {
  const rows =
    await sql`SELECT p.last_name FROM patient AS OF TIMESTAMP ${between} p WHERE p.aggregate_id = ${ID}`;
  assert.deepEqual([...rows], [{ last_name: 'King' }]);
});

await check('AS OF POSITION $n', async () => {
  const rows =
    await sql`SELECT last_name FROM patient AS OF POSITION ${first.position} WHERE aggregate_id = ${ID}`;
  assert.deepEqual([...rows], [{ last_name: 'King' }]);
});

await check('history and events', async () => {
  const history =
    await sql`SELECT last_name FROM patient_history WHERE aggregate_id = ${ID} ORDER BY version`;
  assert.deepEqual(
    history.map((row) => row.last_name),
    ['King', 'Lovelace'],
  );
  const events =
    await sql`SELECT payload, event_id FROM patient_events WHERE aggregate_id = ${ID} ORDER BY version`;
  assert.deepEqual([events[0].event_id, events[1].payload], [first.event_id, { last_name: 'Lovelace' }]);
});

await check('error: unknown field 42703', async () => {
  const failed = sql`INSERT INTO patient EVENTS patient_created (aggregate_id, nope) VALUES (${ID}, ${'x'})`;
  assert.equal(await sqlstate(failed), '42703');
});

await check('error: UPDATE 0A000', async () => {
  assert.equal(await sqlstate(sql`UPDATE patient SET visits = ${1}`), '0A000');
});

await check('error: expected version 40001', async () => {
  const failed = sql`INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES (${ID}, ${1}) EXPECT VERSION ${9}`;
  assert.equal(await sqlstate(failed), '40001');
});

await check('goes on after errors', async () => {
  assert.equal(await nameOf(sql, ID), 'Lovelace');
});

await check('transaction: reads its own writes, rolls back', async () => {
  const failed = sql.begin(async (transaction) => {
    await update(transaction, ID, 'Byron');
    assert.equal(await nameOf(transaction, ID), 'Byron');
    throw new Error('enough');
  });
  await assert.rejects(failed, { message: 'enough' });
  assert.equal(await nameOf(sql, ID), 'Lovelace');
});

await check('transaction: savepoint, commits several aggregates', async () => {
  await sql.begin(async (transaction) => {
    await update(transaction, 'postgres-js-2', 'outer');
    const inner = transaction.savepoint(async (savepoint) => {
      await update(savepoint, 'postgres-js-2', 'inner');
      await savepoint`DELETE FROM patient`;
    });
    assert.equal(await sqlstate(inner), '0A000');
    await update(transaction, 'postgres-js-3', 'other');
  });
  assert.deepEqual(
    [await nameOf(sql, 'postgres-js-2'), await nameOf(sql, 'postgres-js-3')],
    ['outer', 'other'],
  );
});

await check('transaction: pipelined', async () => {
  const rows = await sql.begin((transaction) =>
    Array.from({ length: 20 }, (_, index) => update(transaction, 'postgres-js-4', `n${index}`)),
  );
  assert.deepEqual(
    rows.map(([row]) => Number(row.version)),
    Array.from({ length: 20 }, (_, index) => index + 1),
  );
});

await check('transaction: read only refuses appends 25006', async () => {
  const failed = sql.begin('read only', (transaction) => update(transaction, ID, 'x'));
  assert.equal(await sqlstate(failed), '25006');
});

await check('describe()', async () => {
  const statement =
    await sql`SELECT version, weight FROM patient AS OF VERSION ${1} WHERE aggregate_id = ${ID}`.describe();
  assert.deepEqual(statement.types, [20, 25]);
  assert.deepEqual(
    statement.columns.map(({ name, type }) => [name, type]),
    [
      ['version', 20],
      ['weight', 1700],
    ],
  );
});

await check('rows by the helper', async () => {
  const rows = Array.from({ length: 100 }, (_, index) => ({
    aggregate_id: `postgres-js-many-${index}`,
    visits: index,
  }));
  const result = await sql`INSERT INTO patient EVENTS patient_updated ${sql(rows)} RETURNING version`;
  assert.equal(result.count, 100);
});

await check('an array', async () => {
  const ids = ['postgres-js-many-1', 'postgres-js-many-2'];
  const rows = await sql`SELECT visits FROM patient WHERE aggregate_id = ANY(${ids}) ORDER BY visits`;
  assert.deepEqual(
    rows.map((row) => row.visits),
    [1, 2],
  );
  const inside = await sql`SELECT visits FROM patient WHERE aggregate_id IN ${sql(ids)} ORDER BY visits`;
  assert.equal(inside.length, 2);
});

await check('JSON payload, idempotent', async () => {
  const id = '7c1f0a8e-60d1-4d3b-8a6e-2f6f8b1f0c11';
  for (let round = 0; round < 2; round++)
    await sql`INSERT INTO patient EVENTS (aggregate_id, event_type, payload, event_id)
      VALUES ('postgres-js-5', 'patient_updated', ${sql.json({ last_name: 'Hopper' })}, ${id}) ON CONFLICT (event_id) DO NOTHING`;
  const [row] = await sql`SELECT version, last_name FROM patient WHERE aggregate_id = 'postgres-js-5'`;
  assert.deepEqual(row, { version: '1', last_name: 'Hopper' });
});

await check('cursor', async () => {
  const seen = [];
  await sql`SELECT visits FROM patient WHERE aggregate_id LIKE 'postgres-js-many-%' ORDER BY visits`.cursor(
    30,
    (rows) => {
      seen.push(rows.length);
    },
  );
  assert.deepEqual(seen, [30, 30, 30, 10]);
});

await check('cursor over history', async () => {
  let rows = 0;
  for await (const part of sql`SELECT version FROM patient_history WHERE aggregate_id = 'postgres-js-4' ORDER BY version`.cursor(
    7,
  ))
    for (const row of part) assert.equal(row.version, String(++rows));
  assert.equal(rows, 20);
});

await check('forEach, values, raw', async () => {
  let rows = 0;
  await sql`SELECT generate_series(1, 50)`.forEach(() => rows++);
  assert.equal(rows, 50);
  assert.deepEqual([...(await sql`SELECT 1, 'x'`.values())], [[1, 'x']]);
});

await check('simple(), several statements', async () => {
  const results =
    await sql`INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES ('postgres-js-6', 1);
    SELECT visits FROM patient WHERE aggregate_id = 'postgres-js-6'`.simple();
  assert.equal(Number(results[1][0].visits), 1);
});

await check('without prepared statements', async () => {
  const other = connect({ prepare: false });
  for (let number = 1; number <= 3; number++)
    assert.equal((await update(other, 'postgres-js-7', 'x'))[0].version, String(number));
  await other.end();
});

await check('COPY EVENTS in', async () => {
  const lines = Array.from({ length: 1000 }, (_, index) => `postgres-js-copy-${index}\tName ${index}\n`);
  const sink = await sql`COPY patient EVENTS patient_updated (aggregate_id, last_name) FROM STDIN`.writable();
  await pipeline(Readable.from(lines), sink);
  assert.equal(await nameOf(sql, 'postgres-js-copy-77'), 'Name 77');
});

await check('COPY out', async () => {
  const source =
    await sql`COPY (SELECT last_name FROM patient WHERE aggregate_id = 'postgres-js-copy-77') TO STDOUT`.readable();
  const parts = [];
  for await (const part of source) parts.push(part);
  assert.equal(Buffer.concat(parts).toString(), 'Name 77\n');
});

await check('LISTEN', async () => {
  const heard = [];
  const { unlisten } = await sql.listen('patient', (payload) => heard.push(JSON.parse(payload)));
  await update(sql, 'postgres-js-8', 'x');
  for (let waited = 0; heard.length === 0 && waited < 5000; waited += 20) await pause(20);
  await unlisten();
  assert.equal(heard[0].aggregate_id, 'postgres-js-8');
});

await check('cancel 57014', async () => {
  const sleeping = sql`SELECT pg_sleep(30)`.execute();
  const state = sqlstate(sleeping);
  await pause(200);
  sleeping.cancel();
  assert.equal(await state, '57014');
});

await check('concurrent appends to one aggregate, pipelined', async () => {
  const rows = await Promise.all(
    Array.from({ length: 200 }, (_, index) => update(sql, 'postgres-js-9', `n${index}`)),
  );
  const versions = rows.map(([row]) => Number(row.version)).sort((a, b) => a - b);
  assert.deepEqual(
    versions,
    Array.from({ length: 200 }, (_, index) => index + 1),
  );
});

await check('connection parameters', async () => {
  const other = connect({ connection: { application_name: 'clients', statement_timeout: 150 } });
  assert.equal((await other`SHOW application_name`)[0].application_name, 'clients');
  assert.equal(await sqlstate(other`SELECT pg_sleep(5)`), '57014');
  await other.end();
});

await check('wrong password 28P01', async () => {
  const other = connect({ password: 'not a token' });
  assert.equal(await sqlstate(other`SELECT 1`), '28P01');
  await other.end();
});

await sql.end({ timeout: 1 });
finish(`postgres ${version}`);
