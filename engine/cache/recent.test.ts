import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RecentMap } from './recent.js';

const key = fc.integer({ min: 0, max: 40 });

test('gives what was set last, or nothing', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(key, fc.nat()), { maxLength: 300 }), (sets) => {
      const recent = new RecentMap<number, number>(16);
      const all = new Map<number, number>();
      for (const [k, v] of sets) {
        recent.set(k, v);
        all.set(k, v);
        for (let other = 0; other <= 40; other++) {
          const found = recent.get(other);
          if (found !== undefined) expect(found).toBe(all.get(other));
        }
        expect(recent.get(k)).toBe(v);
      }
    }),
  );
});

test('keeps the half of its capacity that was used last', () => {
  fc.assert(
    fc.property(fc.array(key, { minLength: 1, maxLength: 300 }), (uses) => {
      const recent = new RecentMap<number, number>(16);
      for (const k of uses) if (recent.get(k) === undefined) recent.set(k, k);
      const last = [...new Set(uses.toReversed())].slice(0, 8);
      for (const k of last) expect(recent.get(k)).toBe(k);
    }),
  );
});

test('forgets by weight what is not used any more, and one that is too heavy at once', () => {
  const recent = new RecentMap<string, number>(100, (weight) => weight);
  recent.set('a', 30);
  recent.set('b', 30);
  expect(recent.get('a')).toBe(30);
  recent.set('c', 30);
  recent.set('d', 40);
  expect([recent.get('a'), recent.get('b')]).toEqual([30, undefined]);
});
