import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { StateRow } from '../../engine/types.js';
import { readState, writeState } from './stateBytes.js';

const text = fc.string({ unit: 'binary', maxLength: 40 });
const name = fc.oneof(text, fc.constantFrom('__proto__', 'constructor', '1', ''));
const number = fc.maxSafeNat().map(BigInt);
const state: fc.Arbitrary<StateRow> = fc.record({
  aggregateType: text,
  aggregateId: text,
  version: number,
  position: number,
  createdAt: number,
  updatedAt: number,
  archived: fc.boolean(),
  fields: fc
    .array(fc.tuple(name, fc.option(text)), { maxLength: 6 })
    .map((pairs) => Object.fromEntries(pairs) as Record<string, string | null>),
});

it('a state comes back as it was, and only for the aggregate that has it', () => {
  const bytes = Buffer.alloc(8192);
  fc.assert(
    fc.property(state, text, text, (row, type, id) => {
      const length = writeState(row, bytes) ?? -1;
      expect(length).toBeGreaterThan(0);
      const got = readState(bytes, length, row.aggregateType, row.aggregateId);
      expect(got).toEqual(row);
      expect(Object.entries(got?.fields ?? {})).toEqual(Object.entries(row.fields));
      if (type !== row.aggregateType || id !== row.aggregateId)
        expect(readState(bytes, length, type, id)).toBeUndefined();
    }),
  );
});

it('what stands between type and id is told apart', () => {
  const bytes = Buffer.alloc(8192);
  const row = { version: 1n, position: 1n, createdAt: 0n, updatedAt: 0n, archived: false, fields: {} };
  const length = writeState({ ...row, aggregateType: 'ab', aggregateId: 'c' }, bytes) ?? -1;
  expect(readState(bytes, length, 'a', 'bc')).toBeUndefined();
  expect(readState(bytes, length, 'ab', 'c')?.version).toBe(1n);
});

it('an id is not taken for one that goes on as the first field does', () => {
  const bytes = Buffer.alloc(8192);
  const row = { version: 1n, position: 1n, createdAt: 0n, updatedAt: 0n, archived: false };
  const length =
    writeState({ ...row, aggregateType: 'a', aggregateId: 'b', fields: { name: 'x' } }, bytes) ?? -1;
  expect(readState(bytes, length, 'a', 'bname')).toBeUndefined();
});

it('a state that may not fit is not written', () => {
  const row = {
    aggregateType: 'a',
    aggregateId: 'b',
    version: 1n,
    position: 1n,
    createdAt: 0n,
    updatedAt: 0n,
    archived: false,
  };
  expect(writeState({ ...row, fields: { note: 'x'.repeat(3000) } }, Buffer.alloc(8192))).toBeNull();
  expect(writeState({ ...row, fields: { note: 'x'.repeat(2000) } }, Buffer.alloc(8192))).not.toBeNull();
});
