/** What ends by itself: statements, idle transactions, idle sessions, and clients that never finish their startup. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startMessage } from '../../server/protocol/bytes.js';
import { decodeErrorFields } from '../../server/protocol/backend/error.js';
import { startTestServer, type TestServer } from '../harness.js';
import { m, openSocket, RawClient, startupPacket } from './raw.js';

const AUTHENTICATION_MS = 600;
const COPY = 'COPY patient EVENTS patient_named (aggregate_id, name) FROM STDIN';
let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ authenticationMs: AUTHENTICATION_MS });
  const client = await server.connect();
  await client.query('CREATE AGGREGATE patient (name text, EVENT patient_named)');
  await client.query(
    `INSERT INTO patient EVENTS patient_named (aggregate_id, name)
     SELECT 'p-' || n % 200, 'name ' || n FROM generate_series(1, 20000) n`,
  );
  await client.end();
});
afterAll(() => server.destroy());

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function session(...settings: string[]): Promise<RawClient> {
  const client = await RawClient.ready(server.port, server.token);
  for (const setting of settings) await client.run(m.query(setting));
  return client;
}

/** The error the server ends the connection with: SQLSTATE and message. */
async function farewell(client: RawClient): Promise<(string | undefined)[]> {
  const fields = decodeErrorFields((await client.until('E')).at(-1)?.body ?? Buffer.of(0));
  await client.ended();
  return [fields.get('S'), fields.get('C'), fields.get('M')];
}

describe('statement_timeout', () => {
  const message = 'canceling statement due to statement timeout';

  it.each([
    ['relayed', 'SELECT pg_sleep(20)'],
    ['history', 'SELECT count(*) FROM patient_history'],
    ['procedure', "CALL verify('patient')"],
    [
      'query of an append',
      "INSERT INTO patient EVENTS patient_named (aggregate_id) SELECT 'x' FROM pg_sleep(20)",
    ],
    ['COPY that waits for its data', COPY],
  ])('ends a %s statement with 57014, and the session goes on', async (_name, sql) => {
    const client = await session("SET statement_timeout = '5ms'");
    const started = Date.now();
    client.send(m.query(sql));
    const error = decodeErrorFields((await client.until('E')).at(-1)?.body ?? Buffer.of(0));
    expect([error.get('C'), error.get('M')]).toEqual(['57014', message]);
    expect(Date.now() - started).toBeLessThan(5000);
    await client.until('Z');
    await client.run(m.query('SET statement_timeout = 0'));
    expect(await client.run(m.query('SELECT 1'))).toContain('D:1');
    expect(await client.run(m.query("SELECT count(*) FROM patient WHERE aggregate_id = 'x'"))).toContain(
      'D:0',
    );
    client.close();
  });

  it('holds in the extended protocol, and for each statement of a query by itself', async () => {
    const client = await session('SET statement_timeout = 300');
    const read = [m.parse('SELECT count(*) FROM patient_history, pg_sleep(20)'), m.bind(), m.execute()];
    expect((await client.run(...read, m.sync())).slice(-2)).toEqual(['E:57014', 'Z:I']);
    const twice = 'SELECT 1 FROM pg_sleep(0.2); SELECT 2 FROM patient AS OF VERSION 1, pg_sleep(0.2) LIMIT 1';
    expect(await client.run(m.query(twice))).toContain('D:2');
    client.close();
  });

  it('is undone by ROLLBACK, by ROLLBACK TO and at the end of SET LOCAL; RESET goes back to the startup packet', async () => {
    const client = await RawClient.ready(server.port, server.token, { options: '-c statement_timeout=1h' });
    // A COPY without data times out exactly if the server itself knows the timeout.
    const timesOut = async (): Promise<boolean> => {
      client.send(m.query(COPY));
      await client.until('G');
      await sleep(100);
      return (await client.run(startMessage(0x63, 0))).includes('E:57014');
    };
    const set = "SET statement_timeout = '20ms'";
    for (const undone of [`BEGIN; ${set}; ROLLBACK`, `${set}; RESET statement_timeout`, `${set}; RESET ALL`])
      expect([undone, await client.run(m.query(undone)), await timesOut()]).toEqual([
        undone,
        expect.anything(),
        false,
      ]);
    await client.run(m.query(`BEGIN; SAVEPOINT a; ${set}; ROLLBACK TO a`));
    expect(await timesOut()).toBe(false);
    await client.run(m.query("COMMIT; BEGIN; SET LOCAL statement_timeout = '20ms'; COMMIT"));
    expect(await timesOut()).toBe(false);
    await client.run(m.query("SELECT set_config('statement_timeout', '20ms', false)"));
    expect(await timesOut()).toBe(true);
    client.close();
  });
});

describe('idle_in_transaction_session_timeout', () => {
  const ended = ['FATAL', '25P03', 'terminating connection due to idle-in-transaction timeout'];

  it.each([
    ['relayed', 'SELECT 1'],
    ['dialect', "INSERT INTO patient EVENTS patient_named (aggregate_id) VALUES ('idle')"],
    ['failed', 'SELECT nothing'],
  ])('ends a session whose transaction (%s) rests, and nothing of it is kept', async (_name, sql) => {
    const client = await session("SET idle_in_transaction_session_timeout = '150ms'");
    await sleep(400);
    expect(await client.run(m.query('SELECT 1'))).toContain('D:1');
    await client.run(m.query('BEGIN'));
    await client.run(m.query(sql));
    expect(await farewell(client)).toEqual(ended);
    const other = await session();
    expect(await other.run(m.query("SELECT count(*) FROM patient WHERE aggregate_id = 'idle'"))).toContain(
      'D:0',
    );
    other.close();
  });

  it('lets a transaction live that works in one place while the other rests', async () => {
    const client = await session("SET idle_in_transaction_session_timeout = '300ms'", 'BEGIN', 'SELECT 1');
    const append = "INSERT INTO patient EVENTS patient_named (aggregate_id) VALUES ('busy')";
    for (let i = 0; i < 8; i++) {
      expect(await client.run(m.query(append))).toContain('C:INSERT 0 1');
      await sleep(100);
    }
    client.send(m.query(COPY));
    await client.until('G');
    await sleep(1000);
    expect(await client.run(startMessage(0x63, 0))).toContain('Z:T');
    expect(await client.run(m.query('SELECT 2'))).toContain('D:2');
    expect(await client.run(m.query('COMMIT'))).toEqual(['C:COMMIT', 'Z:I']);
    client.close();
  });

  it('idle_session_timeout ends a session that does nothing, but none that only appends', async () => {
    const client = await session("SET TimeZone = 'Asia/Tokyo'", "SET idle_session_timeout = '300ms'");
    for (let i = 0; i < 8; i++) {
      expect(await client.run(m.query("COMMENT ON AGGREGATE patient IS 'x'"))).toContain('Z:I');
      await sleep(100);
    }
    expect(await client.run(m.query('SHOW TimeZone'))).toContain('D:Asia/Tokyo');
    expect((await farewell(client)).slice(0, 2)).toEqual(['FATAL', '57P05']);
  });
});

describe('startup', () => {
  it('a client that never finishes its startup or password is dropped in time, others are served', async () => {
    const packet = startupPacket({ user: 'slow', database: 'eventful' });
    const slow = Array.from({ length: 30 }, async (_, i) => {
      const started = Date.now();
      const socket = await openSocket(server.port);
      socket.on('error', () => undefined);
      socket.resume();
      let sent = 0;
      // A third says nothing, a third trickles, a third stops in front of the password.
      if (i % 3 === 2) socket.write(packet);
      const trickle = setInterval(() => {
        if (i % 3 === 1 && sent < packet.length - 1) socket.write(packet.subarray(sent, ++sent));
      }, 20);
      await new Promise((resolve) => socket.once('close', resolve));
      clearInterval(trickle);
      return Date.now() - started;
    });
    const client = await session();
    expect(await client.run(m.query('SELECT 1'))).toContain('D:1');
    for (const after of await Promise.all(slow)) {
      expect(after).toBeGreaterThan(AUTHENTICATION_MS - 100);
      expect(after).toBeLessThan(AUTHENTICATION_MS + 3000);
    }
    // A session that made it in time stays.
    await sleep(AUTHENTICATION_MS);
    expect(await client.run(m.query('SELECT 1'))).toContain('D:1');
    client.close();
  });
});
