/**
 * An insider who has the DEK, and so can write any record as the engine would, changes history step by step deeper.
 * What stops him at each depth is named; short of the signing key, nothing passes.
 */
import { randomBytes } from 'node:crypto';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Prefix, prefixRange, tileKey } from '../../engine/codec/keys.js';
import { applyEvent } from '../../engine/fold.js';
import { storeLeaf } from '../../engine/hashes.js';
import { createKeyring, openEngine, openKeyring, type Engine } from '../../engine/index.js';
import { Repository, type Head, type StoredEvent } from '../../engine/repository.js';
import { leafOf } from '../../engine/rows.js';
import { RocksStore } from '../../engine/store/rocksdb.js';
import { WriteBehindStore } from '../../engine/store/writeBehind.js';
import { appendLeaf, frontierRoot, type Frontier } from '../../engine/tree.js';
import type { Fields, NewEvent } from '../../engine/types.js';

const writer = { actor: 'user:tester', tokenId: null, writeLimit: null };
const keys = { masterKey: randomBytes(32), dek: randomBytes(32) };
const scratch = mkdtempSync(join(tmpdir(), 'insider-'));
const pristine = join(scratch, 'pristine');
const PATIENTS = 15;
const VERSIONS = 30;
const VICTIM = 'p-4';
/** The victim's events all lie in the first 256 positions, whose node of the store tree is long complete. */
const VICTIM_VERSIONS = 10;
const ALTERED = 2;
let total: number;

const event = (id: string, note: string): NewEvent => ({
  aggregateType: 'patient',
  aggregateId: id,
  eventType: 'changed',
  payload: { note },
  metadata: null,
  eventId: null,
  expected: { kind: 'any' },
  ignoreDuplicate: false,
});

beforeAll(async () => {
  createKeyring(pristine, keys);
  const engine = await openEngine({ directory: pristine, ...keys });
  const fields = [{ name: 'note', type: 'text' }];
  const events = [{ name: 'changed', fields: null }];
  const patient = { type: 'patient', fields, events, open: false, snapshotThreshold: 100, comment: null };
  await engine.createAggregate(patient, writer);
  for (let v = 1; v <= VERSIONS; v++)
    await engine.append(
      Array.from({ length: PATIENTS }, (_, i) => event(`p-${i}`, `v${v}`)).filter(
        ({ aggregateId }) => aggregateId !== VICTIM || v <= VICTIM_VERSIONS,
      ),
      writer,
    );
  total = Number(engine.committedPosition());
  await engine.close();
});
afterAll(() => rmSync(scratch, { recursive: true }));

let copies = 0;
/** A copy of the store after the insider was at it. */
async function after(
  work: (insider: Insider) => Promise<void>,
  also?: (directory: string) => void,
): Promise<string> {
  const directory = join(scratch, String(copies++));
  cpSync(pristine, directory, { recursive: true });
  const store = await RocksStore.open(join(directory, 'store'));
  const repository = new Repository(new WriteBehindStore(store), openKeyring(directory, keys));
  await repository.dictionary.load();
  await work(new Insider(store, repository));
  await store.write(repository.dictionary.entries());
  await store.flush();
  await store.close();
  also?.(directory);
  return directory;
}

/** What somebody with the DEK can do. */
class Insider {
  constructor(
    readonly store: RocksStore,
    readonly repository: Repository,
  ) {}

  get agg(): Buffer {
    return this.repository.index.aggregate(16, 'patient', VICTIM);
  }

  async head(): Promise<Head> {
    const head = await this.repository.head(this.agg);
    if (head === null) throw new Error('no head');
    return head;
  }

  /** Writes an event anew with something else in it. */
  async alterEvent(change: Partial<StoredEvent> = { fields: { note: 'forged' } }): Promise<void> {
    const stored = await this.repository.event(this.agg, ALTERED);
    if (stored === null) throw new Error('no event');
    await this.store.write([this.repository.eventEntry({ ...stored, ...change }, null)]);
  }

  /** Makes head and total order what the altered events give; returns the leaves of the whole store. */
  async repairAggregate(): Promise<Buffer[]> {
    let frontier: Frontier = '';
    let state: Fields = {};
    const leaves = new Map<number, Buffer>();
    for await (const stored of this.repository.scanEvents(await this.head(), 1, VICTIM_VERSIONS)) {
      const leaf = leafOf(stored);
      frontier = appendLeaf(frontier, stored.version - 1, leaf);
      state = applyEvent(state, stored.fields);
      leaves.set(stored.position, storeLeaf(stored, leaf, frontierRoot(frontier)));
    }
    const head = await this.head();
    await this.store.write([this.repository.headEntry({ ...head, frontier, state })]);
    const all: Buffer[] = [];
    for await (const { key, value } of this.store.scan(prefixRange(Prefix.log))) {
      const run = this.repository.positions.openRun(key, value);
      const changed = run.map((entry) => ({ ...entry, leaf: leaves.get(entry.position) ?? entry.leaf }));
      await this.store.write([
        this.repository.positions.entry(run[0]?.position ?? 0, run[0]?.recordedAt ?? 0, changed),
      ]);
      all.push(...changed.map((entry) => Buffer.from(entry.leaf)));
    }
    return all;
  }

  /** Makes the store's tree what the leaves give. */
  async repairTree(leaves: readonly Buffer[]): Promise<void> {
    let frontier: Frontier = '';
    const nodes: { level: number; index: number; hash: Buffer }[] = [];
    leaves.forEach((leaf, i) => {
      frontier = appendLeaf(frontier, i, leaf, (level, index, hash) => {
        if (level % 8 === 0) nodes.push({ level, index, hash: Buffer.from(hash) });
      });
    });
    for (const { level, index, hash } of nodes)
      await this.store.write([this.repository.sealed(tileKey(level, index), hash)]);
    const progress = await this.repository.progress();
    await this.store.write([this.repository.progressEntry({ ...progress, frontier })]);
  }
}

async function opened<T>(directory: string, work: (engine: Engine) => Promise<T>): Promise<T> {
  const engine = await openEngine({ directory, ...keys });
  try {
    return await work(engine);
  } finally {
    await engine.close();
  }
}

const named = (reason: string): unknown =>
  expect.objectContaining({
    sqlstate: 'XX001',
    detail: expect.stringContaining(
      `aggregate "patient", id "${VICTIM}", version ${ALTERED}: ${reason}`,
    ) as string,
  });
const found = expect.objectContaining({ sqlstate: 'XX001' });

/** Scanning in the engine's thread and in threads of their own. */
const WAYS = [{ threads: 0 }, { threads: 2 }];

async function bothRefuse(directory: string, error: unknown): Promise<void> {
  await opened(directory, async (engine) => {
    for (const options of WAYS) {
      await expect(engine.verify(null, null, options)).rejects.toEqual(error);
      await expect(engine.verify('patient', null, options)).rejects.toEqual(error);
    }
    await expect(engine.verify('patient', VICTIM)).rejects.toEqual(error);
  });
}

describe('an altered payload', () => {
  test('the insider leaves a store alone that verifies', async () => {
    const directory = await after(async (insider) => insider.repairTree(await insider.repairAggregate()));
    await opened(directory, async (engine) => {
      for (const options of WAYS)
        expect(await engine.verify(null, null, options)).toMatchObject({ size: total, events: total });
      await engine.verify('patient', VICTIM);
    });
  });

  test('alone: not what the store tree holds', async () => {
    await bothRefuse(
      await after((insider) => insider.alterEvent()),
      named('it is not what the store tree holds'),
    );
  });

  test('with head and total order, in a part of the tree that is long complete', async () => {
    const directory = await after(async (insider) => {
      await insider.alterEvent();
      await insider.repairAggregate();
    });
    await bothRefuse(directory, found);
  });

  test('with all trees: not what the checkpoint beside the store signed', async () => {
    const directory = await after(async (insider) => {
      await insider.alterEvent();
      await insider.repairTree(await insider.repairAggregate());
    });
    await expect(openEngine({ directory, ...keys })).rejects.toEqual(found);
  });

  test('with all trees and without the checkpoint beside the store: not what the stored ones signed', async () => {
    const directory = await after(
      async (insider) => {
        await insider.alterEvent();
        await insider.repairTree(await insider.repairAggregate());
      },
      (copy) => rmSync(join(copy, 'checkpoint')),
    );
    await opened(directory, (engine) => expect(engine.verify(null, null)).rejects.toEqual(found));
  });
});

describe('what is shown beside the payload', () => {
  const verifies = (directory: string): Promise<unknown> =>
    opened(directory, (engine) => engine.verify(null, null));

  test.each([
    ['archived', { archived: true }],
    ['created_at', { createdAt: 1 }],
    ['updated_at', { updatedAt: 1 }],
    ['state', { state: { note: 'forged' } }],
    ['position', { position: 3 }],
  ])('a head with another %s', async (_what, change) => {
    const directory = await after(async (insider) => {
      const head = { ...(await insider.head()), ...change };
      await insider.store.write([insider.repository.headEntry(head)]);
    });
    await expect(verifies(directory)).rejects.toEqual(found);
  });

  test.each([
    ['state', { state: { note: 'forged' } }],
    ['time', { updatedAt: 1 }],
    ['time of creation', { createdAt: 1 }],
    ['position', { position: 3 }],
    ['state with a field more', { state: { note: `v${ALTERED}`, other: 'x' } }],
  ])('a snapshot with another %s, from which AS OF starts', async (_what, change) => {
    const plant = (more: object) =>
      after(async ({ store, repository, agg }) => {
        const stored = await repository.event(agg, ALTERED);
        const first = await repository.event(agg, 1);
        if (stored === null || first === null) throw new Error('no event');
        const { position, recordedAt } = stored;
        const state = stored.fields;
        const times = { createdAt: first.recordedAt, updatedAt: recordedAt };
        const snapshot = { position, ...times, state, ...more };
        await store.write([repository.snapshotEntry(stored, ALTERED, snapshot)]);
      });
    await verifies(await plant({}));
    await expect(verifies(await plant(change))).rejects.toEqual(found);
  });

  test('another time in the total order, which AS OF TIMESTAMP goes by', async () => {
    const directory = await after(async ({ store, repository }) => {
      for await (const { key, value } of store.scan(prefixRange(Prefix.log))) {
        const run = repository.positions.openRun(key, value);
        const later = (run[0]?.recordedAt ?? 0) + 3.6e9;
        await store.write([repository.positions.entry(run[0]?.position ?? 0, later, run)]);
      }
    });
    await expect(verifies(directory)).rejects.toEqual(found);
  });

  test('another actor, time or event type in an event', async () => {
    for (const change of [{ actor: 'user:somebody-else' }, { recordedAt: 1 }, { eventType: 'created' }]) {
      const directory = await after((insider) => insider.alterEvent(change));
      await bothRefuse(directory, named('it is not what the store tree holds'));
    }
  });
});
