/** Events read as they lie are those that are looked up position by position. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Prefix, versionOf } from './codec/keys.js';
import { Engine } from './engine.js';
import type { EventFilter } from './eventReader.js';
import { MemoryLog } from './log/memory.js';
import { MemoryStore } from './store/memory.js';
import type { ScanRange, StoredEntry } from './store/store.js';
import { collect, openType, testKeyring, writer, written } from './testing.js';
import type { EventRow } from './types.js';

const TYPES = ['note', 'letter', 'empty'];
const AGGREGATES = 40;
/** More than are read together. */
const LONG = 1100;

class CountingStore extends MemoryStore {
  lookups = 0;
  /** Scans that have begun and not ended. */
  open = 0;
  /** Events of this version are not found in scans. */
  hidden = 0;

  override async *batches(range: ScanRange): AsyncIterable<readonly StoredEntry[]> {
    this.open++;
    try {
      for await (const batch of super.batches(range))
        yield batch.filter(({ key }) => key[0] !== Prefix.event || versionOf(key) !== this.hidden);
    } finally {
      this.open--;
    }
  }

  override async getMany(keys: readonly Uint8Array[]): Promise<(Buffer | null)[]> {
    this.lookups += keys.filter((key) => key[0] === Prefix.event).length;
    return super.getMany(keys);
  }
}

const store = new CountingStore();
let engine: Engine;

beforeAll(async () => {
  engine = await Engine.open({ store, log: new MemoryLog(), keyring: testKeyring(), directory: null });
  for (const type of TYPES) await engine.createAggregate(openType(type, 5), writer);
  for (let version = 1; version <= 30; version++)
    for (const type of ['note', 'letter'])
      await engine.append(
        Array.from({ length: version % 7 === 0 ? 3 : AGGREGATES }, (_, i) =>
          written(type, `a-${i}`, { text: `${version}` }),
        ),
        writer,
      );
  await engine.append(
    Array.from({ length: LONG }, () => written('note', 'long', { text: 'x' })),
    writer,
  );
});
afterAll(() => engine.close());

const inOrder = (rows: readonly EventRow[]): EventRow[] =>
  [...rows].sort((a, b) => Number(a.position - b.position));

const FILTERS: Record<string, EventFilter> = {
  everything: {},
  'with internal ones': { internal: true },
  'of a type': { aggregateType: 'note' },
  'of a type without any': { aggregateType: 'empty' },
  'of no type': { aggregateType: 'none' },
  'of an event type': { aggregateType: 'letter', eventTypes: ['written'] },
  'of another event type': { aggregateType: 'letter', eventTypes: ['other'] },
  'from a position': { fromPosition: 900n },
  'to a position': { toPosition: 2000n },
  'of versions': { fromVersion: 3n, toVersion: 5n },
};

test.each(Object.entries(FILTERS))('%s', async (_, filter) => {
  store.lookups = 0;
  const scanned = await collect(engine.events({ ...filter, anyOrder: true }));
  expect(store.lookups).toBe(0);
  const lookedUp = await collect(engine.events(filter));
  expect(lookedUp.map(({ position }) => position)).toEqual(inOrder(lookedUp).map(({ position }) => position));
  expect(inOrder(scanned)).toEqual(lookedUp);
});

test('a few at the end are looked up, and named aggregates read by themselves', async () => {
  const from = engine.committedPosition() - 100n;
  const rows = await collect(engine.events({ fromPosition: from, anyOrder: true }));
  expect(rows.map(({ position }) => position)).toEqual(
    Array.from({ length: 101 }, (_, i) => from + BigInt(i)),
  );
  const own = await collect(engine.events({ aggregateType: 'note', aggregateIds: ['a-1'], anyOrder: true }));
  expect(own.map(({ version }) => Number(version))).toEqual(Array.from(own, (_, i) => i + 1));
});

test('what is appended meanwhile is left out, and nothing else', async () => {
  const before = engine.committedPosition();
  const rows: EventRow[] = [];
  for await (const batch of engine.events({ anyOrder: true })) {
    rows.push(...batch);
    const id = rows.length % 2 === 0 ? `a-${rows.length % AGGREGATES}` : `new-${rows.length}`;
    await engine.append([written('note', id, { text: 'late' })], writer);
  }
  expect(engine.committedPosition()).toBeGreaterThan(before);
  const all = await collect(engine.events({ toPosition: before }));
  expect(inOrder(rows)).toEqual(all);
});

test('who stops reading leaves nothing open', async () => {
  for await (const batch of engine.events({ anyOrder: true })) {
    expect(batch.length).toBeGreaterThan(0);
    expect(store.open).toBe(2);
    break;
  }
  expect(store.open).toBe(0);
  const stop = new AbortController();
  const reading = (async () => {
    for await (const batch of engine.events({ anyOrder: true }, stop.signal))
      if (batch.length > 0) stop.abort();
  })();
  await expect(reading).rejects.toThrow('aborted');
  expect(store.open).toBe(0);
});

test('a missing event is told', async () => {
  store.hidden = 2;
  await expect(collect(engine.events({ anyOrder: true }))).rejects.toMatchObject({
    sqlstate: 'XX001',
    message: 'an event is missing',
    detail: 'aggregate "note": version 2 is not stored.',
  });
});
