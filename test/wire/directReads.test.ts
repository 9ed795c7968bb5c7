/** Point reads the engine answers itself must be, to the byte, what the read model would have answered. */
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Format } from '../../server/protocol/bytes.js';
import { startTestServer, type TestServer } from '../harness.js';
import { m, RawClient } from './raw.js';

const FIELDS: readonly (readonly [name: string, type: string, values: readonly string[]])[] = [
  ['status', 'text', ['stable', '', "it's\n\\ é 漢 😀", ' x ']],
  ['code', 'varchar(5)', ['abc', 'abcde']],
  ['alive', 'boolean', ['true', 'f', 'yes', 'off', '1']],
  ['small', 'smallint', ['0', '-5', '+7', '007']],
  ['visits', 'bigint', ['9223372036854775807', '-1', '12']],
  ['weight', 'numeric(6,2)', ['80.50', '80.5', '-0.00', '1e2', '7']],
  ['loose', 'numeric', ['1.10', '.5', '-0.0', 'NaN', '1e3']],
  ['ratio', 'double precision', ['1.5', '1e300', 'NaN', '0.1']],
  ['ref', 'uuid', ['0a0b0c0d-0000-4000-8000-00000000000a', '0A0B0C0D-0000-4000-8000-00000000000A']],
  ['born', 'date', ['2001-02-03', '0001-01-01']],
  ['seen', 'timestamptz', ['2026-01-31 17:05:00+00', '2026-01-31 17:05:00.120+02', '2026-01-31T17:05:00Z']],
  ['local', 'timestamp', ['2026-01-31 17:05:00', '2026-01-31 17:05:00.5']],
  ['doc', 'jsonb', ['{"b":1, "a":2}', '[]']],
  ['raw', 'json', ['{"b":1, "a":2}']],
];
const NAMES = FIELDS.map(([name]) => name);
const COLUMNS = 5 + FIELDS.length;

let server: TestServer;
let client: pg.Client;
let ids: string[];

beforeAll(async () => {
  server = await startTestServer();
  client = await server.connect();
  const fields = FIELDS.map(([name, type]) => `${name} ${type}`).join(', ');
  await client.query(`CREATE AGGREGATE patient (${fields}, EVENT seen_to)`);
  const rounds = Math.max(...FIELDS.map(([, , values]) => values.length));
  ids = ['missing', 'empty'];
  await client.query(`INSERT INTO patient EVENTS seen_to (aggregate_id) VALUES ('empty')`);
  for (let i = 0; i < rounds; i++) {
    const values = FIELDS.map(([, , all]) => all[i % all.length] ?? null);
    const places = values.map((_, n) => `$${n + 2}`).join(', ');
    const sql = `INSERT INTO patient EVENTS seen_to (aggregate_id, ${NAMES.join(', ')}) VALUES ($1, ${places})`;
    for (const id of [`row ${i}`, 'many']) await client.query(sql, [id, ...values]);
    ids.push(`row ${i}`);
  }
  ids.push('many');
});
afterAll(async () => {
  await client.end();
  await server.destroy();
});

/** Everything the server says to Bind, Describe and Execute, in hex. */
async function answer(
  raw: RawClient,
  sql: string,
  parameters: string[],
  results: readonly Format[],
  rows = 0,
): Promise<string[]> {
  raw.send(m.parse(sql), m.bind(parameters, { results }), m.describePortal(), m.execute(rows), m.sync());
  const frames = await raw.until('Z');
  return frames.map((frame) => `${String.fromCharCode(frame.type)} ${frame.body.toString('hex')}`);
}

const POINT = 'SELECT * FROM patient WHERE aggregate_id = $1';
const RELAYED = 'SELECT * FROM patient WHERE aggregate_id = $1 AND version > 0';

/** Runs `work` while nobody can read the table: what answers has not asked the read model. */
async function tableLocked<T>(work: () => Promise<T>): Promise<T> {
  const { readModel } = server.server;
  await readModel.query('BEGIN');
  await readModel.query('LOCK TABLE patient IN ACCESS EXCLUSIVE MODE');
  try {
    return await work();
  } finally {
    await readModel.query('ROLLBACK');
  }
}

describe('the answer', () => {
  it.each([
    ['text', [] as Format[]],
    ['binary', [1] as Format[]],
    ['mixed', Array.from({ length: COLUMNS }, (_, i) => (i % 2) as Format)],
  ])('is the read model’s, for every type and spelling, in %s', async (_name, results) => {
    const raw = await RawClient.ready(server.port, server.token);
    for (const id of ids) {
      const expected = await answer(raw, RELAYED, [id], results);
      // The first may be relayed to learn what the result looks like.
      for (let i = 0; i < 2; i++) expect(await answer(raw, POINT, [id], results)).toEqual(expected);
    }
    raw.close();
  });

  it('is the read model’s for columns by name, in any order, under labels, and twice', async () => {
    const raw = await RawClient.ready(server.port, server.token);
    const list = 'p.weight AS w, status, p.version, status AS again, aggregate_id';
    for (const id of ids) {
      const expected = await answer(
        raw,
        `SELECT ${list} FROM patient p WHERE aggregate_id = $1 AND version > 0`,
        [id],
        [],
      );
      const point = `SELECT ${list} FROM patient p WHERE $1 = p.aggregate_id`;
      for (let i = 0; i < 2; i++) expect(await answer(raw, point, [id], [])).toEqual(expected);
    }
    raw.close();
  });

  it.each([
    [
      'SELECT "public"."patient"."status" FROM "public"."patient" WHERE ("public"."patient"."aggregate_id" = $1',
      ' AND 1=1) LIMIT $2 OFFSET $3',
    ],
    [
      'SELECT p.status AS p_status, p.version FROM patient AS p WHERE p.aggregate_id = $1',
      ' LIMIT $2 OFFSET $3',
    ],
    ['SELECT patient.* FROM patient WHERE (patient.aggregate_id = $1)', ' OFFSET $3 LIMIT $2'],
  ])('is the read model’s for what mappers write: %s', async (select, tail) => {
    const raw = await RawClient.ready(server.port, server.token);
    const relayed = `${select} AND version > 0${tail}`;
    for (const [limit, offset] of [
      ['1', '0'],
      ['21', '0'],
      ['0', '0'],
      ['1', '1'],
      ['-1', '0'],
      ['1', 'x'],
    ] as const)
      for (const id of ['row 1', 'missing']) {
        const expected = await answer(raw, relayed, [id, limit, offset], []);
        for (let i = 0; i < 2; i++)
          expect(await answer(raw, select + tail, [id, limit, offset], [])).toEqual(expected);
      }
    raw.close();
  });

  it('is the read model’s for AS OF VERSION and POSITION', async () => {
    const raw = await RawClient.ready(server.port, server.token);
    for (const clause of ['VERSION', 'POSITION'])
      for (const at of ['0', '1', '2', '3', '7', '99', '-1', 'x'])
        for (const id of ['many', 'row 1', 'missing']) {
          const sql = (more: string): string =>
            `SELECT * FROM patient AS OF ${clause} $2 WHERE aggregate_id = $1${more}`;
          const expected = await answer(raw, sql(' AND version > 0'), [id, at], []);
          for (let i = 0; i < 2; i++) {
            const got = await answer(raw, sql(''), [id, at], []);
            expect(got).toEqual(expected);
          }
        }
    raw.close();
  });

  it('keeps row limits, and describes the statement, as the read model does', async () => {
    const raw = await RawClient.ready(server.port, server.token);
    for (const rows of [1, 2]) {
      const expected = await answer(raw, RELAYED, ['row 0'], [], rows);
      for (let i = 0; i < 2; i++) expect(await answer(raw, POINT, ['row 0'], [], rows)).toEqual(expected);
    }
    const describe = async (sql: string): Promise<string[]> => {
      raw.send(m.parse(sql), m.describe(), m.sync());
      return (await raw.until('Z')).map((frame) => frame.raw.toString('hex'));
    };
    expect(await describe(POINT)).toEqual(await describe(RELAYED));
    raw.close();
  });
});

describe('who answers', () => {
  it('the engine: while nobody can read the table', async () => {
    const limited = `SELECT version FROM patient WHERE aggregate_id = $1 AND 1 = 1 LIMIT 1`;
    await client.query(POINT, ['empty']);
    await client.query(limited, ['empty']);
    await client.query({ name: 'named', text: POINT, values: ['empty'] });
    await tableLocked(async () => {
      expect((await client.query(limited, ['empty'])).rows).toEqual([{ version: '1' }]);
      for (let i = 0; i < 2; i++) {
        const { rows } = await client.query<{ version: string }>(POINT, ['empty']);
        expect(rows[0]?.version).toBe('1');
        const named = await client.query<{ version: string }>({
          name: 'named',
          text: POINT,
          values: ['empty'],
        });
        expect(named.rows[0]?.version).toBe('1');
      }
    });
  });

  it('shows what the same session has just appended, and others at once', async () => {
    const other = await server.connect();
    const read = 'SELECT version, status FROM patient WHERE aggregate_id = $1';
    for (let i = 1; i <= 20; i++) {
      await client.query(`INSERT INTO patient EVENTS seen_to (aggregate_id, status) VALUES ('fresh', $1)`, [
        i,
      ]);
      for (const session of [client, other])
        expect((await session.query(read, ['fresh'])).rows).toEqual([
          { version: String(i), status: String(i) },
        ]);
    }
    await other.end();
  });

  it('a transaction sees its own appends, and later what it committed', async () => {
    const read = 'SELECT version, status FROM patient WHERE aggregate_id = $1';
    await client.query(read, ['tx']);
    await client.query('BEGIN');
    await client.query(`INSERT INTO patient EVENTS seen_to (aggregate_id, status) VALUES ('tx', 'open')`);
    expect((await client.query(read, ['tx'])).rows).toEqual([{ version: '1', status: 'open' }]);
    await client.query('ROLLBACK');
    expect((await client.query(read, ['tx'])).rows).toEqual([]);
  });

  it('pipelined appends and reads keep their order', async () => {
    const raw = await RawClient.ready(server.port, server.token);
    const read = 'SELECT status FROM patient WHERE aggregate_id = $1';
    const append = `INSERT INTO patient EVENTS seen_to (aggregate_id, status) VALUES ($1, $2)`;
    await answer(raw, read, ['pipe'], []);
    const got = await raw.run(
      ...[m.parse(append), m.bind(['pipe', 'a']), m.execute()],
      ...[m.parse(read), m.bind(['pipe']), m.execute()],
      ...[m.parse('SELECT 1'), m.bind(), m.execute()],
      ...[m.parse(read), m.bind(['pipe']), m.execute()],
      m.sync(),
    );
    expect(got.filter((a) => a.startsWith('D'))).toEqual(['D:a', 'D:1', 'D:a']);
    raw.close();
  });
});

describe('what changes the meaning is seen', () => {
  const version = async (session: pg.Client): Promise<unknown> =>
    (
      await session.query<{ created_at: unknown }>('SELECT created_at FROM patient WHERE aggregate_id = $1', [
        'many',
      ])
    ).rows[0]?.created_at;

  it.each([
    "SET TIME ZONE 'Asia/Kolkata'",
    "SET DateStyle = 'German'",
    'SET search_path = pg_catalog, public',
  ])('%s', async (set) => {
    const session = await server.connect(undefined, {
      types: { getTypeParser: () => (text: string) => text },
    });
    const text = 'SELECT created_at::text AS created_at FROM patient WHERE aggregate_id = $1';
    await version(session);
    await session.query(set);
    expect(await version(session)).toBe(
      (await session.query<{ created_at: string }>(text, ['many'])).rows[0]?.created_at,
    );
    await session.end();
  });

  it('a name that is no longer the table’s', async () => {
    const session = await server.connect();
    const read = (): Promise<pg.QueryResult> =>
      session.query('SELECT status FROM patient WHERE aggregate_id = $1', ['many']);
    await read();
    await session.query('SET search_path = pg_catalog');
    await expect(read()).rejects.toMatchObject({ code: '42P01' });
    await session.end();
  });

  it('a token that may read only some aggregates', async () => {
    const session = await server.connect(await server.tokenFor(['read:patient:row*']));
    const read = async (id: string): Promise<number | null> =>
      (await session.query('SELECT status FROM patient WHERE aggregate_id = $1', [id])).rowCount;
    expect([await read('row 1'), await read('many'), await read('row 1')]).toEqual([1, 0, 1]);
    await session.end();
  });

  it('a field added to an open aggregate', async () => {
    await client.query('CREATE AGGREGATE note (EVENT written) WITH (open = true)');
    await client.query(`INSERT INTO note EVENTS written (aggregate_id, a) VALUES ('n', '1')`);
    const raw = await RawClient.ready(server.port, server.token);
    const all = 'SELECT * FROM note WHERE aggregate_id = $1';
    const before = await answer(raw, all, ['n'], []);
    expect(await answer(raw, all, ['n'], [])).toEqual(before);
    await client.query(`INSERT INTO note EVENTS written (aggregate_id, b) VALUES ('n', '2')`);
    const expected = await answer(raw, `${all} AND version > 0`, ['n'], []);
    for (let i = 0; i < 2; i++) expect(await answer(raw, all, ['n'], [])).toEqual(expected);
    raw.close();
  });
});

it('go on while the read model is down', async () => {
  const { readModel } = server.server;
  const raw = await RawClient.ready(server.port, server.token);
  const named = [m.bind(['many'], { statement: 's' }), m.execute(), m.sync()];
  await raw.run(m.parse('SELECT version, status FROM patient WHERE aggregate_id = $1', 's'), m.sync());
  const before = await raw.run(...named);
  expect(before.at(-2)).toBe('C:SELECT 1');
  process.kill(readModel.pid ?? 0, 'SIGKILL');
  let whileDown = 0;
  for (let i = 0; i < 20_000 && !(whileDown > 0 && readModel.pid !== null); i++) {
    const isDown = readModel.pid === null;
    expect(await raw.run(...named)).toEqual(before);
    if (isDown && readModel.pid === null) whileDown++;
  }
  expect(whileDown).toBeGreaterThan(10);
  raw.close();
});
