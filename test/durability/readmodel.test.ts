/** The read model is disposable: killed, removed or held up, it loses nothing and holds up no append. */
import { cpSync, rmSync } from 'node:fs';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../harness.js';
import { asText, callVerify } from './support.js';

let server: TestServer;
let total = 0;

async function append(client: pg.Client, id: string): Promise<void> {
  await client.query('INSERT INTO account EVENTS added (aggregate_id, n) VALUES ($1, $2)', [
    id,
    String(++total),
  ]);
}
async function sumOfVersions(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ v: string | null }>('SELECT sum(version) AS v FROM account');
  return Number(rows[0]?.v ?? 0);
}
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

beforeAll(async () => {
  server = await startTestServer();
  const client = await server.connect();
  await client.query('CREATE AGGREGATE account (n bigint, EVENT added)');
  for (let i = 0; i < 20; i++) await append(client, `a-${i}`);
  await client.end();
});
afterAll(() => server?.destroy());

/** Reads on fresh connections until one works; how long that took. */
async function untilReadsWork(): Promise<number> {
  const started = performance.now();
  for (;;) {
    const client = await server.connect(undefined, asText).catch(() => null);
    try {
      if (client !== null && (await sumOfVersions(client)) >= 20) return performance.now() - started;
    } catch {
      await pause(50);
    } finally {
      await client?.end().catch(() => undefined);
    }
    if (performance.now() - started > 30_000) throw new Error('reads did not come back');
  }
}

describe('the postmaster killed with -9', () => {
  test.each([1, 2, 3])('under load: appends never fail, reads are back within seconds (%i)', async () => {
    const writer = await server.connect(undefined, asText);
    const reader = await server.connect(undefined, asText);
    let stop = false;
    let appended = 0;
    const appends = (async () => {
      for (; !stop; appended++) await append(writer, `a-${appended % 20}`);
    })();
    const reads = (async () => {
      while (!stop) await sumOfVersions(reader).catch(() => pause(20));
    })();
    await pause(200);
    const { pid } = server.server.readModel;
    if (pid === null) throw new Error('the read model is down already');
    process.kill(pid, 'SIGKILL');
    await pause(50);
    const before = appended;
    const ms = await untilReadsWork();
    expect(ms).toBeLessThan(10_000);
    expect(server.server.readModel.pid).not.toBe(pid);
    await pause(200);
    expect(appended).toBeGreaterThan(before);
    stop = true;
    await appends;
    await reads;
    await writer.end();
    await reader.end();
    const client = await server.connect(undefined, asText);
    expect(await sumOfVersions(client)).toBe(total);
    expect(await callVerify(client)).toMatchObject({ verified: 't' });
    await client.end();
  });

  test('a connection made meanwhile works, or is told to come back (57P03)', async () => {
    const { pid } = server.server.readModel;
    if (pid === null) throw new Error('the read model is down already');
    process.kill(pid, 'SIGKILL');
    const codes = new Set<string>();
    let appended = 0;
    for (const end = performance.now() + 1500; performance.now() < end;) {
      try {
        const client = await server.connect(undefined, asText);
        await append(client, 'a-1');
        appended++;
        await client.end();
      } catch (error) {
        codes.add((error as { code?: string }).code ?? String(error));
        await pause(20);
      }
    }
    await untilReadsWork();
    expect(appended).toBeGreaterThan(0);
    expect([...codes].filter((code) => code !== '57P03')).toEqual([]);
    const client = await server.connect(undefined, asText);
    total = await sumOfVersions(client);
    await client.end();
  });
});

describe('consistency', () => {
  test('a read sees every append that was acknowledged before it began, from any connection', async () => {
    const [writer, reader] = [await server.connect(), await server.connect(undefined, asText)];
    for (let i = 0; i < 100; i++) {
      await append(writer, 'a-1');
      expect(await sumOfVersions(reader)).toBe(total);
    }
    await writer.end();
    await reader.end();
  });

  test('eventual reads do not wait for a read model that is held up, linearizable ones do', async () => {
    const { readModel } = server.server;
    const [writer, eventual, strict] = await Promise.all(
      [1, 2, 3].map(() => server.connect(undefined, asText)),
    );
    if (writer === undefined || eventual === undefined || strict === undefined)
      throw new Error('no connection');
    await eventual.query("SET eventful.read_consistency = 'eventual'");
    await sumOfVersions(strict);
    const before = total;
    await readModel.query('BEGIN');
    await readModel.query('LOCK TABLE public.account IN EXCLUSIVE MODE');
    let answer: number | null = null;
    let waiting: Promise<void>;
    try {
      await append(writer, 'a-2');
      waiting = sumOfVersions(strict).then((sum) => void (answer = sum));
      expect(await sumOfVersions(eventual)).toBe(before);
      await pause(300);
      expect(answer).toBeNull();
    } finally {
      await readModel.query('ROLLBACK');
    }
    await waiting;
    expect(answer).toBe(before + 1);
    for (const client of [writer, eventual, strict]) await client.end();
  });
});

test('a table that is not what the events say is found by verify, which says that they are sound', async () => {
  const { readModel } = server.server;
  const client = await server.connect(undefined, asText);
  await readModel.query("UPDATE public.account SET n = n + 1 WHERE aggregate_id = 'a-7'");
  const differs = {
    code: 'XX001',
    message: 'the read model differs from the events',
    detail: expect.stringContaining('aggregate "account", id "a-7"') as string,
    hint: expect.stringContaining('sound') as string,
  };
  for (const call of ['CALL verify()', "CALL verify('account')", "CALL verify('account', 'a-7')"])
    await expect(client.query(call)).rejects.toMatchObject(differs);
  await readModel.query("UPDATE public.account SET n = n - 1 WHERE aggregate_id = 'a-7'");
  expect(await callVerify(client)).toMatchObject({ verified: 't' });
  await client.end();
});

describe('the directory removed', () => {
  const rowsOf = async (client: pg.Client): Promise<unknown[]> =>
    (await client.query<object>('SELECT * FROM account ORDER BY aggregate_id')).rows;

  test('while stopped: rebuilt, and the same', async () => {
    const client = await server.connect(undefined, asText);
    const before = await rowsOf(client);
    expect(before).toHaveLength(20);
    await client.end();
    await server.stop();
    rmSync(server.server.readModel.directory, { recursive: true });
    server = await startTestServer({ reopen: server });
    expect(server.server.readModel.report).not.toBeNull();
    const again = await server.connect(undefined, asText);
    expect(await rowsOf(again)).toEqual(before);
    expect(await callVerify(again)).toMatchObject({ verified: 't' });
    await append(again, 'a-3');
    expect(await sumOfVersions(again)).toBe(total);
    await again.end();
  });

  test('a restart without damage does not rebuild', async () => {
    await server.stop();
    server = await startTestServer({ reopen: server });
    expect(server.server.readModel.report).toBeNull();
    const client = await server.connect(undefined, asText);
    expect(await sumOfVersions(client)).toBe(total);
    await client.end();
  });
});

test('a copy of the store that went on by itself leaves nothing behind', async () => {
  const versions = async (of: TestServer): Promise<unknown[]> => {
    const client = await of.connect(undefined, asText);
    const { rows } = await client.query<object>('SELECT version, n FROM account');
    await client.end();
    return rows;
  };
  const set = async (of: TestServer, n: number): Promise<void> => {
    const client = await of.connect();
    await client.query("INSERT INTO account EVENTS added (aggregate_id, n) VALUES ('one', $1)", [String(n)]);
    await client.end();
  };
  let original = await startTestServer();
  const client = await original.connect();
  await client.query('CREATE AGGREGATE account (n bigint, EVENT added)');
  await client.end();
  await set(original, 1);
  await original.stop();
  const directory = `${original.directory}-copy`;
  cpSync(original.directory, directory, { recursive: true });
  try {
    original = await startTestServer({ reopen: original });
    await set(original, 2);
    await original.stop();
    const copy = await startTestServer({ reopen: { directory, keys: original.keys } });
    await set(copy, 3);
    expect(await versions(copy)).toEqual([{ version: '2', n: '3' }]);
    await copy.stop();
    original = await startTestServer({ reopen: original });
    expect(await versions(original)).toEqual([{ version: '2', n: '2' }]);
  } finally {
    await original.destroy();
    rmSync(directory, { recursive: true, force: true });
  }
});
