/** What has broken real clients on servers that emulate PostgreSQL, and is asked by none of the other tests. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { decodeRowDescription } from '../../server/protocol/backend/row.js';
import { startTestServer, type TestServer } from '../harness.js';
import { m, RawClient } from './raw.js';

const INSERT = 'INSERT INTO patient EVENTS patient_named (aggregate_id, name) VALUES';
let server: TestServer;
let raw: RawClient;

beforeAll(async () => {
  server = await startTestServer();
  const client = await server.connect();
  await client.query('CREATE AGGREGATE patient (name text, EVENT patient_named)');
  await client.query(`${INSERT} ('p-1', 'Ada')`);
  await client.end();
});
beforeEach(async () => {
  raw = await RawClient.ready(server.port, server.token);
});
afterEach(() => raw.close());
afterAll(() => server.destroy());

it('SHOW of two words, as SQLAlchemy connects with, gives one row under the setting’s name', async () => {
  const answer = ['T:transaction_isolation=25', 'D:read committed', 'C:SHOW', 'Z:I'];
  expect(await raw.run(m.query('show transaction isolation level'))).toEqual(answer);
});

it('a count of parameters is unsigned: 65,535 are taken, relayed and by an append', async () => {
  const numbers = Array.from({ length: 65_535 }, (_, i) => i + 1);
  const values = numbers.map(String);
  const any = `SELECT count(*) FROM unnest(ARRAY[${numbers.map((n) => `$${n}::int`).join(',')}])`;
  expect(await raw.run(m.parse(any), m.bind(values), m.execute(), m.sync())).toContain('D:65535');
  const rows = Array.from({ length: 32_767 }, (_, i) => `($${2 * i + 1}, $${2 * i + 2})`);
  const bind = m.bind(values.slice(0, 65_534));
  const answer = await raw.run(m.parse(`${INSERT} ${rows.join(',')}`), bind, m.execute(), m.sync());
  expect(answer).toEqual(['1', '2', 'C:INSERT 0 32767', 'Z:I']);
});

it('DISCARD ALL and DEALLOCATE ALL drop the statements of the protocol too, ours and relayed ones', async () => {
  for (const drop of ['DISCARD ALL', 'DEALLOCATE ALL']) {
    await raw.run(m.parse('SELECT 1', 'theirs'), m.parse(`${INSERT} ('x', 'y')`, 'ours'), m.sync());
    expect((await raw.run(m.query(drop))).at(-1)).toBe('Z:I');
    for (const statement of ['theirs', 'ours'])
      expect(await raw.run(m.bind([], { statement }), m.sync())).toEqual(['E:26000', 'Z:I']);
  }
});

it('names of prepared statements and portals are the connection’s own', async () => {
  const other = await RawClient.ready(server.port, server.token);
  expect(await raw.run(m.parse('SELECT 1', 's1'), m.sync())).toEqual(['1', 'Z:I']);
  expect(await other.run(m.parse('SELECT 2', 's1'), m.sync())).toEqual(['1', 'Z:I']);
  expect(await raw.run(m.bind([], { statement: 's1' }), m.execute(), m.sync())).toContain('D:1');
  expect(await other.run(m.bind([], { statement: 's1' }), m.execute(), m.sync())).toContain('D:2');
  other.close();
});

it('result formats may be none, one for all, or one for each, mixed', async () => {
  const sql = "SELECT 1::int AS a, 2::int AS b FROM patient WHERE aggregate_id = 'p-1'";
  const asOf = sql.replace('patient WHERE', 'patient AS OF VERSION 1 WHERE');
  for (const text of [sql, asOf]) {
    for (const [results, row] of [
      [[], '1|2'],
      [[1], '\0\0\0\x01|\0\0\0\x02'],
      [[0, 1], '1|\0\0\0\x02'],
    ] as const)
      expect(await raw.run(m.parse(text), m.bind([], { results }), m.execute(), m.sync())).toContain(
        `D:${row}`,
      );
    expect(await raw.run(m.parse(text), m.bind([], { results: [0, 0, 0] }), m.sync())).toContain('E:08P01');
  }
});

it('types are exact where a client cannot guess: a bare NULL and $1 are text, LIMIT is bigint', async () => {
  expect(await raw.run(m.query('SELECT NULL AS x'))).toContain('T:x=25');
  expect(await raw.run(m.parse('SELECT $1'), m.describe(), m.sync())).toContain('t:25');
  expect(await raw.run(m.parse('SELECT 1 LIMIT $1 OFFSET $2'), m.describe(), m.sync())).toContain('t:20,20');
  const given = m.parse(`${INSERT} ($1, $2)`, '', [1043, 0]);
  expect(await raw.run(given, m.describe(), m.sync())).toContain('t:1043,25');
});

it('a column of current state says which table and column it is', async () => {
  raw.send(m.query('SELECT name FROM patient'));
  const description = (await raw.until('Z')).find(({ type }) => type === 0x54);
  const [name] = decodeRowDescription(description?.body ?? Buffer.alloc(2));
  const sql = `SELECT attname FROM pg_attribute WHERE attrelid = ${name?.tableOid} AND attnum = ${name?.columnNumber}`;
  expect(await raw.run(m.query(sql))).toContain('D:name');
  expect(name?.tableOid).toBeGreaterThanOrEqual(16_384);
});

it('names may have the database in front, and a name may be a parameter', async () => {
  for (const table of ['eventful.public.patient', '"eventful".pg_catalog.pg_class'])
    expect((await raw.run(m.query(`SELECT count(*) > 0 AS any FROM ${table}`)))[1]).toBe('D:t');
  const regclass = [m.parse('SELECT $1::regclass::text'), m.bind(['patient']), m.execute()];
  expect(await raw.run(...regclass, m.sync())).toContain('D:patient');
  expect(await raw.run(m.query("SELECT to_regtype('nothing') IS NULL, current_catalog"))).toContain(
    'D:t|eventful',
  );
});

it('catalogues that tools read are there, empty or not', async () => {
  const catalogues = `pg_enum pg_range pg_extension pg_inherits pg_policy pg_trigger pg_publication pg_statistic_ext
    pg_foreign_table pg_foreign_server pg_event_trigger pg_settings pg_stat_activity pg_get_keywords()
    information_schema.columns information_schema.table_constraints`;
  for (const catalogue of catalogues.split(/\s+/))
    expect([catalogue, ...(await raw.run(m.query(`SELECT count(*) >= 0 AS ok FROM ${catalogue}`)))]).toEqual([
      catalogue,
      'T:ok=16',
      'D:t',
      'C:SELECT 1',
      'Z:I',
    ]);
  const key = `SELECT conname, pg_get_constraintdef(c.oid), (information_schema._pg_expandarray(i.indkey)).n
    FROM pg_constraint c JOIN pg_index i ON i.indexrelid = c.conindid WHERE conrelid = 'patient'::regclass`;
  expect(await raw.run(m.query(key))).toContain('D:patient_pkey|PRIMARY KEY (aggregate_id)|1');
});

it('SQL cursors hold over their transaction, and FETCH and MOVE count', async () => {
  const declare = 'DECLARE c CURSOR WITH HOLD FOR SELECT n FROM generate_series(1, 5) n';
  expect((await raw.run(m.query(`BEGIN; ${declare}; COMMIT`))).at(-1)).toBe('Z:I');
  expect(await raw.run(m.query('FETCH 2 FROM c'))).toEqual(['T:n=23', 'D:1', 'D:2', 'C:FETCH 2', 'Z:I']);
  expect(await raw.run(m.query('MOVE 2 FROM c'))).toEqual(['C:MOVE 2', 'Z:I']);
  expect(await raw.run(m.query('FETCH ALL FROM c'))).toContain('D:5');
  expect(await raw.run(m.query('CLOSE c'))).toEqual(['C:CLOSE CURSOR', 'Z:I']);
  const past = "DECLARE p CURSOR FOR SELECT name FROM patient AS OF VERSION 1 WHERE aggregate_id = 'p-1'";
  expect(await raw.run(m.query(`BEGIN; ${past}; FETCH 1 FROM p; COMMIT`))).toContain('D:Ada');
});
