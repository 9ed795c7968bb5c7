/** Verifying in threads of their own, on a store on disk: the same answers, and this thread reads no event. */
import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Prefix } from '../codec/keys.js';
import { Engine } from '../engine.js';
import { MemoryLog } from '../log/memory.js';
import { RocksStore } from '../store/rocksdb.js';
import { openType, testKeyring, writer, written } from '../testing.js';
import type { NewEvent, StateRow } from '../types.js';
import type { VerifyReport } from './verify.js';

const directory = mkdtempSync(join(tmpdir(), 'scan-store-'));
const event = (type: string, id: string, text: string): NewEvent => written(type, id, { text });

const TYPES = ['note', 'letter'];
const AGGREGATES = 30;
const VERSIONS = 9;

let store: RocksStore;
let engine: Engine;
/** Scans of events that began in this thread. */
let eventScans = 0;

beforeAll(async () => {
  store = await RocksStore.open(join(directory, 'store'));
  const batches = store.batches.bind(store);
  store.batches = (range) => {
    if (range.gte[0] === Prefix.event) eventScans++;
    return batches(range);
  };
  engine = await Engine.open({ store, log: new MemoryLog(), keyring: testKeyring(), directory: null });
  for (const type of TYPES) await engine.createAggregate(openType(type, 4), writer);
  for (let version = 1; version <= VERSIONS; version++)
    for (const type of TYPES)
      await engine.append(
        Array.from({ length: AGGREGATES }, (_, i) => event(type, `a-${i}`, `${version}`)),
        writer,
      );
});
afterAll(async () => {
  await engine.close();
  rmSync(directory, { recursive: true });
});

async function verified(
  type: string | null,
  threads: number,
): Promise<{ readonly report: VerifyReport; readonly states: StateRow[]; readonly scans: number }> {
  const states: StateRow[] = [];
  const before = eventScans;
  const report = await engine.verify(type, null, {
    threads,
    compare: (some) => {
      states.push(...some);
      return Promise.resolve(null);
    },
  });
  const byName = (a: StateRow, b: StateRow): number =>
    `${a.aggregateType} ${a.aggregateId}`.localeCompare(`${b.aggregateType} ${b.aggregateId}`);
  // Checkpoints are signed meanwhile.
  return { report: { ...report, checkpoints: 0 }, states: states.sort(byName), scans: eventScans - before };
}

describe.each([null, ...TYPES])('of type %s', (type) => {
  test('any number of threads gives the report and the states that one gives', async () => {
    const alone = await verified(type, 0);
    expect(alone.scans).toBe(1);
    expect(alone.states).toHaveLength((type === null ? TYPES.length : 1) * AGGREGATES);
    for (const threads of [1, 2, 3]) {
      const { report, states, scans } = await verified(type, threads);
      expect(report).toEqual(alone.report);
      expect(states).toEqual(alone.states);
      expect(scans).toBe(0);
    }
  });
});

test('what is appended meanwhile is left for the next time', async () => {
  const size = Number(engine.committedPosition());
  const verifying = engine.verify(null, null, { threads: 2 });
  for (let i = 0; i < 50; i++) await engine.append([event('note', `a-${i % 40}`, 'later')], writer);
  expect(await verifying).toMatchObject({ size, events: size });
  expect((await verified(null, 2)).report.size).toBe(size + 50);
});

test('an abort ends it; a difference is told when all else was found sound', async () => {
  const reason = new Error('enough');
  const aborted = AbortSignal.abort(reason);
  await expect(engine.verify(null, null, { threads: 3, signal: aborted })).rejects.toBe(reason);
  const stop = new AbortController();
  const verifying = engine.verify(null, null, { threads: 3, signal: stop.signal });
  // While they start.
  setImmediate(() => stop.abort(reason));
  await expect(verifying).rejects.toBe(reason);
  const differs = (some: readonly StateRow[]): Promise<{ state: StateRow; reason: string } | null> => {
    const state = some.find(({ aggregateId }) => aggregateId === 'a-7');
    return Promise.resolve(state === undefined ? null : { state, reason: 'it differs' });
  };
  await expect(engine.verify(null, null, { threads: 3, compare: differs })).rejects.toMatchObject({
    message: 'the read model differs from the events',
    detail: expect.stringContaining('id "a-7"') as string,
  });
  let compared = 0;
  const all = (some: readonly StateRow[]): ReturnType<typeof differs> => {
    compared += some.length;
    return differs(some);
  };
  await expect(engine.verify('note', 'a-7', { compare: all })).rejects.toMatchObject({
    message: 'the read model differs from the events',
  });
  expect(compared).toBe(1);
});

test('where the store cannot be opened a second time, this thread does it', async () => {
  // What names the table files, which the open store does not look at again.
  const [current, hidden] = [join(store.directory, 'CURRENT'), join(store.directory, 'hidden')];
  renameSync(current, hidden);
  try {
    const { report, scans } = await verified('note', 2);
    expect(report.aggregates).toBeGreaterThanOrEqual(AGGREGATES);
    expect(scans).toBeGreaterThan(0);
  } finally {
    renameSync(hidden, current);
  }
});
