import { expect, test } from 'vitest';
import { MemoryStore } from './memory.js';
import type { Entry } from './store.js';
import { WriteBehindStore } from './writeBehind.js';

/** A store whose writes are held back until they are let through. */
class HeldStore extends MemoryStore {
  readonly heldBatches: { readonly entries: readonly Entry[]; readonly go: () => void }[] = [];

  override async write(entries: readonly Entry[]): Promise<void> {
    await new Promise<void>((go) => this.heldBatches.push({ entries, go }));
    await super.write(entries);
  }

  async letThrough(): Promise<number> {
    while (this.heldBatches[0] === undefined) await new Promise((resolve) => setTimeout(resolve, 1));
    const [batch] = this.heldBatches.splice(0, 1);
    batch?.go();
    return batch?.entries.length ?? 0;
  }
}

const bytes = (text: string): Buffer => Buffer.from(text);
const entry = (key: string, value = key): Entry => ({ key: bytes(key), value: bytes(value) });

test('groups enqueued together are one batch, in order; a later value of a key wins', async () => {
  const held = new HeldStore();
  const store = new WriteBehindStore(held);
  store.enqueue([entry('a', '1'), entry('b')]);
  store.enqueue([entry('a', '2')]);
  const read = store.get(bytes('a'));
  expect(await held.letThrough()).toBe(3);
  expect(await read).toEqual(bytes('2'));
});

test('what every group ends with is written once for a batch, with the last value', async () => {
  const held = new HeldStore();
  const store = new WriteBehindStore(held);
  for (const n of ['1', '2', '3']) store.enqueue([entry(`event ${n}`), entry('progress', n)]);
  const read = store.getMany([bytes('event 1'), bytes('event 2'), bytes('event 3'), bytes('progress')]);
  expect(await held.letThrough()).toBe(4);
  expect((await read).map(String)).toEqual(['event 1', 'event 2', 'event 3', '3']);
});

test('a read waits for what was enqueued before it, also behind a batch that is under way', async () => {
  const held = new HeldStore();
  const store = new WriteBehindStore(held);
  store.enqueue([entry('a')]);
  const first = store.get(bytes('a'));
  await new Promise((resolve) => setImmediate(resolve));
  store.enqueue([entry('b')]);
  let done = false;
  const second = store.getMany([bytes('b')]).then((values) => {
    done = true;
    return values;
  });
  await held.letThrough();
  expect(await first).toEqual(bytes('a'));
  expect(done).toBe(false);
  await held.letThrough();
  expect(await second).toEqual([bytes('b')]);
});

test('what nobody reads is applied all the same', async () => {
  const memory = new MemoryStore();
  const store = new WriteBehindStore(memory);
  store.enqueue([entry('a')]);
  await expect.poll(() => memory.get(bytes('a'))).toEqual(bytes('a'));
  store.enqueue([entry('b')]);
  await store.close();
});

test('room holds the writer back while the store is far behind', async () => {
  const held = new HeldStore();
  const store = new WriteBehindStore(held);
  await store.room();
  store.enqueue([{ key: bytes('a'), value: Buffer.alloc(65 * 1024 * 1024) }]);
  let free = false;
  const room = store.room().then(() => (free = true));
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(free).toBe(false);
  await held.letThrough();
  await room;
});

test('after a failure nothing is applied and every call says why', async () => {
  const memory = new MemoryStore();
  const store = new WriteBehindStore(memory);
  const write = memory.write.bind(memory);
  memory.write = () => Promise.reject(new Error('disk full'));
  store.enqueue([entry('a')]);
  await expect(store.get(bytes('a'))).rejects.toThrow('disk full');
  memory.write = write;
  store.enqueue([entry('b')]);
  await expect(store.room()).rejects.toThrow('disk full');
  await expect(store.flush()).rejects.toThrow('disk full');
  expect(await memory.get(bytes('b'))).toBeNull();
});

test('a group too large for a batch is applied in parts; the groups around it stay whole', async () => {
  const held = new HeldStore();
  const store = new WriteBehindStore(held);
  const groups = [3000, 10_000, 3000, 3000].map((length, group) =>
    Array.from({ length }, (_, i) => entry(`${group} ${i}`)),
  );
  expect(groups.map((group) => store.isApart(group))).toEqual([false, true, false, false]);
  for (const group of groups) store.enqueue(group);
  const applied = store.applied();
  // The first had begun to be applied.
  const expected = [3000, 4096, 4096, 1808, 3000, 3000];
  const sizes: number[] = [];
  while (sizes.length < expected.length) sizes.push(await held.letThrough());
  await applied;
  expect(sizes).toEqual(expected);
});
