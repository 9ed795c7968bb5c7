/** Clients that leave, hide statements in strings, end transactions they never began, or outlive their token. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type pg from 'pg';
import { startTestServer, type TestServer } from '../harness.js';
import { m, RawClient, startupPacket, stateIn } from './raw.js';

const INSERT = "INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p', 's')";
/** What a client sends to have a function called by its number. */
const FUNCTION_CALL = Buffer.from('4600000019000005390001000100020000000107ffffffff0001', 'hex');

let server: TestServer;
let admin: pg.Client;
const clients: RawClient[] = [];

beforeAll(async () => {
  server = await startTestServer();
  admin = await server.connect();
  await admin.query('CREATE AGGREGATE patient (status text, EVENT patient_updated)');
});
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});
afterAll(async () => {
  await admin.end();
  await server.destroy();
});

async function open(token = server.token, parameters: Record<string, string> = {}): Promise<RawClient> {
  const client = await RawClient.ready(server.port, token, parameters);
  clients.push(client);
  return client;
}

async function revocable(...grants: string[]): Promise<{ token: string; revoke: () => Promise<unknown> }> {
  const { rows } = await admin.query<{ token: string; token_id: string }>(
    "CALL token_generate('user', 'leaving', $1)",
    [grants.join(' ')],
  );
  const { token = '', token_id = '' } = rows[0] ?? {};
  return { token, revoke: () => admin.query('CALL token_revoke($1)', [token_id]) };
}

const committed = async (): Promise<number> =>
  Number((await admin.query<{ count: string }>('SELECT count(*) FROM patient_events')).rows[0]?.count);

describe('where a string ends', () => {
  const HIDDEN = "select 'x\\' , $q$ '; notify patient, $n$forged$n$; --$q$";

  it.each([
    ['standard_conforming_strings', { options: '-c standard_conforming_strings=off' }],
    ['client_encoding', { options: '-c client_encoding=SJIS' }],
    ['a setting in a name', { 'application_name=x -c standard_conforming_strings': 'off' }],
  ])('cannot be moved when connecting, by %s', async (_, parameters) => {
    const client = await RawClient.open(server.port);
    clients.push(client);
    client.send(startupPacket({ user: 'raw', database: 'eventful', ...parameters }));
    await client.until('R');
    client.send(m.password(server.token));
    const [error] = await client.until('E');
    expect(stateIn(error?.raw ?? Buffer.alloc(0))).toBe('0A000');
    await client.ended();
  });

  it.each([
    ["SELECT set_config('standard_conforming_strings'::text, 'off', false)"],
    ["SELECT set_config('client_' || 'encoding', 'SJIS', false)"],
  ])('ends the session that moves it: %s', async (sql) => {
    const client = await open();
    client.send(m.query(`${sql}; ${HIDDEN}`), m.query(HIDDEN));
    await client.ended();
  });

  it('is the same for what is sent before PostgreSQL reports it', async () => {
    const listener = await open();
    await listener.run(m.query('LISTEN patient'));
    const client = await open();
    const set = "SELECT set_config('standard_conforming_strings'::text, 'off', false)";
    // Several statements to PostgreSQL, which undoes the setting with them.
    const answer = await client.run(m.parse(set), m.bind(), m.execute(), m.query(HIDDEN), m.sync());
    expect(answer).toContain('E:42601');
    await sleep(200);
    await listener.run(m.query('SELECT 1'));
    expect(listener.frames.filter(({ type }) => type === 0x41)).toEqual([]);
  });

  it('backslashes work as ever', async () => {
    const client = await open();
    const answer = await client.run(
      m.query("SELECT E'a\\'b' AS a, 'c\\' AS b; SET search_path = 'a\\b'; SHOW search_path"),
    );
    expect(answer).toEqual([
      'T:a=25,b=25',
      "D:a'b|c\\",
      'C:SELECT 1',
      'C:SET',
      'T:search_path=25',
      'D:"a\\b"',
      'C:SHOW',
      'Z:I',
    ]);
    expect(await client.run(m.query("SELECT '\\'::int"))).toEqual(['E:22P02', 'Z:I']);
  });
});

describe('what was never begun', () => {
  it.each(['ROLLBACK', 'COMMIT'])('is ended by %s behind an append, in either protocol', async (end) => {
    const client = await open();
    const before = await committed();
    const done = ['C:INSERT 0 1', 'N:25P01', `C:${end}`, 'Z:I'];
    expect(await client.run(m.query(`${INSERT}; ${end}`))).toEqual(done);
    const pipelined = [m.parse(INSERT), m.bind(), m.execute(), m.parse(end), m.bind(), m.execute(), m.sync()];
    expect(await client.run(...pipelined)).toEqual(['1', '2', 'C:INSERT 0 1', '1', '2', ...done.slice(1)]);
    expect(await committed()).toBe(before + (end === 'COMMIT' ? 2 : 0));
  });

  it('what follows a ROLLBACK is answered as itself', async () => {
    const client = await open();
    const answer = await client.run(m.query(`${INSERT} RETURNING aggregate_id; ROLLBACK; SELECT 1 AS one`));
    expect(answer.slice(1)).toEqual([
      'D:p',
      'C:INSERT 0 1',
      'N:25P01',
      'C:ROLLBACK',
      'T:one=23',
      'D:1',
      'C:SELECT 1',
      'Z:I',
    ]);
  });

  it('has no chain', async () => {
    const client = await open();
    expect(await client.run(m.query('ROLLBACK AND CHAIN'))).toEqual(['E:25P01', 'Z:I']);
  });
});

it('two COPYs in one Query', async () => {
  const client = await open();
  const copy = 'COPY patient EVENTS patient_updated (aggregate_id, status) FROM STDIN';
  client.send(m.query(`${copy}; ${copy}`));
  for (let i = 0; i < 2; i++) {
    await client.until('G');
    const row = Buffer.from('p\ts\n');
    const data = Buffer.concat([Buffer.from([0x64, 0, 0, 0, 4 + row.length]), row]);
    client.send(data, Buffer.from([0x63, 0, 0, 0, 4]));
    await client.until('C');
  }
  await client.until('Z');
});

it('a function call is refused, and the session goes on', async () => {
  const client = await open();
  expect(await client.run(FUNCTION_CALL)).toEqual(['E:0A000', 'Z:I']);
});

it('a client that leaves while its connection is opened leaves none behind', async () => {
  const backends = async (): Promise<number> => {
    const sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'leaving'";
    return Number((await admin.query<{ count: string }>(sql)).rows[0]?.count);
  };
  for (let i = 0; i < 10; i++) {
    const hasty = await RawClient.open(server.port);
    const own = { application_name: 'leaving', extra_float_digits: '3' };
    hasty.send(startupPacket({ user: 'raw', database: 'eventful', ...own }));
    await hasty.until('R');
    hasty.send(m.password(server.token), m.query('BEGIN; SELECT 1'));
    await sleep(i);
    hasty.close();
    const late = await open(server.token, { application_name: 'leaving' });
    await late.run(m.query('BEGIN'));
    late.send(m.query('SELECT 1'));
    await sleep(i);
    late.close();
  }
  await expect.poll(backends, { timeout: 5000 }).toBe(0);
});

it('a read model that is lost is one error, and a commit is none', async () => {
  const client = await open();
  const pid = async (): Promise<string> =>
    (await client.run(m.query('SELECT pg_backend_pid() AS pid')))
      .find((text) => text.startsWith('D:'))
      ?.slice(2) ?? '';
  const asleep = await pid();
  client.send(m.query('SELECT pg_sleep(20)'));
  await sleep(200);
  await server.server.readModel.query(`SELECT pg_terminate_backend(${asleep})`);
  expect((await client.until('Z')).filter(({ type }) => type === 0x45).length).toBe(1);
  const before = await committed();
  await client.run(m.query('BEGIN'));
  process.kill(Number(await pid()), 'SIGSTOP');
  await client.run(m.query(INSERT));
  const stopped = client.run(m.query('COMMIT'));
  await sleep(300);
  await server.server.readModel.query(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'",
  );
  await server.server.readModel
    .query("SELECT pid FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'")
    .then(({ rows }) => rows.forEach((row) => process.kill(Number((row as { pid: number }).pid), 'SIGCONT')));
  expect(await stopped).toEqual(['C:COMMIT', 'Z:I']);
  expect(await committed()).toBe(before + 1);
});

describe('a token that has ended', () => {
  it('hears nothing more', async () => {
    const { token, revoke } = await revocable('read:patient');
    const client = await open(token);
    await client.run(m.query('LISTEN patient'));
    await revoke();
    await admin.query(INSERT);
    await client.ended();
    expect(client.frames.filter(({ type }) => type === 0x41)).toEqual([]);
  });

  it('does not commit a COPY that it began', async () => {
    const { token, revoke } = await revocable('append:patient');
    const client = await open(token);
    const before = await committed();
    client.send(m.query('COPY patient EVENTS patient_updated (aggregate_id, status) FROM STDIN'));
    await client.until('G');
    const row = Buffer.from('p\ts\n');
    client.send(Buffer.concat([Buffer.from([0x64, 0, 0, 0, 4 + row.length]), row]));
    await revoke();
    client.send(Buffer.from([0x63, 0, 0, 0, 4]));
    expect(
      (await client.until('Z')).filter(({ type }) => type === 0x45).map(({ raw }) => stateIn(raw)),
    ).toEqual(['28P01']);
    expect(await committed()).toBe(before);
  });
});

it('nobody listens for a type that is still to come without the right to read all of it', async () => {
  const client = await open(await server.tokenFor(['read:patient:p-17']));
  expect(await client.run(m.query('LISTEN future'))).toEqual(['E:42501', 'Z:I']);
});

describe('settings in a pipeline', () => {
  const durable = async (client: RawClient): Promise<string | undefined> =>
    (await client.run(m.query('SHOW eventful.synchronous_commit'))).find((text) => text.startsWith('D:'));
  const OFF = [m.parse('SET eventful.synchronous_commit = off'), m.bind(), m.execute()];
  const FAILS = [m.parse('SELECT 1/0'), m.bind(), m.execute()];
  const READ_ONLY = "SELECT set_config('default_transaction_read_only', 'on', false)";

  it.each([
    ['behind an error', [...FAILS, ...OFF]],
    ['in front of one', [...OFF, ...FAILS]],
  ])('%s do not hold', async (_, messages) => {
    const client = await open();
    await client.run(...messages, m.sync());
    expect(await durable(client)).toBe('D:on');
    const before = server.server.engine.stats().syncs;
    await client.run(m.query(INSERT));
    expect(server.server.engine.stats().syncs).toBe(before + 1);
  });

  it('hold however they were made', async () => {
    const byFunction = await open();
    await byFunction.run(m.query(READ_ONLY));
    const byPacket = await open(server.token, { Default_Transaction_Read_Only: 'on' });
    for (const client of [byFunction, byPacket])
      expect(await client.run(m.query(INSERT))).toEqual(['E:25006', 'Z:I']);
  });
});

it('an advisory lock is kept by a session that does nothing', async () => {
  const [one, other] = [await open(), await open()];
  await one.run(m.query('SELECT pg_advisory_lock(77)'));
  await sleep(2500);
  const answer = await other.run(m.query('SELECT pg_try_advisory_lock(77) AS got'));
  expect(answer).toContain('D:f');
});

it('a transaction is bounded in bytes while it grows', async () => {
  const client = await open();
  const insert = 'INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ($1, $2)';
  await client.run(m.parse(insert, 'append'), m.sync());
  client.send(m.query('BEGIN'));
  await client.until('Z');
  const value = 'x'.repeat(16 * 1024 * 1024);
  let refused = '';
  for (let i = 0; i < 20 && refused === ''; i++)
    refused =
      (await client.run(m.bind(['p', value], { statement: 'append' }), m.execute(), m.sync())).find((text) =>
        text.startsWith('E:'),
      ) ?? '';
  expect(refused).toBe('E:54000');
}, 60_000);

it('a version is pinned only where it was shown', async () => {
  const client = await open();
  const other = await open();
  const pipeline = (returning: string): Buffer[] => [
    ...[m.parse(INSERT + returning), m.bind(), m.execute()],
    ...[m.parse('SELECT pg_sleep(0.3)'), m.bind(), m.execute(), m.sync()],
  ];
  const meanwhile = async (returning: string): Promise<string[]> => {
    const running = client.run(...pipeline(returning));
    await sleep(100);
    await other.run(m.query(INSERT));
    return running;
  };
  expect((await meanwhile('')).filter((text) => text.startsWith('E:'))).toEqual([]);
  expect((await meanwhile(' RETURNING version')).filter((text) => text.startsWith('E:'))).toEqual([
    'E:40001',
  ]);
});

it('what is prepared in a transaction that has appended works behind it', async () => {
  const client = await open();
  const sql = "PREPARE counted AS SELECT count(*) FROM patient WHERE aggregate_id = 'nobody'";
  await client.run(m.query(`BEGIN; ${INSERT}`));
  expect(await client.run(m.query(sql))).toEqual(['C:PREPARE', 'Z:T']);
  await client.run(m.query('ROLLBACK'));
  expect(await client.run(m.query('EXECUTE counted'))).toContain('D:0');
});
