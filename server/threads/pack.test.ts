import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Appended } from '../../engine/commit/appended.js';
import type { Expectation, NewEvent, StateRow } from '../../engine/types.js';
import { packAppend, packAppended, packState, unpackAppend, unpackAppended, unpackState } from './pack.js';

const text = fc.string({ unit: 'binary' });
const textOrNull = fc.option(text);
const name = fc.oneof(text, fc.constantFrom('__proto__', 'constructor', '1', ''));
const fields = fc
  .array(fc.tuple(name, textOrNull), { maxLength: 5 })
  .map((pairs) => Object.fromEntries(pairs) as Record<string, string | null>);
const expected: fc.Arbitrary<Expectation> = fc.oneof(
  fc.constant({ kind: 'any' as const }),
  fc.constant({ kind: 'exists' as const }),
  // More than a number holds: the answer of a conflict names it to the last digit.
  fc
    .bigInt({ min: 0n, max: 999_999_999_999_999_999n })
    .map((version) => ({ kind: 'version' as const, version })),
);
const event: fc.Arbitrary<NewEvent> = fc.record({
  aggregateType: text,
  aggregateId: text,
  eventType: text,
  payload: fields,
  metadata: textOrNull,
  eventId: fc.option(fc.uuid()),
  expected,
  ignoreDuplicate: fc.boolean(),
});
const writer = fc.record({
  actor: text,
  tokenId: fc.option(fc.uuid()),
  writeLimit: fc.option(fc.bigInt({ min: 0n, max: 999_999_999_999_999_999n })),
});
const safe = fc.maxSafeNat().map(BigInt);

it('appends come through as they were', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 5 }), writer, (events, who) => {
      const sent = structuredClone(packAppend(events, who));
      const got = unpackAppend(sent);
      expect(got).toEqual({ events, writer: who });
      // A name with a meaning of its own is still a name: the engine is to refuse it.
      expect(got.events.map(({ payload }) => Object.entries(payload))).toEqual(
        events.map(({ payload }) => Object.entries(payload)),
      );
    }),
  );
});

it('answers come through but for payload and metadata, also those of events that were there before', () => {
  const row = fc.record({
    position: safe,
    version: safe,
    recordedAt: safe,
    eventId: fc.uuid(),
    eventHash: text,
  });
  const before = fc.record({ actor: text, aggregateType: text, aggregateId: text, eventType: text });
  fc.assert(
    fc.property(fc.array(fc.tuple(event, row, fc.option(before)), { maxLength: 5 }), writer, (rows, who) => {
      const events = rows.map(([one]) => one);
      const appended = rows.map(([one, given, found]): Appended => {
        const { aggregateType, aggregateId, eventType } = one;
        const own = found ?? { actor: who.actor, aggregateType, aggregateId, eventType };
        return { ...given, ...own, payload: {}, metadata: null, duplicate: found !== null };
      });
      expect(unpackAppended(structuredClone(packAppended(appended)), events, who)).toEqual(appended);
    }),
  );
});

it('states come through', () => {
  const state: fc.Arbitrary<StateRow> = fc.record({
    aggregateType: text,
    aggregateId: text,
    version: safe,
    position: safe,
    createdAt: safe,
    updatedAt: safe,
    archived: fc.boolean(),
    fields,
  });
  fc.assert(
    fc.property(state, (row) => {
      const sent = structuredClone(packState(row));
      expect(unpackState(sent, row.aggregateType, row.aggregateId)).toEqual(row);
    }),
  );
});
