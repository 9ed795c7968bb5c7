import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PackedRecords } from './packed.js';

const MB = 1024 * 1024;
const keyOf = (n: number): Buffer => createHash('sha256').update(String(n)).digest().subarray(0, 12);
const valueOf = (n: number, bytes: number): Buffer => Buffer.alloc(bytes, n % 251);

describe('PackedRecords', () => {
  test('gives back what was set last, however lengths change, and never anything else', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(40), fc.integer({ min: 0, max: 9000 })), { maxLength: 200 }),
        (writes) => {
          const packed = new PackedRecords(12, 8 * MB);
          const last = new Map<number, Buffer>();
          writes.forEach(([n, bytes], i) => {
            const value = valueOf(i + 1, bytes);
            packed.set(keyOf(n), value);
            last.set(n, value);
          });
          for (let n = 0; n <= 40; n++) {
            const value = last.get(n);
            const expected = value === undefined || value.length > 8192 ? null : value;
            expect(packed.get(keyOf(n))).toEqual(expected);
          }
        },
      ),
      { numRuns: 25 },
    );
  });

  test('forgets the oldest when it is full, and keeps the newest', () => {
    const packed = new PackedRecords(12, 8 * MB);
    const count = 60_000;
    for (let n = 0; n < count; n++) packed.set(keyOf(n), valueOf(n, 300));
    let kept = 0;
    for (let n = 0; n < count; n++) {
      const value = packed.get(keyOf(n));
      if (value === null) continue;
      kept++;
      if (!value.equals(valueOf(n, 300))) throw new Error(`${n} has another's value`);
    }
    // Two slabs of 4 MB at 464 bytes each, the newest of which may have just begun.
    expect(kept).toBeGreaterThan(9_000);
    expect(kept).toBeLessThan(25_000);
    const isKept = (n: number): boolean => packed.get(keyOf(n)) !== null;
    const numbers = Array.from({ length: count }, (_, n) => n);
    expect(numbers.slice(-9_000).every(isKept)).toBe(true);
    expect(numbers.slice(0, -25_000).some(isKept)).toBe(false);
  });

  test('what changes in place pushes nothing out', () => {
    const packed = new PackedRecords(12, 8 * MB);
    for (let n = 0; n < 100; n++) packed.set(keyOf(n), valueOf(n, 300));
    for (let i = 0; i < 100_000; i++) packed.set(keyOf(5), valueOf(i, 290 + (i % 20)));
    for (let n = 0; n < 100; n++)
      if (n !== 5) expect(packed.get(keyOf(n))?.equals(valueOf(n, 300))).toBe(true);
    expect(packed.get(keyOf(5))?.equals(valueOf(99_999, 309))).toBe(true);
  });

  test('records that all grow, as young heads do, keep their places', () => {
    const packed = new PackedRecords(12, 8 * MB);
    const numbers = Array.from({ length: 18_000 }, (_, n) => n);
    for (let first = 0; first < numbers.length; first += 1000)
      for (const bytes of [200, 230, 260, 290])
        for (const n of numbers.slice(first, first + 1000)) packed.set(keyOf(n), valueOf(n, bytes));
    const kept = numbers.filter((n) => packed.get(keyOf(n))?.equals(valueOf(n, 290)) === true);
    // A bucket of the index may be full.
    expect(kept.length).toBeGreaterThan(17_950);
  });
});
