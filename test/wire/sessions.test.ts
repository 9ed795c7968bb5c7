/** What a session keeps and is told: settings, their reports, notices, cancellation, and the end of the read model. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { decodeErrorFields } from '../../server/protocol/backend/error.js';
import { decodeParameterStatus } from '../../server/protocol/backend/status.js';
import { encodeCancelRequest } from '../../server/protocol/startup.js';
import { startTestServer, type TestServer } from '../harness.js';
import { copyDone } from './fuzz/frames.js';
import { answerTo, m, RawClient } from './raw.js';

let server: TestServer;
let raw: RawClient;

beforeAll(async () => {
  server = await startTestServer();
  const client = await server.connect();
  await client.query('CREATE AGGREGATE patient (name text, EVENT patient_named)');
  await client.query(
    `INSERT INTO patient EVENTS patient_named (aggregate_id, name)
     SELECT 'p-' || n % 300, 'name ' || n FROM generate_series(1, 30000) n`,
  );
  await client.end();
});
beforeEach(async () => {
  raw = await RawClient.ready(server.port, server.token);
});
afterEach(() => raw.close());
afterAll(() => server.destroy());

/** Runs a query; what came back in short, with the new values of settings. */
async function query(sql: string): Promise<string[]> {
  raw.send(m.query(sql));
  return (await raw.until('Z')).map(({ type, body }) => {
    const letter = String.fromCharCode(type);
    if (letter === 'S') return `S:${Object.values(decodeParameterStatus(body)).join('=')}`;
    if ('EN'.includes(letter)) {
      const fields = decodeErrorFields(body);
      return `${letter}:${fields.get('S')} ${fields.get('C')}`;
    }
    if (letter === 'D') return `D:${body.toString('utf8', 6)}`;
    return 'CZ'.includes(letter) ? `${letter}:${body.toString('utf8').replace('\0', '')}` : letter;
  });
}

describe('notices', () => {
  it('are those of PostgreSQL, for relayed statements and our own', async () => {
    expect(await query('COMMIT')).toEqual(['N:WARNING 25P01', 'C:COMMIT', 'Z:I']);
    expect(await query('ROLLBACK')).toEqual(['N:WARNING 25P01', 'C:ROLLBACK', 'Z:I']);
    expect(await query('BEGIN')).toEqual(['C:BEGIN', 'Z:T']);
    expect(await query('BEGIN')).toEqual(['N:WARNING 25001', 'C:BEGIN', 'Z:T']);
    expect(await query('ROLLBACK')).toEqual(['C:ROLLBACK', 'Z:I']);
    expect(await query("SET LOCAL TimeZone = 'UTC'")).toContain('N:WARNING 25P01');
    expect(await query('CREATE AGGREGATE IF NOT EXISTS patient (name text)')).toEqual([
      'N:NOTICE 42P07',
      'C:CREATE AGGREGATE',
      'Z:I',
    ]);
  });

  it('follow client_min_messages, however it was set', async () => {
    const exists = 'CREATE AGGREGATE IF NOT EXISTS patient (name text)';
    const notice = 'N:NOTICE 42P07';
    const warning = 'N:WARNING 25P01';
    for (const [set, seen] of [
      ['SET client_min_messages = warning', [warning]],
      ['SET client_min_messages = error', []],
      ['RESET client_min_messages', [notice, warning]],
      ["SELECT set_config('client_min_messages', 'error', false)", []],
      ['BEGIN; SET LOCAL client_min_messages = debug1; COMMIT', []],
      ['DISCARD ALL', [notice, warning]],
    ] as const) {
      await query(set);
      const notices = [...(await query(exists)), ...(await query('COMMIT'))].filter((a) => a.startsWith('N'));
      expect([set, notices]).toEqual([set, seen]);
    }
    raw.close();
    raw = await RawClient.ready(server.port, server.token, { options: '-c client_min_messages=error' });
    expect(await query('COMMIT')).toEqual(['C:COMMIT', 'Z:I']);
  });
});

describe('settings', () => {
  it('are reported when they change, also back', async () => {
    expect(await query("SET TimeZone = 'Asia/Tokyo'")).toContain('S:TimeZone=Asia/Tokyo');
    expect(await query("SET application_name = 'x'")).toContain('S:application_name=x');
    expect(await query("SET DateStyle = 'SQL, DMY'")).toContain('S:DateStyle=SQL, DMY');
    expect(await query("BEGIN; SET TimeZone = 'Europe/Paris'")).toContain('S:TimeZone=Europe/Paris');
    expect(await query('ROLLBACK')).toContain('S:TimeZone=Asia/Tokyo');
    expect(await query('RESET TimeZone')).toContain('S:TimeZone=UTC');
    expect(await query('DISCARD ALL')).toContain('S:DateStyle=ISO, MDY');
  });

  it('of our own are shown, checked, reset and undone like any other', async () => {
    const show = async (): Promise<string | undefined> =>
      (await query('SHOW eventful.read_consistency')).find((a) => a.startsWith('D'))?.slice(2);
    expect(await query('SET eventful.read_consistency = wrong')).toContain('E:ERROR 22023');
    expect(await query('SET eventful.nothing = 1')).toContain('E:ERROR 42704');
    expect(await query('SHOW eventful.nothing')).toContain('E:ERROR 42704');
    await query('BEGIN; SET eventful.read_consistency = eventual');
    expect(await show()).toBe('eventual');
    await query('ROLLBACK');
    expect(await show()).toBe('linearizable');
    await query('SET eventful.read_consistency = eventual');
    expect(await show()).toBe('eventual');
    await query('RESET ALL');
    expect(await show()).toBe('linearizable');
    expect(await query('SHOW TRANSACTION ISOLATION LEVEL')).toContain('C:SHOW');
  });
});

describe('cancellation', () => {
  async function cancelled(sql: string, ends: string): Promise<void> {
    raw.send(m.query(sql));
    await new Promise((resolve) => setTimeout(resolve, 30));
    const { processId, secret } = raw.key ?? { processId: 0, secret: Buffer.alloc(0) };
    await answerTo(server.port, encodeCancelRequest(processId, secret), true);
    const error = decodeErrorFields((await raw.until('E')).at(-1)?.body ?? Buffer.of(0));
    expect([error.get('C'), error.get('M')]).toEqual(['57014', 'canceling statement due to user request']);
    await raw.until('Z');
    expect((await query(ends)).join()).toMatch(/C:(SELECT 1|ROLLBACK)/);
  }

  it.each([
    ['relayed', 'SELECT pg_sleep(30)'],
    [
      'the query of an append',
      "INSERT INTO patient EVENTS patient_named (aggregate_id) SELECT 'c' FROM pg_sleep(30)",
    ],
    ['history', 'SELECT count(*) FROM patient_history a, patient_history b'],
    ['COPY', 'COPY patient EVENTS patient_named (aggregate_id, name) FROM STDIN'],
  ])('ends what runs (%s), and the session goes on', async (_name, sql) => {
    await cancelled(sql, 'SELECT 1');
    expect(await query("SELECT count(*) FROM patient WHERE aggregate_id = 'c'")).toContain('D:0');
  });

  it('is not lost where it reaches the read model before the statement does', async () => {
    // Keeps its connection there.
    await query('BEGIN');
    await query('SELECT 1');
    const { rows } = await server.server.readModel.query(
      "SELECT pid FROM pg_stat_activity WHERE usename LIKE '%reader%' AND state = 'idle in transaction'",
    );
    const pids = (rows as { pid: number }[]).map(({ pid }) => pid);
    expect(pids).toHaveLength(1);
    // One that is stopped reads the statement after the signal that was sent behind it.
    for (const pid of pids) process.kill(pid, 'SIGSTOP');
    setTimeout(() => pids.forEach((pid) => process.kill(pid, 'SIGCONT')), 80);
    await cancelled('SELECT pg_sleep(30)', 'ROLLBACK');
  });

  it('with nothing running does nothing, also to the next statement', async () => {
    const { processId, secret } = raw.key ?? { processId: 0, secret: Buffer.alloc(0) };
    await query('SELECT 1');
    await answerTo(server.port, encodeCancelRequest(processId, secret), true);
    raw.send(m.query('COPY patient EVENTS patient_named (aggregate_id, name) FROM STDIN'));
    await raw.until('G');
    expect(await raw.run(copyDone())).toEqual(['C:COPY 0', 'Z:I']);
    expect(await query('SELECT 1')).toContain('C:SELECT 1');
  });
});

describe('when the read model loses its connections', () => {
  const lose = (): Promise<unknown> =>
    server.server.readModel.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE '%reader%'",
    );

  it('a session that kept nothing there goes on, one that did is told', async () => {
    const stateful = await RawClient.ready(server.port, server.token);
    await stateful.run(m.query("SET TimeZone = 'Asia/Tokyo'"));
    await query('SELECT 1');
    await lose();
    const farewell = decodeErrorFields((await stateful.until('E')).at(-1)?.body ?? Buffer.of(0));
    expect([farewell.get('S'), farewell.get('C')]).toEqual(['FATAL', '57P01']);
    await stateful.ended();
    // One that meets the very moment fails, and no later one.
    await query('SELECT 1');
    expect(await query('SELECT 1')).toContain('C:SELECT 1');
  });

  it('the statement that ran there fails, its session goes on', async () => {
    raw.send(m.query('SELECT pg_sleep(30)'));
    await new Promise((resolve) => setTimeout(resolve, 200));
    await lose();
    const error = decodeErrorFields((await raw.until('E')).at(-1)?.body ?? Buffer.of(0));
    expect([error.get('S'), error.get('V')]).toEqual(['ERROR', 'ERROR']);
    await raw.until('Z');
    expect(await query('SELECT 1')).toContain('C:SELECT 1');
  });
});

describe('a Query behind a pipelined error', () => {
  it('is skipped up to Sync, and session and read model agree on the transaction after it', async () => {
    raw.send(m.query('BEGIN'), m.execute(0, 'missing'), m.query('ROLLBACK'), m.sync());
    expect(await raw.run()).toEqual(['C:BEGIN', 'Z:T']);
    expect(await raw.run()).toEqual(['E:34000', 'Z:E']);
    expect(await raw.run(m.query('ROLLBACK'))).toEqual(['C:ROLLBACK', 'Z:I']);
    raw.send(m.query('SELECT 1'), m.query('BEGIN'), m.execute(0, 'missing'), m.query('ROLLBACK'), m.sync());
    for (const status of ['Z:I', 'Z:T', 'Z:E']) expect((await raw.run()).at(-1)).toBe(status);
    expect(await raw.run(m.query('ROLLBACK'))).toEqual(['C:ROLLBACK', 'Z:I']);
    expect(await query('SELECT 1')).toContain('C:SELECT 1');
  });
});
