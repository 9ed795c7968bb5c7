/** Whatever is changed on disk behind the server's back is found by CALL verify(), which names where. */
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Prefix, plainKey, tileKey, versionKey } from '../../engine/codec/keys.js';
import { openKeyring } from '../../engine/crypto/keyring.js';
import { Repository } from '../../engine/repository.js';
import { RocksStore } from '../../engine/store/rocksdb.js';
import { WriteBehindStore } from '../../engine/store/writeBehind.js';
import { readModelFor } from '../../server/statements/compare.js';
import { startTestServer, type TestServer } from '../harness.js';
import { callVerify } from './support.js';

const PATIENTS = 20;
const VERSIONS = 20;
/** The first user type. */
const TYPE_NUMBER = 16;

let origin: TestServer;
/** The untouched store, and one taken before the last events. */
let pristine: string;
let older: string;
const scratch = mkdtempSync(join(tmpdir(), 'tamper-'));

const marker = (id: number, version: number): string => `note ${id}/${version} ${'x'.repeat(60)}`;

async function appendTo(client: pg.Client, versions: readonly number[]): Promise<void> {
  for (const version of versions) {
    const values = Array.from({ length: PATIENTS }, (_, i) => `('p-${i}', '${marker(i, version)}')`);
    await client.query(`INSERT INTO patient EVENTS changed (aggregate_id, note) VALUES ${values.join(', ')}`);
  }
}

beforeAll(async () => {
  origin = await startTestServer();
  const client = await origin.connect();
  await client.query(
    'CREATE AGGREGATE patient (note text, EVENT changed (note)) WITH (snapshot_threshold = 5)',
  );
  await appendTo(
    client,
    Array.from({ length: VERSIONS - 1 }, (_, i) => i + 1),
  );
  await client.end();
  await origin.stop();
  older = copyOf(origin.directory);
  const again = await startTestServer({ reopen: origin });
  const second = await again.connect();
  await appendTo(second, [VERSIONS]);
  await second.end();
  await again.stop();
  pristine = copyOf(origin.directory);
});
afterAll(async () => {
  await origin.destroy();
  rmSync(scratch, { recursive: true });
});

let copies = 0;
function copyOf(directory: string): string {
  const copy = join(scratch, String(copies++));
  cpSync(directory, copy, { recursive: true });
  return copy;
}

const at = (directory: string) => ({ reopen: { directory, keys: origin.keys } });

/** The store of a stopped server, with its keys: what an insider has. */
async function withStore<T>(
  directory: string,
  work: (repository: Repository, store: RocksStore) => Promise<T>,
): Promise<T> {
  const store = await RocksStore.open(join(directory, 'store'));
  try {
    const repository = new Repository(new WriteBehindStore(store), openKeyring(directory, origin.keys));
    await repository.dictionary.load();
    return await work(repository, store);
  } finally {
    await store.flush();
    await store.close();
  }
}

const aggOf = (repository: Repository, id: string): Buffer =>
  repository.index.aggregate(TYPE_NUMBER, 'patient', id);
const eventKey = (repository: Repository, id: string, version: number): Buffer =>
  versionKey(Prefix.event, aggOf(repository, id), version);

/** As their records lie in the store. */
const idsInOrder = (repository: Repository): string[] =>
  Array.from({ length: PATIENTS }, (_, i) => `p-${i}`).sort((a, b) =>
    aggOf(repository, a).compare(aggOf(repository, b)),
  );

async function valueOf(store: RocksStore, key: Uint8Array): Promise<Buffer> {
  const value = await store.get(key);
  if (value === null) throw new Error('the record to tamper with is not there');
  return value;
}

/** Flips one byte of a stored value in the table file that holds it. */
function flipInTables(directory: string, value: Buffer): void {
  const tables = readdirSync(join(directory, 'store')).filter((name) => name.endsWith('.sst'));
  const needle = value.subarray(40, 64);
  for (const name of tables) {
    const path = join(directory, 'store', name);
    const bytes = readFileSync(path);
    const place = bytes.indexOf(needle);
    if (place < 0) continue;
    bytes[place + 7] = (bytes[place + 7] ?? 0) ^ 0x10;
    writeFileSync(path, bytes);
    return;
  }
  throw new Error('the value stands in no table file');
}

interface Refusal {
  readonly code: string;
  readonly detail: string;
}

/** A store of this size is not scanned in threads of itself. */
async function expectSameInThreads({ server }: TestServer, { detail }: Refusal): Promise<void> {
  const { engine, readModel } = server;
  const options = { ...readModelFor({ engine, readModel }), threads: 2 };
  await expect(engine.verify(null, null, options)).rejects.toMatchObject({ sqlstate: 'XX001', detail });
}

/** Starts a server on the directory; what CALL verify() fails with. */
async function refusal(directory: string, statement = 'CALL verify()'): Promise<Refusal> {
  const server = await startTestServer(at(directory));
  const client = await server.connect();
  try {
    const outcome: unknown = await client.query(statement).then(
      () => 'it verified',
      (error: unknown) => error,
    );
    expect(outcome).toMatchObject({ code: 'XX001', message: 'verification failed' });
    if (statement === 'CALL verify()') await expectSameInThreads(server, outcome as Refusal);
    return outcome as Refusal;
  } finally {
    await client.end();
    // RocksDB may have come upon the damage by itself and then cannot flush; what matters is that it lets go.
    await server.stop().catch((error: unknown) => expect(error).toMatchObject({ sqlstate: 'XX001' }));
  }
}

/** A copy whose read model is complete when the store is tampered with: one made afterwards lacks what cannot be read. */
async function servedCopy(): Promise<string> {
  const directory = copyOf(pristine);
  await (await startTestServer(at(directory))).stop();
  return directory;
}

const names = (id: string, version: number): string =>
  `aggregate "patient", id "${id}", version ${version}: `;

describe('the untouched store', () => {
  test('verifies, so that the tests below can fail', async () => {
    const server = await startTestServer(at(copyOf(pristine)));
    const client = await server.connect();
    const answer = await callVerify(client);
    expect(answer.verified).toBe(true);
    // One schema event and one token for each of the four starts.
    expect(Number(answer.size)).toBeGreaterThan(PATIENTS * VERSIONS);
    expect(Number(answer.size)).toBeGreaterThan(256);
    await client.end();
    await server.stop();
  });
});

describe('changed bytes', () => {
  test('one byte of one event in its table file', async () => {
    const directory = copyOf(pristine);
    // Not at an edge: the block there also holds what the server needs to start.
    const [id, value] = await withStore(directory, async (repository, store) => {
      const middle = idsInOrder(repository)[PATIENTS / 2] ?? '';
      return [middle, await valueOf(store, eventKey(repository, middle, 9))] as const;
    });
    flipInTables(directory, value);
    const { detail } = await refusal(directory);
    const match = /^aggregate "patient", id "(p-\d+)", version (\d+): /.exec(detail);
    expect(match).not.toBeNull();
    // The whole block is unreadable then; the one named is in it.
    await withStore(directory, async (repository, store) => {
      const bad = store.get(eventKey(repository, match?.[1] ?? '', Number(match?.[2])));
      await expect(bad).rejects.toMatchObject({ sqlstate: 'XX001' });
      const tampered = store.get(eventKey(repository, id, 9));
      await expect(tampered).rejects.toMatchObject({ sqlstate: 'XX001' });
    });
    expect((await refusal(directory, `CALL verify('patient', '${id}')`)).detail).toContain(`id "${id}"`);
  });

  test("one byte of an event, with RocksDB's checksums right", async () => {
    const directory = copyOf(pristine);
    await withStore(directory, async (repository, store) => {
      const key = eventKey(repository, 'p-7', 9);
      const value = await valueOf(store, key);
      value[value.length - 20] = (value[value.length - 20] ?? 0) ^ 1;
      await store.write([{ key, value }]);
    });
    expect((await refusal(directory)).detail).toContain(names('p-7', 9));
    expect((await refusal(directory, "CALL verify('patient', 'p-7')")).detail).toContain(names('p-7', 9));
  });

  test('one node of the store tree in its table file', async () => {
    const directory = copyOf(pristine);
    const value = await withStore(directory, (_repository, store) => valueOf(store, tileKey(8, 0)));
    flipInTables(directory, value);
    expect((await refusal(directory)).detail).toMatch(/aggregate ".+", id ".+", version \d+: /);
  });

  test('one node of the store tree replaced by another, well encrypted', async () => {
    const directory = copyOf(pristine);
    await withStore(directory, (repository, store) =>
      store.write([
        repository.sealed(tileKey(8, 0), randomBytes(32)),
        ...repository.dictionary.nonceEntries(),
      ]),
    );
    expect((await refusal(directory)).detail).toContain('node 0 at level 8 of the store tree');
  });
});

describe('moved and removed records', () => {
  test('two events that changed places', async () => {
    const directory = copyOf(pristine);
    await withStore(directory, async (repository, store) => {
      const [a, b] = [eventKey(repository, 'p-3', 4), eventKey(repository, 'p-3', 5)];
      const [first, second] = [await valueOf(store, a), await valueOf(store, b)];
      await store.write([
        { key: a, value: second },
        { key: b, value: first },
      ]);
    });
    expect((await refusal(directory)).detail).toContain(names('p-3', 4));
  });

  test('the newest event', async () => {
    const directory = copyOf(pristine);
    await withStore(directory, (repository, store) => store.remove([eventKey(repository, 'p-3', VERSIONS)]));
    expect((await refusal(directory)).detail).toContain(names('p-3', VERSIONS) + 'the event is missing');
  });

  test('the head put back to an earlier version', async () => {
    const directory = copyOf(pristine);
    const key = await withStore(directory, (repository) =>
      Promise.resolve(plainKey(Prefix.head, aggOf(repository, 'p-3'))),
    );
    const old = await withStore(copyOf(older), (_repository, store) => valueOf(store, key));
    await withStore(directory, (_repository, store) => store.write([{ key, value: old }]));
    expect((await refusal(directory)).detail).toContain(names('p-3', VERSIONS));
  });

  test('the head, and with it the key of its events: the id is known from the read model', async () => {
    const directory = await servedCopy();
    await withStore(directory, (repository, store) =>
      store.remove([plainKey(Prefix.head, aggOf(repository, 'p-3'))]),
    );
    expect((await refusal(directory)).detail).toContain(names('p-3', 1) + "its head: an aggregate's head");
  });

  test('one byte of a head: also the append to it is refused, by name', async () => {
    const directory = await servedCopy();
    await withStore(directory, async (repository, store) => {
      const key = plainKey(Prefix.head, aggOf(repository, 'p-3'));
      const value = await valueOf(store, key);
      value[value.length - 20] = (value[value.length - 20] ?? 0) ^ 1;
      await store.write([{ key, value }]);
    });
    expect((await refusal(directory)).detail).toContain(names('p-3', 1) + 'its head: ');
    const server = await startTestServer(at(directory));
    const client = await server.connect();
    await expect(
      client.query("INSERT INTO patient EVENTS changed (aggregate_id, note) VALUES ('p-3', 'more')"),
    ).rejects.toMatchObject({
      code: 'XX001',
      detail: expect.stringContaining('aggregate "patient", id "p-3": ') as string,
    });
    await client.end();
    await server.stop();
  });

  test('the store replaced by an older copy of itself', async () => {
    const directory = copyOf(pristine);
    for (const part of ['store', 'log']) {
      rmSync(join(directory, part), { recursive: true });
      cpSync(join(older, part), join(directory, part), { recursive: true });
    }
    await expect(startTestServer(at(directory))).rejects.toMatchObject({
      sqlstate: 'XX001',
      message: expect.stringMatching('lost its newest events') as string,
    });
  });
});

describe('the read model', () => {
  test.each([
    ['a changed value', "UPDATE public.patient SET note = 'another' WHERE aggregate_id = 'p-11'"],
    [
      'a changed time',
      "UPDATE public.patient SET updated_at = updated_at - interval '1 day' WHERE aggregate_id = 'p-11'",
    ],
    ['a row removed', "DELETE FROM public.patient WHERE aggregate_id = 'p-11'"],
  ])('%s is named', async (_what, tampering) => {
    const server = await startTestServer(at(copyOf(pristine)));
    const client = await server.connect();
    await callVerify(client);
    await server.server.readModel.query('BEGIN');
    const { rows } = await server.server.readModel.query(`${tampering} RETURNING 1`);
    await server.server.readModel.query('COMMIT');
    expect(rows).toHaveLength(1);
    for (const call of ['CALL verify()', "CALL verify('patient')", "CALL verify('patient', 'p-11')"])
      await expect(client.query(call)).rejects.toMatchObject({
        code: 'XX001',
        detail: expect.stringContaining(names('p-11', VERSIONS)) as string,
      });
    await client.end();
    await server.stop();
    // Disposable: made anew, it is right again.
    rmSync(server.server.readModel.directory, { recursive: true });
  });
});
