import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MemoryStore } from './memory.js';
import { RocksStore } from './rocksdb.js';
import type { Entry, ScanRange, Store } from './store.js';

const bytes = (text: string) => Buffer.from(text, 'latin1');
const entry = (key: string, value = key): Entry => ({ key: bytes(key), value: bytes(value) });

async function keysOf(store: Store, range: ScanRange): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.scan(range)) keys.push(key.toString('latin1'));
  return keys;
}

describe.each(['MemoryStore', 'RocksStore'])('%s', (name) => {
  let directory: string;
  let store: Store;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'store-'));
    store = name === 'MemoryStore' ? new MemoryStore() : await RocksStore.open(directory);
  });
  afterEach(async () => {
    await store.close();
    await rm(directory, { recursive: true });
  });

  const whole = { gte: bytes('\x01'), lt: bytes('\xff\xff') };

  test('gives back what was written, an empty value too, null for an absent key', async () => {
    await store.write([entry('a', 'one'), entry('b', '')]);
    expect(await store.get(bytes('a'))).toEqual(bytes('one'));
    expect(await store.get(bytes('b'))).toEqual(Buffer.alloc(0));
    expect(await store.get(bytes('c'))).toBeNull();
    expect(await store.getMany([bytes('c'), bytes('a'), bytes('a')])).toEqual([
      null,
      bytes('one'),
      bytes('one'),
    ]);
    expect(await store.getMany([])).toEqual([]);
  });

  test('overwrites, within one batch too', async () => {
    await store.write([entry('a', '1'), entry('a', '2')]);
    expect(await store.get(bytes('a'))).toEqual(bytes('2'));
    await store.write([entry('a', '3')]);
    expect(await store.get(bytes('a'))).toEqual(bytes('3'));
    expect(await keysOf(store, whole)).toEqual(['a']);
  });

  test('keeps copies: buffers may be reused once the write resolved, and what it gives out is the caller’s', async () => {
    const shared = bytes('v1');
    await store.write([{ key: bytes('a'), value: shared }]);
    shared.fill(0);
    (await store.get(bytes('a')))?.fill(0);
    expect(await store.get(bytes('a'))).toEqual(bytes('v1'));
  });

  test('orders keys bytewise', async () => {
    await store.write(['b', '\xff', 'a', 'ab', '\x80', 'a\x00'].map((key) => entry(key)));
    expect(await keysOf(store, whole)).toEqual(['a', 'a\x00', 'ab', 'b', '\x80', '\xff']);
  });

  test('scans from gte up to but not including lt, either way, up to a limit', async () => {
    await store.write([...'abcdef'].map((key) => entry(key)));
    const range = { gte: bytes('b'), lt: bytes('e') };
    expect(await keysOf(store, range)).toEqual(['b', 'c', 'd']);
    expect(await keysOf(store, { ...range, reverse: true })).toEqual(['d', 'c', 'b']);
    expect(await keysOf(store, { ...range, limit: 2 })).toEqual(['b', 'c']);
    expect(await keysOf(store, { ...range, limit: 2, reverse: true })).toEqual(['d', 'c']);
    expect(await keysOf(store, { ...range, limit: 0 })).toEqual([]);
    expect(await keysOf(store, { gte: bytes('e'), lt: bytes('b') })).toEqual([]);
    expect(await keysOf(store, { gte: bytes('a'), lt: Buffer.alloc(0) })).toEqual([]);
    expect(await keysOf(store, { gte: Buffer.alloc(0), lt: bytes('b') })).toEqual(['a']);
  });

  test('scans past one fetch, with and without a limit at its edge', async () => {
    const keys = Array.from({ length: 600 }, (_, i) => `k${String(i).padStart(4, '0')}`);
    await store.write(keys.map((key) => entry(key)));
    expect(await keysOf(store, whole)).toEqual(keys);
    expect(await keysOf(store, { ...whole, limit: 512 })).toEqual(keys.slice(0, 512));
    expect(await keysOf(store, { ...whole, limit: 300, reverse: true })).toEqual(keys.slice(300).reverse());
  });

  test('a scan does not see what is written after it began', async () => {
    await store.write([entry('a'), entry('c')]);
    const seen: string[] = [];
    for await (const { key, value } of store.scan(whole)) {
      seen.push(`${key.toString()}=${value.toString()}`);
      await store.write([entry('b'), entry('c', 'new')]);
    }
    expect(seen).toEqual(['a=a', 'c=c']);
  });

  test('removes keys, absent ones without complaint', async () => {
    await store.write([entry('a'), entry('b')]);
    await store.remove([bytes('a'), bytes('x')]);
    await store.remove([]);
    await store.write([]);
    expect(await keysOf(store, whole)).toEqual(['b']);
  });

  test('closes after a scan that ended early', async () => {
    await store.write([entry('a'), entry('b')]);
    for await (const { key } of store.scan(whole)) {
      expect(key.toString()).toBe('a');
      break;
    }
    await store.close();
  });

  test('closing ends an open scan with an error, not with a short answer', async () => {
    await store.write(Array.from({ length: 1000 }, (_, i) => entry(`k${i}`)));
    const scan = store.scan(whole)[Symbol.asyncIterator]();
    await scan.next();
    await store.close();
    await expect(scan.next()).rejects.toMatchObject({ sqlstate: '55000' });
  });

  test('refuses every call once closed', async () => {
    await store.close();
    await store.close();
    const refused = { sqlstate: '55000', message: 'the store is closed' };
    await expect(store.get(bytes('a'))).rejects.toMatchObject(refused);
    await expect(store.getMany([])).rejects.toMatchObject(refused);
    await expect(keysOf(store, whole)).rejects.toMatchObject(refused);
    await expect(store.write([entry('a')])).rejects.toMatchObject(refused);
    await expect(store.remove([bytes('a')])).rejects.toMatchObject(refused);
    await expect(store.flush()).rejects.toMatchObject(refused);
  });

  test('agrees with a sorted map on random writes, removals and scans', async () => {
    const key = fc.uint8Array({ minLength: 1, maxLength: 3, max: 4 });
    const step = fc.record({ key, value: fc.uint8Array({ maxLength: 4 }), remove: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 20 }),
        key,
        key,
        fc.boolean(),
        async (steps, a, b, reverse) => {
          await store.remove((await keysOf(store, { gte: Buffer.alloc(0), lt: whole.lt })).map(bytes));
          const model = new Map<string, string>();
          for (const { key, value, remove } of steps) {
            if (remove) model.delete(Buffer.from(key).toString('hex'));
            else model.set(Buffer.from(key).toString('hex'), Buffer.from(value).toString('hex'));
            await (remove ? store.remove([key]) : store.write([{ key, value }]));
          }
          const inRange = (hex: string) =>
            Buffer.compare(Buffer.from(hex, 'hex'), a) >= 0 && Buffer.compare(Buffer.from(hex, 'hex'), b) < 0;
          const expected = [...model].filter(([hex]) => inRange(hex)).sort(([x], [y]) => (x < y ? -1 : 1));
          const found: [string, string][] = [];
          for await (const e of store.scan({ gte: a, lt: b, reverse })) {
            found.push([e.key.toString('hex'), e.value.toString('hex')]);
          }
          expect(found).toEqual(reverse ? expected.reverse() : expected);
        },
      ),
      { numRuns: 60 },
    );
  });
});
