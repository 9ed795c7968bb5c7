import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  AGG_BYTES,
  Index,
  Prefix,
  numberKey,
  prefixRange,
  tileKey,
  typePrefix,
  versionKey,
  versionOf,
} from './keys.js';

const version = fc.integer({ min: 0, max: 2 ** 48 - 1 });
const index = new Index(Buffer.alloc(32, 1));

describe('keys', () => {
  test('versions and positions sort as numbers', () => {
    const agg = index.aggregate(16, 'patient', 'p-1');
    fc.assert(
      fc.property(version, version, (a, b) => {
        const order = Math.sign(a - b);
        expect(Buffer.compare(versionKey(Prefix.event, agg, a), versionKey(Prefix.event, agg, b))).toBe(
          order,
        );
        expect(versionOf(versionKey(Prefix.event, agg, a))).toBe(a);
        expect(Buffer.compare(numberKey(Prefix.log, a), numberKey(Prefix.log, b))).toBe(order);
        expect(Buffer.compare(tileKey(8, a), tileKey(8, b))).toBe(order);
      }),
    );
  });

  test('a range holds what starts with its prefix and nothing else', () => {
    const bytes = fc.uint8Array({ maxLength: 4 });
    fc.assert(
      fc.property(
        fc.oneof(bytes, fc.constant(Uint8Array.of(255, 255))),
        bytes,
        bytes,
        (prefix, rest, other) => {
          const { gte, lt } = prefixRange(Prefix.head, prefix);
          const inside = (tail: Uint8Array): boolean => {
            const key = Buffer.concat([Buffer.of(Prefix.head), tail]);
            return Buffer.compare(gte, key) <= 0 && Buffer.compare(key, lt) < 0;
          };
          expect(inside(Buffer.concat([prefix, rest]))).toBe(true);
          expect(inside(other)).toBe(Buffer.from(other).subarray(0, prefix.length).equals(prefix));
        },
      ),
    );
  });

  test('an aggregate key shows the type number and nothing of type or id', () => {
    const agg = index.aggregate(17, 'patient', 'ZEBRA-1');
    expect(agg).toHaveLength(AGG_BYTES);
    expect(agg.subarray(0, 2)).toEqual(typePrefix(17));
    expect(agg.includes('ZEBRA')).toBe(false);
    expect(agg).not.toEqual(new Index(Buffer.alloc(32, 2)).aggregate(17, 'patient', 'ZEBRA-1'));
  });

  test('type and id never run into each other; event and token ids have spaces of their own', () => {
    expect(index.aggregate(16, 'ab', 'c')).not.toEqual(index.aggregate(16, 'a', 'bc'));
    expect(index.aggregate(16, 'a', 'p-1')).not.toEqual(index.aggregate(16, 'a', 'p-10'));
    const id = Buffer.alloc(16, 1);
    expect(index.eventId(id).subarray(1)).not.toEqual(index.usage(id.toString('latin1')).subarray(1));
  });
});
