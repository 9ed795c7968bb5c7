import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { applyEvent } from './fold.js';
import type { Fields } from './types.js';

describe('applyEvent', () => {
  test('a field left out keeps its value, one given replaces it, null clears it', () => {
    const state = { a: '1', b: '2', c: '3' };
    expect(applyEvent(state, { b: 'new', c: null })).toEqual({ a: '1', b: 'new' });
    expect(state).toEqual({ a: '1', b: '2', c: '3' });
  });

  test('clearing what is not there changes nothing, an empty text is a value', () => {
    expect(applyEvent({}, { a: null, b: '' })).toEqual({ b: '' });
  });

  test('events applied one by one give what the last word on each field says', () => {
    const name = fc.constantFrom('a', 'b', 'c', 'toString', 'constructor');
    const payload: fc.Arbitrary<Fields> = fc.dictionary(name, fc.option(fc.string()));
    fc.assert(
      fc.property(fc.array(payload), (payloads) => {
        const folded = payloads.reduce<Fields>(applyEvent, {});
        for (const field of ['a', 'b', 'c', 'toString', 'constructor']) {
          const last = payloads.filter((p) => Object.hasOwn(p, field)).at(-1)?.[field];
          expect(Object.hasOwn(folded, field) ? folded[field] : null).toBe(last ?? null);
        }
      }),
    );
  });
});
