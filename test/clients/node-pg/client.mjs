/** node pg: text and binary, named statements, cursors, streams, LISTEN, cancellation. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import pg from 'pg';
import Cursor from 'pg-cursor';
import QueryStream from 'pg-query-stream';
import { check, finish, sqlstate } from '../checks.mjs';

const { version } = createRequire(import.meta.url)('pg/package.json');
const ID = 'node-pg-1';
const CREATED = `INSERT INTO patient EVENTS patient_created
  (aggregate_id, first_name, last_name, birthdate, weight, admitted_at, smoker, visits)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING version, position, event_id`;
const UPDATED = `INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES ($1, $2)
  RETURNING version, position, event_id`;
const ADMITTED = new Date('2026-01-02T03:04:05.678Z');

async function connect(config = {}) {
  const client = new pg.Client({ ssl: false, ...config });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

const client = await connect();
let first;

await check('append', async () => {
  const values = [ID, 'Ada', 'King', '1815-12-10', '61.500', ADMITTED, true, 3];
  const { rows, rowCount, command } = await client.query(CREATED, values);
  assert.deepEqual([rowCount, command, rows[0].version], [1, 'INSERT', '1']);
  assert.match(rows[0].event_id, /^[0-9a-f-]{36}$/);
  assert.ok(BigInt(rows[0].position) > 0n);
  [first] = rows;
});

let between;
await check('append again', async () => {
  await new Promise((resolve) => setTimeout(resolve, 20));
  between = new Date();
  await new Promise((resolve) => setTimeout(resolve, 20));
  const { rows } = await client.query(UPDATED, [ID, 'Lovelace']);
  assert.equal(rows[0].version, '2');
  assert.ok(BigInt(rows[0].position) > BigInt(first.position));
});

await check('read state, typed', async () => {
  const { rows, fields } = await client.query('SELECT * FROM patient WHERE aggregate_id = $1', [ID]);
  const [row] = rows;
  assert.equal(row.last_name, 'Lovelace');
  assert.equal(row.weight, '61.500');
  assert.equal(row.birthdate.toDateString(), 'Sun Dec 10 1815');
  assert.equal(row.admitted_at.getTime(), ADMITTED.getTime());
  assert.deepEqual([row.smoker, row.visits, row.archived], [true, 3, false]);
  assert.deepEqual(
    fields.slice(7).map(({ dataTypeID }) => dataTypeID),
    [1082, 1700, 1184, 16, 23],
  );
});

await check('AS OF VERSION $n', async () => {
  const sql = 'SELECT last_name FROM patient AS OF VERSION $1 WHERE aggregate_id = $2';
  const { rows } = await client.query(sql, [1, ID]);
  assert.deepEqual(rows, [{ last_name: 'King' }]);
});

await check('AS OF TIMESTAMP $n', async () => {
  const sql = 'SELECT p.last_name FROM patient AS OF TIMESTAMP $1 p WHERE p.aggregate_id = $2';
  const { rows } = await client.query(sql, [between, ID]);
  assert.deepEqual(rows, [{ last_name: 'King' }]);
});

await check('AS OF POSITION $n', async () => {
  const sql = 'SELECT last_name FROM patient AS OF POSITION $1 WHERE aggregate_id = $2';
  const { rows } = await client.query(sql, [first.position, ID]);
  assert.deepEqual(rows, [{ last_name: 'King' }]);
});

await check('history and events', async () => {
  const history = await client.query(
    'SELECT version, last_name FROM patient_history WHERE aggregate_id = $1 ORDER BY version',
    [ID],
  );
  assert.deepEqual(history.rows, [
    { version: '1', last_name: 'King' },
    { version: '2', last_name: 'Lovelace' },
  ]);
  const events = await client.query(
    'SELECT event_type, payload, event_id FROM patient_events WHERE aggregate_id = $1 ORDER BY version',
    [ID],
  );
  assert.equal(events.rows[0].event_id, first.event_id);
  assert.deepEqual(events.rows[1].payload, { last_name: 'Lovelace' });
});

await check('error: unknown field 42703', async () => {
  const sql = 'INSERT INTO patient EVENTS patient_created (aggregate_id, nope) VALUES ($1, $2)';
  assert.equal(await sqlstate(client.query(sql, [ID, 'x'])), '42703');
});

await check('error: UPDATE 0A000', async () => {
  const sql = 'UPDATE patient SET first_name = $1 WHERE aggregate_id = $2';
  assert.equal(await sqlstate(client.query(sql, ['x', ID])), '0A000');
});

await check('error: expected version 40001', async () => {
  const sql = `INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES ($1, $2) EXPECT VERSION $3`;
  const failure = await client.query(sql, [ID, 'Byron', 7]).catch((error) => error);
  assert.equal(failure.code, '40001');
  assert.match(failure.detail, /expected version 7, actual version 2/);
});

await check('goes on after errors', async () => {
  const { rows } = await client.query('SELECT version FROM patient WHERE aggregate_id = $1', [ID]);
  assert.deepEqual(rows, [{ version: '2' }]);
});

await check('transaction: reads its own writes, rolls back', async () => {
  await client.query('BEGIN');
  await client.query(UPDATED, [ID, 'Byron']);
  const inside = await client.query('SELECT last_name FROM patient WHERE aggregate_id = $1', [ID]);
  assert.equal(inside.rows[0].last_name, 'Byron');
  await client.query('ROLLBACK');
  const after = await client.query('SELECT last_name FROM patient WHERE aggregate_id = $1', [ID]);
  assert.equal(after.rows[0].last_name, 'Lovelace');
});

await check('transaction: commits several aggregates', async () => {
  await client.query('BEGIN');
  for (const number of [2, 3]) await client.query(UPDATED, [`node-pg-${number}`, `Name ${number}`]);
  await client.query('COMMIT');
  const sql = `SELECT count(*)::int AS n FROM patient WHERE aggregate_id = ANY($1)`;
  assert.equal((await client.query(sql, [['node-pg-2', 'node-pg-3']])).rows[0].n, 2);
});

await check('transaction: failed, 25P02 until ROLLBACK', async () => {
  await client.query('BEGIN');
  assert.equal(await sqlstate(client.query('DELETE FROM patient')), '0A000');
  assert.equal(await sqlstate(client.query('SELECT 1')), '25P02');
  const { command } = await client.query('COMMIT');
  assert.equal(command, 'ROLLBACK');
});

await check('idempotent append by event_id', async () => {
  const sql = `INSERT INTO patient EVENTS (aggregate_id, event_type, payload, event_id, metadata)
    VALUES ($1, 'patient_updated', $2, $3, $4) ON CONFLICT (event_id) DO NOTHING RETURNING version, event_id`;
  const values = [
    'node-pg-4',
    { last_name: 'Hopper' },
    'b4a0ad0e-3a1c-4b1c-9d59-0a8e1f0f2a11',
    { reason: 'test' },
  ];
  const one = await client.query(sql, values);
  assert.equal(one.rows[0].version, '1');
  await client.query(sql, values);
  const { rows } = await client.query(
    "SELECT version, metadata FROM patient_events WHERE aggregate_id = 'node-pg-4'",
  );
  assert.deepEqual(rows, [{ version: '1', metadata: { reason: 'test' } }]);
});

await check('named statement, used again', async () => {
  for (let version = 1; version <= 7; version++) {
    const { rows } = await client.query({
      name: 'append',
      text: UPDATED,
      values: ['node-pg-5', `v${version}`],
    });
    assert.equal(rows[0].version, String(version));
    const read = await client.query({
      name: 'look back',
      text: 'SELECT last_name FROM patient AS OF VERSION $1 WHERE aggregate_id = $2',
      values: [version, 'node-pg-5'],
    });
    assert.equal(read.rows[0].last_name, `v${version}`);
  }
});

await check('several statements in one query', async () => {
  const results = await client.query(
    `INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES ('node-pg-6', 1);
     SELECT visits FROM patient WHERE aggregate_id = 'node-pg-6';
     INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES ('node-pg-6', 2) RETURNING version`,
  );
  assert.deepEqual(
    results.map(({ command }) => command),
    ['INSERT', 'SELECT', 'INSERT'],
  );
  assert.equal(results[1].rows[0].visits, 1);
  assert.equal(results[2].rows[0].version, '2');
});

await check('rows as arrays, empty query, notices off', async () => {
  const { rows } = await client.query({ text: 'SELECT 1, NULL::date', rowMode: 'array' });
  assert.deepEqual(rows, [[1, null]]);
  assert.equal((await client.query('')).rows.length, 0);
});

// The driver reads binary values as UTF-8 first, so only those survive whose bytes are below 128.
await check('binary results', async () => {
  const sql = 'SELECT version, smoker, visits, first_name FROM patient';
  const state = { text: `${sql} WHERE aggregate_id = $1`, values: [ID], binary: true };
  const expected = [{ version: '2', smoker: true, visits: 3, first_name: 'Ada' }];
  assert.deepEqual((await client.query(state)).rows, expected);
  const back = { ...state, text: `${sql} AS OF VERSION 2 WHERE aggregate_id = $1` };
  assert.deepEqual((await client.query(back)).rows, expected);
});

await check('binary RETURNING', async () => {
  const { rows } = await client.query({ text: UPDATED, values: ['node-pg-7', 'x'], binary: true });
  assert.equal(rows[0].version, '1');
  assert.ok(BigInt(rows[0].position) > 0n);
});

await check('binary parameters', async () => {
  const id = Buffer.from('node-pg-8');
  await client.query('INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES ($1, $2)', [
    id,
    Buffer.from('Noether'),
  ]);
  const { rows } = await client.query("SELECT last_name FROM patient WHERE aggregate_id = 'node-pg-8'");
  assert.equal(rows[0].last_name, 'Noether');
});

await check('many rows in one append', async () => {
  const rows = Array.from({ length: 500 }, (_, index) => [`node-pg-many-${index}`, `Name ${index}`, index]);
  const places = rows.map((_, index) => `($${index * 3 + 1}, $${index * 3 + 2}, $${index * 3 + 3})`);
  const result = await client.query(
    `INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name, visits) VALUES ${places.join()}`,
    rows.flat(),
  );
  assert.equal(result.rowCount, 500);
});

const MANY =
  "SELECT aggregate_id, visits FROM patient WHERE aggregate_id LIKE 'node-pg-many-%' ORDER BY visits";

await check('pg-cursor', async () => {
  const cursor = client.query(new Cursor(MANY));
  const one = await cursor.read(100);
  const two = await cursor.read(150);
  assert.deepEqual([one.length, two.length, two[0].visits], [100, 150, 100]);
  await cursor.close();
  assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1);
});

await check('pg-cursor over history', async () => {
  const cursor = client.query(
    new Cursor('SELECT version, last_name FROM patient_history WHERE aggregate_id = $1 ORDER BY version', [
      'node-pg-5',
    ]),
  );
  const versions = [];
  for (let rows = await cursor.read(3); rows.length > 0; rows = await cursor.read(3))
    versions.push(rows.map((row) => Number(row.version)));
  await cursor.close();
  assert.deepEqual(versions, [[1, 2, 3], [4, 5, 6], [7]]);
});

await check('pg-cursor over RETURNING', async () => {
  const cursor = client.query(
    new Cursor(
      `INSERT INTO patient EVENTS patient_updated (aggregate_id, visits)
       VALUES ('node-pg-9', 1), ('node-pg-9', 2), ('node-pg-9', 3) RETURNING version`,
    ),
  );
  const one = await cursor.read(2);
  const two = await cursor.read(2);
  await cursor.close();
  assert.deepEqual([one.length, two.length], [2, 1]);
});

await check('pg-query-stream', async () => {
  let rows = 0;
  for await (const row of client.query(new QueryStream(MANY, [], { batchSize: 64 })))
    assert.equal(row.visits, rows++);
  assert.equal(rows, 500);
});

await check('SQL cursor', async () => {
  await client.query('BEGIN');
  await client.query(`DECLARE many CURSOR FOR ${MANY}`);
  assert.equal((await client.query('FETCH 10 FROM many')).rows.length, 10);
  await client.query('MOVE 10 FROM many');
  assert.equal((await client.query('FETCH NEXT FROM many')).rows[0].visits, 20);
  await client.query('CLOSE many');
  await client.query('COMMIT');
});

await check('LISTEN', async () => {
  const listener = await connect();
  const heard = [];
  listener.on('notification', ({ channel, payload }) => heard.push([channel, JSON.parse(payload)]));
  await listener.query('LISTEN patient');
  await client.query(UPDATED, ['node-pg-10', 'one']);
  await client.query(UPDATED, ['node-pg-10', 'two']);
  for (let waited = 0; heard.length < 2 && waited < 5000; waited += 20)
    await new Promise((resolve) => setTimeout(resolve, 20));
  await listener.end();
  assert.deepEqual(
    heard.map(([channel, event]) => [channel, event.aggregate_id, Number(event.version), event.event_type]),
    [
      ['patient', 'node-pg-10', 1, 'patient_updated'],
      ['patient', 'node-pg-10', 2, 'patient_updated'],
    ],
  );
});

await check('cancel 57014', async () => {
  const sleeper = await connect();
  const running = sqlstate(sleeper.query('SELECT pg_sleep(30)'));
  await new Promise((resolve) => setTimeout(resolve, 200));
  const canceller = new pg.Client({ ssl: false });
  canceller.connection.stream.on('error', () => undefined);
  canceller.cancel(sleeper, sleeper._getActiveQuery());
  assert.equal(await running, '57014');
  assert.equal((await sleeper.query('SELECT 1 AS one')).rows[0].one, 1);
  await sleeper.end();
});

await check('statement_timeout from the startup packet', async () => {
  const hurried = await connect({ statement_timeout: 150, application_name: 'clients' });
  assert.equal((await hurried.query('SHOW application_name')).rows[0].application_name, 'clients');
  assert.equal(await sqlstate(hurried.query('SELECT pg_sleep(5)')), '57014');
  await hurried.end();
});

await check('wrong password 28P01', async () => {
  assert.equal(await sqlstate(connect({ password: 'not a token' })), '28P01');
});

await check('pool of ten, concurrent appends to one aggregate', async () => {
  const pool = new pg.Pool({ ssl: false, max: 10 });
  const results = await Promise.all(
    Array.from({ length: 100 }, (_, index) => pool.query(UPDATED, ['node-pg-11', `n${index}`])),
  );
  await pool.end();
  const versions = results.map(({ rows }) => Number(rows[0].version)).sort((a, b) => a - b);
  assert.deepEqual(
    versions,
    Array.from({ length: 100 }, (_, index) => index + 1),
  );
});

await check('large value, both ways', async () => {
  const large = 'é'.repeat(2_000_000);
  await client.query(UPDATED, ['node-pg-12', large]);
  const { rows } = await client.query("SELECT last_name FROM patient WHERE aggregate_id = 'node-pg-12'");
  assert.equal(rows[0].last_name, large);
});

await check('the aggregate in the catalogue', async () => {
  const { rows } = await client.query(
    `SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1 ORDER BY ordinal_position`,
    ['patient'],
  );
  assert.equal(rows[0].column_name, 'aggregate_id');
  assert.equal(rows.length, 12);
});

await client.end();
finish(`pg ${version}`);
