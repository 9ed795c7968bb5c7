import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AGG_BYTES } from '../codec/keys.js';
import { RecentEvents } from './recentEvents.js';

const MB = 1024 * 1024;
const aggOf = (n: number): Buffer => createHash('sha256').update(String(n)).digest().subarray(0, AGG_BYTES);
const recordOf = (n: number, version: number, bytes = 20): Buffer =>
  Buffer.alloc(bytes, createHash('sha256').update(`${n} ${version}`).digest());

test('a range is what was added, in order, or nothing', () => {
  const step = fc.record({ n: fc.nat(4), bytes: fc.nat(60), skip: fc.constantFrom(0, 0, 0, 0, 1) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const recent = new RecentEvents(8 * MB);
      const added = new Map<number, Map<number, Buffer>>();
      for (const { n, bytes, skip } of steps) {
        const own = added.get(n) ?? new Map<number, Buffer>();
        const version = Math.max(0, ...own.keys()) + 1 + skip;
        if (skip > 0) own.clear();
        own.set(version, recordOf(n, version, bytes));
        added.set(n, own);
        recent.add(aggOf(n), version, recordOf(n, version, bytes));
      }
      for (const [n, own] of added) {
        const [first, last] = [Math.min(...own.keys()), Math.max(...own.keys())];
        expect(recent.newest(aggOf(n))).toBe(last);
        for (let from = Math.max(1, first - 1); from <= last; from++)
          for (let to = from; to <= last + 1; to++) {
            const expected = Array.from({ length: to - from + 1 }, (_, i) => own.get(from + i));
            expect(recent.range(aggOf(n), from, to)).toEqual(expected.includes(undefined) ? null : expected);
          }
      }
      expect(recent.newest(aggOf(5))).toBe(0);
      expect(recent.range(aggOf(5), 1, 1)).toBeNull();
    }),
    { numRuns: 50 },
  );
});

test('when it is full the oldest events go, and what is left of an aggregate is still given', () => {
  const recent = new RecentEvents(8 * MB);
  const versions = 1000;
  const numbers = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
  for (let version = 1; version <= versions; version++)
    for (const n of numbers) recent.add(aggOf(n), version, recordOf(n, version, 2000));
  // 2,025 bytes each: 8 MB hold the newest 414 of each aggregate, less what is left of a slab that has just begun.
  for (const n of numbers) {
    const range = recent.range(aggOf(n), versions - 199, versions);
    expect(range?.length).toBe(200);
    range?.forEach((record, i) => {
      expect(record.equals(recordOf(n, versions - 199 + i, 2000))).toBe(true);
    });
    expect(recent.range(aggOf(n), versions - 450, versions - 440)).toBeNull();
    expect(recent.range(aggOf(n), 1, 1)).toBeNull();
  }
});

test('what is far behind the newest event is not looked for', () => {
  const recent = new RecentEvents(8 * MB);
  for (let version = 1; version <= 2000; version++) recent.add(aggOf(1), version, recordOf(1, version));
  expect(recent.range(aggOf(1), 1000, 1010)?.[0]).toEqual(recordOf(1, 1000));
  expect(recent.range(aggOf(1), 900, 910)).toBeNull();
});

test('a record that is too long is a gap', () => {
  const recent = new RecentEvents(8 * MB);
  [20, 9000, 20].forEach((bytes, i) => recent.add(aggOf(1), i + 1, recordOf(1, i + 1, bytes)));
  expect(recent.range(aggOf(1), 3, 3)).toEqual([recordOf(1, 3)]);
  expect(recent.range(aggOf(1), 1, 3)).toBeNull();
  expect(recent.range(aggOf(1), 1, 1)).toBeNull();
});
