import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AGG_BYTES, aggKeys, plainKey, Prefix, TYPE_NUMBER_MAX, type AggRange } from '../codec/keys.js';
import { slicesOfAll, slicesOfType } from './slices.js';

const agg = fc.uint8Array({ minLength: AGG_BYTES, maxLength: AGG_BYTES });
const types = fc
  .uniqueArray(fc.oneof(fc.nat(20), fc.nat(TYPE_NUMBER_MAX), fc.constant(TYPE_NUMBER_MAX)), { minLength: 1 })
  .map((numbers) => numbers.sort((a, b) => a - b));

function partsWith(slices: readonly (readonly AggRange[])[], bytes: Uint8Array): number[] {
  const key = plainKey(Prefix.event, bytes);
  return slices.flatMap((part, i) =>
    part
      .map((slice) => aggKeys(Prefix.event, slice))
      .filter(({ gte, lt }) => Buffer.compare(key, gte) >= 0 && Buffer.compare(key, lt) < 0)
      .map(() => i),
  );
}

test('every aggregate is in one slice of one part, whatever its type, also where there should be none', () => {
  fc.assert(
    fc.property(types, fc.integer({ min: 1, max: 9 }), fc.array(agg), (numbers, parts, aggs) => {
      const slices = slicesOfAll(numbers, parts);
      expect(slices).toHaveLength(parts);
      const edges = slices.flat().flatMap(({ from, to }) => [from, to ?? Buffer.alloc(0)]);
      for (const edge of edges) {
        const padded = Buffer.alloc(AGG_BYTES);
        padded.set(edge);
        expect(partsWith(slices, padded)).toHaveLength(1);
      }
      for (const bytes of aggs) expect(partsWith(slices, bytes)).toHaveLength(1);
    }),
  );
});

test('the parts of a type hold its aggregates, about as many each, and no others', () => {
  fc.assert(
    fc.property(fc.nat(TYPE_NUMBER_MAX), fc.integer({ min: 1, max: 9 }), agg, (type, parts, bytes) => {
      const slices = slicesOfType(type, parts);
      const own = Buffer.from(bytes);
      const isOfType = own.readUInt16BE(0) === type;
      expect(partsWith(slices, own)).toHaveLength(isOfType ? 1 : 0);
      own.writeUInt16BE(type, 0);
      const place = own.readUInt16BE(2) / 2 ** 16;
      const [part = NaN] = partsWith(slices, own);
      expect(Math.abs(part - Math.floor(place * parts))).toBeLessThanOrEqual(1);
    }),
  );
});
