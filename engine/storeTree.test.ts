/** The store tree, read while it grows, held against a tree built leaf by leaf. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { tileKey } from './codec/keys.js';
import { sha256 } from './crypto/hash.js';
import { createKeyring, openKeyring } from './crypto/keyring.js';
import { Engine } from './engine.js';
import { MemoryLog } from './log/memory.js';
import { verifyInclusion } from './proofs/merkle.js';
import type { Repository } from './repository.js';
import { MemoryStore } from './store/memory.js';
import { StoreTree } from './storeTree.js';
import { appendLeaf, frontierRoot } from './tree.js';
import type { NewEvent } from './types.js';

const directory = mkdtempSync(join(tmpdir(), 'store-tree-'));
const keys = { masterKey: randomBytes(32), dek: randomBytes(32) };
const writer = { actor: 'user:t', tokenId: null, writeLimit: null };
/** Fewer than a tile, just one, some; the total crosses several. */
const STEPS = [1, 3, 250, 1, 1, 1, 300, 511, 700];

let engine: Engine;
let repository: Repository;
beforeAll(async () => {
  createKeyring(directory, keys);
  const keyring = openKeyring(directory, keys);
  engine = await Engine.open({ store: new MemoryStore(), log: new MemoryLog(), keyring, directory: null });
  await engine.createAggregate(
    {
      type: 'patient',
      fields: [],
      events: [{ name: 'seen', fields: null }],
      open: false,
      snapshotThreshold: 100,
      comment: null,
    },
    writer,
  );
  ({ repository } = engine as unknown as { repository: Repository });
});
afterAll(() => rmSync(directory, { recursive: true }));

function events(count: number): NewEvent[] {
  return Array.from({ length: count }, (_, i) => ({
    aggregateType: 'patient',
    aggregateId: `p-${i % 7}`,
    eventType: 'seen',
    payload: {},
    metadata: null,
    eventId: null,
    expected: { kind: 'any' },
    ignoreDuplicate: false,
  }));
}

async function leaves(): Promise<Buffer[]> {
  const all: Buffer[] = [];
  for await (const { leaf } of repository.positions.scan(1, Number(engine.committedPosition())))
    all.push(leaf);
  return all;
}

function rootOf(hashes: readonly Buffer[]): Buffer {
  let frontier = '';
  hashes.forEach((hash, i) => (frontier = appendLeaf(frontier, i, hash)));
  return frontierRoot(frontier);
}

const hash = (...parts: readonly Uint8Array[]): Uint8Array => sha256(Buffer.concat(parts));

test('roots and inclusion paths are right at every size it had, however much of it was kept from before', async () => {
  const tree = new StoreTree(repository);
  for (const step of STEPS) {
    await engine.append(events(step), writer);
    const all = await leaves();
    const size = all.length;
    for (const n of new Set([1, 2, size >> 1, 255, 256, 257, size - 1, size])) {
      if (n < 1 || n > size) continue;
      const root = rootOf(all.slice(0, n));
      expect(await tree.root(n), `${n} of ${size}`).toEqual(root);
      for (const index of new Set([0, n >> 1, n - 1])) {
        const path = await tree.inclusion(index, n);
        verifyInclusion(hash, index, n, all[index] ?? Buffer.alloc(32), path, root);
      }
    }
  }
});

test('a node or a leaf that is missing is named', async () => {
  const { store } = repository;
  await store.remove([tileKey(8, 2)]);
  await expect(new StoreTree(repository).inclusion(1, 1024)).rejects.toMatchObject({
    sqlstate: 'XX001',
    message: 'node 2 at level 8 of the store tree is missing',
  });
  await expect(new StoreTree(repository).inclusion(1, 10_000)).rejects.toMatchObject({ sqlstate: 'XX001' });
});
