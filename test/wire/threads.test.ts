/** What must hold between session threads; that each setting answers alike, the whole suite shows in two of them. */
import { readdirSync } from 'node:fs';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Listener } from '../../server/listener.js';
import { Slots } from '../../server/replication/slots.js';
import { ThreadHost } from '../../server/threads/threadHost.js';
import { startTestServer, type TestServer } from '../harness.js';

const APPEND = "INSERT INTO patient EVENTS patient_named (aggregate_id, name) VALUES ('p', 'Ada')";

/** Two session threads of the test's own in front of a server's engine. */
interface Threads {
  readonly host: ThreadHost;
  readonly sizes: () => number[];
  connect(token?: string): Promise<pg.Client>;
  close(): Promise<void>;
}

async function startThreads(
  server: TestServer,
  options: { maxBackends?: number; maxConnections?: number; log?: (message: string) => void } = {},
): Promise<Threads> {
  const { engine, readModel } = server.server;
  const note = (_: object, message: string): void => options.log?.(message);
  const logger = { info: () => undefined, warn: note, error: note };
  const host = await ThreadHost.start({
    engine,
    readModel,
    replication: new Slots(server.directory, { engine, readModel, logger }),
    threads: 2,
    tls: null,
    maxBackends: options.maxBackends ?? 20,
    authenticationMs: 60_000,
    busyPollMs: 0,
    logger,
  });
  const listener = await Listener.start({
    sessions: host,
    host: '127.0.0.1',
    port: 0,
    socketDirectory: null,
    maxConnections: options.maxConnections ?? 100,
    logger,
  });
  return {
    host,
    sizes: () => host.threads.map((thread) => thread?.connections.size ?? -1),
    connect: (token) => server.connect(token, { port: listener.port }),
    async close() {
      await listener.close();
      await host.close();
    },
  };
}

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
  const client = await server.connect();
  await client.query('CREATE AGGREGATE patient (name text, EVENT patient_named)');
  await client.end();
});
afterAll(() => server.destroy());

describe('connections', () => {
  it('go to the thread with the fewest, and leave nothing behind', async () => {
    const threads = await startThreads(server);
    const clients: pg.Client[] = [];
    for (let i = 0; i < 6; i++) clients.push(await threads.connect());
    expect(threads.sizes()).toEqual([3, 3]);
    await clients[0]?.end();
    await clients[2]?.end();
    await expect.poll(threads.sizes).toEqual([1, 3]);
    clients.push(await threads.connect(), await threads.connect());
    expect(threads.sizes()).toEqual([3, 3]);
    await Promise.all(clients.map((client) => client.end()));
    await expect.poll(threads.sizes).toEqual([0, 0]);
    await expect.poll(() => threads.host.unreturned, { timeout: 5000 }).toBe(0);
    const before = readdirSync('/proc/self/fd').length;
    for (let i = 0; i < 30; i++) await (await threads.connect()).end();
    await expect
      .poll(() => readdirSync('/proc/self/fd').length, { timeout: 5000 })
      .toBeLessThanOrEqual(before + 2);
    await threads.close();
  });

  it('are counted over all threads', async () => {
    const threads = await startThreads(server, { maxConnections: 3 });
    const reader = await server.tokenFor(['read:*:*']);
    const clients = [await threads.connect(), await threads.connect(), await threads.connect()];
    await expect(threads.connect(reader)).rejects.toMatchObject({ code: '53300' });
    // An administrator gets in all the same.
    await (await threads.connect()).end();
    await clients[1]?.end();
    await expect.poll(threads.sizes).toEqual([2, 0]);
    clients.push(await threads.connect(reader));
    await Promise.all(clients.map((client) => client.end()));
    await threads.close();
  });

  it('are told 57P01 when the server stops', async () => {
    const threads = await startThreads(server);
    const clients = [await threads.connect(), await threads.connect()];
    const told = clients.map(
      (client) =>
        new Promise((resolve) => client.once('error', (error: { code?: string }) => resolve(error.code))),
    );
    await threads.close();
    expect(await Promise.all(told)).toEqual(['57P01', '57P01']);
  });

  it('to the read model are counted over all threads, and idle ones of another thread taken back', async () => {
    const threads = await startThreads(server, { maxBackends: 2 });
    // a and c on one thread, b and d on the other.
    const [a, b] = [await threads.connect(), await threads.connect()];
    const [c, d] = [await threads.connect(), await threads.connect()];
    await a.query('BEGIN');
    await a.query('SELECT 1');
    await b.query('SELECT 1');
    // Both places are taken; the idle one is on the other thread. By itself it is given back after two seconds.
    for (const client of [c, d, c, b]) {
      const started = performance.now();
      expect((await client.query('SELECT 2 AS n')).rows).toEqual([{ n: 2 }]);
      expect(performance.now() - started).toBeLessThan(1500);
    }
    await b.query('BEGIN');
    await b.query('SELECT 1');
    let late = false;
    const waiting = c.query('SELECT 3 AS n').then(() => (late = true));
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(late).toBe(false);
    await a.query('COMMIT');
    await waiting;
    await b.query('COMMIT');
    await Promise.all([a, b, c, d].map((client) => client.end()));
    await threads.close();
  });
});

describe('what one thread was told is known to the other at once', () => {
  let threads: Threads;
  let a: pg.Client;
  let b: pg.Client;
  beforeAll(async () => {
    threads = await startThreads(server);
    [a, b] = [await threads.connect(), await threads.connect()];
    expect(threads.sizes()).toEqual([1, 1]);
  });
  afterAll(async () => {
    await Promise.all([a.end(), b.end()]);
    await threads.close();
  });

  it('a new aggregate and a new field', async () => {
    for (let i = 0; i < 20; i++) {
      const [first, second] = i % 2 === 0 ? [a, b] : [b, a];
      await first.query(`CREATE AGGREGATE t${i} (EVENT t${i}_made)`);
      await second.query(`INSERT INTO t${i} EVENTS t${i}_made (aggregate_id, colour) VALUES ('x', 'red')`);
      const { rows } = await first.query(`SELECT colour FROM t${i} WHERE aggregate_id = 'x'`);
      expect(rows).toEqual([{ colour: 'red' }]);
    }
  });

  it('an append', async () => {
    for (let i = 1; i <= 30; i++) {
      const [first, second] = i % 2 === 0 ? [a, b] : [b, a];
      await first.query("INSERT INTO patient EVENTS patient_named (aggregate_id, name) VALUES ('seen', $1)", [
        i,
      ]);
      const { rows } = await second.query("SELECT version, name FROM patient WHERE aggregate_id = 'seen'");
      expect(rows).toEqual([{ version: String(i), name: String(i) }]);
    }
  });

  it('a state, without the engine being asked for it', async () => {
    const { engine } = server.server;
    const read = async (client: pg.Client, id: string): Promise<unknown[]> => {
      const text = 'SELECT version, name FROM patient WHERE aggregate_id = $1';
      return (await client.query<object>({ name: 'one', text, values: [id] })).rows;
    };
    const append = (client: pg.Client, name: number): Promise<unknown> =>
      client.query("INSERT INTO patient EVENTS patient_named (aggregate_id, name) VALUES ('shared', $1)", [
        name,
      ]);
    // By then each thread knows what the statement returns.
    for (const client of [a, b, a, b]) await read(client, 'shared');
    const asked = [vi.spyOn(engine, 'state'), vi.spyOn(engine, 'stateNow')];
    const times = (): number => asked.reduce((sum, spy) => sum + spy.mock.calls.length, 0);
    try {
      for (let i = 1; i <= 30; i++) {
        const [first, second] = i % 2 === 0 ? [a, b] : [b, a];
        await append(first, i);
        for (const client of [second, first])
          expect(await read(client, 'shared')).toEqual([{ version: String(i), name: String(i) }]);
      }
      expect(times()).toBe(0);
      expect(await read(a, 'nobody')).toEqual([]);
      expect(times()).toBeGreaterThan(0);
    } finally {
      for (const spy of asked) spy.mockRestore();
    }
  });

  it('a revoked token', async () => {
    for (let i = 0; i < 5; i++) {
      const session = await threads.connect(await server.tokenFor(['admin']));
      const admin = threads.sizes()[0] === 2 ? b : a;
      const { rows } = await admin.query('SELECT token_id FROM eventful.tokens ORDER BY issued_at DESC');
      const ids = (rows as { token_id: string }[]).map((row) => row.token_id);
      expect((await session.query('SELECT 1 AS n')).rows).toEqual([{ n: 1 }]);
      const own = Buffer.from(
        (session as unknown as { password: string }).password.split('.')[1] ?? '',
        'base64url',
      );
      const { jti } = JSON.parse(own.toString()) as { jti: string };
      expect(ids).toContain(jti);
      await admin.query(`CALL token_revoke('${jti}')`);
      await expect(session.query('SELECT 1')).rejects.toMatchObject({ code: '28P01' });
      await session.end();
      await expect.poll(threads.sizes).toEqual([1, 1]);
    }
  });

  it('a look-back of many batches, and one that is cancelled', async () => {
    await a.query(
      "INSERT INTO patient EVENTS patient_named (aggregate_id, name) SELECT 'many', g::text FROM generate_series(1, 3000) g",
    );
    const { rows } = await b.query(
      "SELECT count(*)::int AS n, sum(version)::int AS sum FROM patient_history WHERE aggregate_id = 'many'",
    );
    expect(rows).toEqual([{ n: 3000, sum: (3000 * 3001) / 2 }]);
    const { processID, secretKey } = b as unknown as { processID: number; secretKey: number };
    const running = expect(
      b.query('SELECT count(*) FROM patient_history a, patient_history b, patient_history c'),
    ).rejects.toMatchObject({ code: '57014' });
    await new Promise((resolve) => setTimeout(resolve, 200));
    // pg's own cancel opens a connection, which falls to either thread.
    const other = new pg.Client({ host: '127.0.0.1', port: b.port });
    (other as unknown as { cancel(c: unknown, q: unknown): void }).cancel(
      { processID, secretKey, activeQuery: null, host: '127.0.0.1', port: b.port, _queryQueue: [] },
      null,
    );
    await running;
    expect((await b.query('SELECT 1 AS n')).rows).toEqual([{ n: 1 }]);
  });

  it('a transaction sees its own appends and pins what it was told', async () => {
    await a.query('BEGIN');
    const first = await a.query(`${APPEND.replace("'p'", "'own'")} RETURNING version`);
    expect(first.rows).toEqual([{ version: '1' }]);
    expect((await a.query("SELECT name FROM patient WHERE aggregate_id = 'own'")).rows).toEqual([
      { name: 'Ada' },
    ]);
    expect((await b.query("SELECT name FROM patient WHERE aggregate_id = 'own'")).rows).toEqual([]);
    await b.query(APPEND.replace("'p'", "'own'"));
    await expect(a.query('COMMIT')).rejects.toMatchObject({
      code: '40001',
      detail: expect.stringContaining('1'),
    });
  });
});

describe('a thread that ends', () => {
  it('takes its own sessions along and is replaced; the others go on', async () => {
    const logged: string[] = [];
    const threads = await startThreads(server, { maxBackends: 3, log: (message) => logged.push(message) });
    const [a, b] = [await threads.connect(), await threads.connect()];
    // A connection to the read model and an open transaction on each.
    for (const client of [a, b]) {
      await client.query('BEGIN');
      await client.query(APPEND.replace("'p'", `'${client === a ? 'lost' : 'kept'}'`) + ' RETURNING version');
      await client.query('SELECT 1');
    }
    const lost = new Promise((resolve) => a.once('end', resolve));
    const ended = threads.host.threads[0];
    // As a thread that ran out of memory ends.
    await ended?.end();
    await lost;
    await b.query('COMMIT');
    // Not at once, since it had not lived for long.
    await expect.poll(threads.sizes, { timeout: 5000 }).toEqual([0, 1]);
    expect(threads.host.threads[0]).not.toBe(ended);
    expect(logged.join()).toContain('a session thread ended');
    // The place of the connection that went with it is free again: three more find one.
    const others = await Promise.all([1, 2].map(() => threads.connect()));
    for (const client of others) await client.query('BEGIN');
    for (const client of others) expect((await client.query('SELECT 1 AS n')).rows).toEqual([{ n: 1 }]);
    const { rows } = await b.query("SELECT aggregate_id FROM patient WHERE aggregate_id IN ('lost', 'kept')");
    expect(rows).toEqual([{ aggregate_id: 'kept' }]);
    await Promise.all([b, ...others].map((client) => client.end()));
    await expect.poll(() => threads.host.unreturned, { timeout: 5000 }).toBe(0);
    await threads.close();
  });
});

it('a thread that has served nobody yet greets its first client while PostgreSQL is being restarted', async () => {
  const threads = await startThreads(server);
  // Each thread asks for its greeting when it starts.
  await new Promise((resolve) => setTimeout(resolve, 500));
  process.kill(server.server.readModel.pid ?? 0, 'SIGKILL');
  const clients = await Promise.all([threads.connect(), threads.connect()]);
  expect(threads.sizes()).toEqual([1, 1]);
  for (const client of clients) {
    await client.query(APPEND);
    await client.end();
  }
  await threads.close();
});
