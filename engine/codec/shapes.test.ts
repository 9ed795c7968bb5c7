import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ByteReader, ByteWriter } from './bytes.js';
import { Names } from './names.js';

const corrupted = expect.objectContaining({ sqlstate: 'XX001' });
const lists = fc.array(fc.uniqueArray(fc.string({ minLength: 1, maxLength: 2 }), { maxLength: 6 }), {
  maxLength: 30,
});

function written({ shapes }: Names, list: readonly string[]): Buffer {
  const to = new ByteWriter();
  shapes.write(to, list);
  return Buffer.from(to.result());
}

/** What a store that was opened again knows. */
function reopened({ added, shapes }: Names): Names {
  const names = new Names();
  for (const { number, name } of added) names.load(number, name);
  for (const { number, record } of shapes.added) names.shapes.load(number, record);
  return names;
}

test('a list is one number from its second use on, in its own order, also in a store opened again', () => {
  fc.assert(
    fc.property(lists, (all) => {
      const names = new Names();
      const first = all.map((list) => written(names, list));
      const again = reopened(names);
      expect(again.shapes.added).toEqual([]);
      all.forEach((list, i) => {
        expect(first[i]).toHaveLength(1);
        expect(written(again, list)).toEqual(first[i]);
        expect(again.shapes.read(new ByteReader(first[i] ?? Buffer.alloc(0)))).toEqual(list);
      });
    }),
  );
});

test('the beginning of a list is not that list, and other orders are others', () => {
  const names = new Names();
  const numbers = [['a', 'b', 'c'], ['a', 'b'], ['b', 'a'], [], ['a']].map((list) => written(names, list)[0]);
  expect(new Set(numbers).size).toBe(5);
  expect(numbers).not.toContain(0);
});

test('lists that are too long, too many, or of names without a number are written out', () => {
  const long = Array.from({ length: 129 }, (_, i) => `f${i}`);
  for (const [names, list] of [
    [new Names(), long],
    [new Names(undefined, 3), ['a', 'b', 'c']],
    [new Names(2), ['a', 'b', 'c']],
  ] as const) {
    const bytes = written(names, list);
    expect(bytes[0]).toBe(0);
    expect(names.shapes.added).toEqual([]);
    expect(reopened(names).shapes.read(new ByteReader(bytes))).toEqual(list);
  }
  const bounded = new Names(undefined, 1000);
  for (let i = 0; i < 1000; i++) written(bounded, [`f${i}`, `g${i}`]);
  expect(bounded.shapes.added).toHaveLength(333);
});

test('a list that is not kept, or longer than its record, is damage', () => {
  const names = new Names();
  const bytes = written(names, ['a', 'b']);
  expect(() => new Names().shapes.read(new ByteReader(bytes))).toThrow(corrupted);
  names.shapes.reserve(bytes[0] ?? 0);
  expect(() => names.shapes.read(new ByteReader(bytes))).toThrow(corrupted);
  expect(() => names.shapes.read(new ByteReader(Buffer.from('00ffffffff7f', 'hex')))).toThrow(corrupted);
  // Its number is not given again.
  expect(written(names, ['c'])[0]).toBe((bytes[0] ?? 0) + 1);
});
