import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PackedRecords, VALUE_MAX } from './packed.js';
import { sharedBytes, sharedMemory, type PackedMemory } from './packedMemory.js';

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

describe('a reader in shared memory', () => {
  const capacity = 8 * MB;
  const key = keyOf(0);
  /** Runs `meanwhile` between the reader's finding a record and its copying it. */
  function interrupted(meanwhile: (writer: PackedRecords) => void): number {
    const memory = sharedMemory(sharedBytes(capacity), capacity);
    const writer = new PackedRecords(12, memory);
    writer.set(key, valueOf(7, 300));
    let looks = 0;
    const slab = (index: number): Buffer => {
      looks++;
      if (looks === 2) meanwhile(writer);
      return memory.slab(index);
    };
    const reader = new PackedRecords(12, Object.create(memory, { slab: { value: slab } }) as PackedMemory);
    const into = Buffer.alloc(VALUE_MAX);
    const length = reader.read(key, into);
    if (length >= 0) expect(into.subarray(0, length)).toEqual(valueOf(7, length));
    return length;
  }
  const buckets = sharedMemory(sharedBytes(capacity), capacity).stamps.length;
  const inOtherBuckets = Array.from({ length: 40_000 }, (_, n) => keyOf(n + 1)).filter(
    (other) => (other.readUInt32LE(8) - key.readUInt32LE(8)) % buckets !== 0,
  );

  test('gets a copy of what is there', () => {
    expect(interrupted(() => undefined)).toBe(300);
  });

  test('gets nothing of a record that changes meanwhile', () => {
    expect(interrupted((writer) => writer.set(key, valueOf(8, 310)))).toBe(-1);
  });

  test('gets nothing of a slab that is written anew meanwhile, even if its own record was left alone', () => {
    const fill = (count: number) => (writer: PackedRecords) => {
      for (const other of inOtherBuckets.slice(0, count)) writer.set(other, valueOf(9, 300));
    };
    expect(interrupted(fill(1000))).toBe(300);
    expect(interrupted(fill(40_000))).toBe(-1);
  });
});
