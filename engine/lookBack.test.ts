/** What AS OF and histories say, from memory and from the store, held against a fold of the events. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Prefix } from './codec/keys.js';
import { Engine } from './engine.js';
import { applyEvent } from './fold.js';
import { MemoryLog } from './log/memory.js';
import { MemoryStore } from './store/memory.js';
import type { ScanRange, StoredEntry } from './store/store.js';
import { collect, openType, testKeyring, writer, written } from './testing.js';
import type { Fields, NewEvent, StateRow } from './types.js';

const keyring = testKeyring();
const THRESHOLD = 7;
const event = (id: string, payload: Fields = { text: 'x' }): NewEvent => written('note', id, payload);

/** Counts the events that are read. */
class CountingStore extends MemoryStore {
  events = 0;

  override async getMany(keys: readonly Uint8Array[]): Promise<(Buffer | null)[]> {
    this.events += keys.filter((key) => key[0] === Prefix.event).length;
    return super.getMany(keys);
  }

  override async *scan(range: ScanRange): AsyncIterable<StoredEntry> {
    for await (const entry of super.scan(range)) {
      if (entry.key[0] === Prefix.event) this.events++;
      yield entry;
    }
  }
}

async function open(store = new MemoryStore(), log = new MemoryLog()): Promise<Engine> {
  const engine = await Engine.open({ store, log, keyring, directory: null });
  if (!engine.schema().aggregates.has('note'))
    await engine.createAggregate(openType('note', THRESHOLD), writer);
  return engine;
}

describe('looking back', () => {
  test.each([
    ['from events in memory', false],
    ['from the store', true],
  ])('AS OF folds at most the threshold, and equals the fold of the events: %s', async (_, reopened) => {
    const [store, log] = [new CountingStore(), new MemoryLog()];
    let engine = await open(store, log);
    const states: Fields[] = [{}];
    const positions: bigint[] = [0n];
    for (let i = 1; i <= 60; i++) {
      const payload = { count: String(i), [`f${i % 5}`]: i % 3 === 0 ? null : String(i) };
      const rows = await engine.append([event('a', payload), event('other')], writer);
      states.push(applyEvent(states.at(-1) ?? {}, payload));
      positions.push(rows[0]?.position ?? 0n);
    }
    if (reopened) engine = await open(store, log.reopen());
    let read = 0;
    for (let v = 1; v <= 60; v++) {
      store.events = 0;
      const [row] = await collect<StateRow>(
        engine.states('note', ['a'], { kind: 'version', version: BigInt(v) }),
      );
      expect(row).toMatchObject({ version: BigInt(v), position: positions[v], fields: states[v] });
      expect(store.events).toBeLessThan(THRESHOLD);
      const [same] = await collect<StateRow>(
        engine.states('note', ['a'], { kind: 'position', position: positions[v] ?? 0n }),
      );
      expect(same).toEqual(row);
      expect(store.events).toBeLessThan(2 * THRESHOLD);
      read += store.events;
    }
    expect(read === 0).toBe(!reopened);
    expect(await collect(engine.states('note', ['a'], { kind: 'version', version: 61n }))).toEqual([]);
    expect(await collect(engine.states('note', ['a'], { kind: 'version', version: 0n }))).toEqual([]);
    const before = { kind: 'position', position: (positions[1] ?? 1n) - 1n } as const;
    expect(await collect(engine.states('note', ['a'], before))).toEqual([]);
  });

  test('history and events agree with the fold for any order of events over aggregates', async () => {
    const step = fc.tuple(
      fc.constantFrom('a', 'b', 'c'),
      fc.dictionary(fc.constantFrom('x', 'y', 'z'), fc.option(fc.string({ unit: 'grapheme' })), {
        minKeys: 1,
      }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const engine = await open();
        const folds = new Map<string, Fields[]>();
        for (const [id, raw] of steps) {
          const payload = Object.fromEntries(
            Object.entries(raw).map(([k, v]) => [k, v?.replaceAll('\0', '') ?? null]),
          );
          await engine.append([event(id, payload)], writer);
          const all = folds.get(id) ?? [];
          folds.set(id, [...all, applyEvent(all.at(-1) ?? {}, payload)]);
        }
        for (const [id, expected] of folds) {
          const history = await collect(engine.history('note', [id]));
          expect(history.map((row) => row.fields)).toEqual(expected);
          history.forEach((row, i) => expect(row.validTo).toBe(history[i + 1]?.validFrom ?? null));
          expect((await engine.state('note', id))?.fields).toEqual(expected.at(-1));
        }
        expect(await collect(engine.events({ aggregateType: 'note' }))).toHaveLength(steps.length);
        const then = new Map<string, Fields>();
        const byId = (a: { id: string }, b: { id: string }): number => a.id.localeCompare(b.id);
        for (const event of await collect(engine.events({ aggregateType: 'note' }))) {
          then.set(event.aggregateId, applyEvent(then.get(event.aggregateId) ?? {}, event.payload));
          const asOf = { kind: 'position', position: event.position } as const;
          const rows = await collect<StateRow>(engine.states('note', null, asOf));
          expect(rows.map(({ aggregateId: id, fields }) => ({ id, fields })).sort(byId)).toEqual(
            [...then].map(([id, fields]) => ({ id, fields })).sort(byId),
          );
        }
      }),
      { numRuns: 25 },
    );
  });

  test('what is told at once of a version is the fold of its events, however many of them are looked at', async () => {
    const value = fc.option(fc.string({ unit: 'grapheme', maxLength: 3 }), { freq: 4 });
    const payload = fc.oneof(
      // All fields there are, which nothing older shows behind, and some of them.
      fc.record({ x: value, y: value, z: value }),
      fc.dictionary(fc.constantFrom('x', 'y', 'z'), value, { minKeys: 1 }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(payload, { minLength: 1, maxLength: 3 * THRESHOLD }), async (payloads) => {
        const engine = await open();
        const states: Fields[] = [{}];
        for (const raw of payloads) {
          const fields = Object.fromEntries(
            Object.entries(raw).map(([name, text]) => [name, text?.replaceAll('\0', '') ?? null]),
          );
          await engine.append([event('a', fields)], writer);
          states.push(applyEvent(states.at(-1) ?? {}, fields));
        }
        // More often than it takes to be kept.
        for (let round = 0; round < 20; round++)
          for (let version = 1; version < states.length; version++) {
            const told = engine.stateNow('note', 'a', BigInt(version));
            // Behind a snapshot it may need the store.
            if (told === undefined) expect(version).toBeGreaterThanOrEqual(THRESHOLD);
            else expect(told).toMatchObject({ version: BigInt(version), fields: states[version] });
            if (round === 10) {
              const read = await engine.state('note', 'a', BigInt(version));
              expect(read?.fields).toEqual(states[version]);
              if (told !== undefined) expect(read).toEqual(told);
            }
          }
      }),
      { numRuns: 40 },
    );
  });

  test('behind a snapshot, an event that sets every field is told at once', async () => {
    const engine = await open();
    for (let i = 1; i <= 3 * THRESHOLD; i++)
      await engine.append([event('a', i % 2 === 0 ? { x: String(i), y: null } : { x: String(i) })], writer);
    const version = 2 * THRESHOLD + 2;
    expect(engine.stateNow('note', 'a', BigInt(version + 1))?.fields).toEqual({ x: String(version + 1) });
    expect(engine.stateNow('note', 'a', BigInt(version))?.fields).toEqual({ x: String(version) });
    // Its own snapshot's event is at 14, and 15 leaves out a field.
    expect(engine.stateNow('note', 'a', BigInt(2 * THRESHOLD + 1))).toBeUndefined();
  });
});
