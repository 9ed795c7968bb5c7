import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AGG_BYTES } from './keys.js';
import { Names } from './names.js';
import * as records from './records.js';

const corrupted = expect.objectContaining({ sqlstate: 'XX001' });
const bytes = (length: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((b) => Buffer.from(b));
const some = fc.uint8Array({ maxLength: 80 }).map((b) => Buffer.from(b));
const text = fc.string({ unit: 'grapheme' });
const n = fc.maxSafeNat();
const frontier = fc.array(bytes(32), { maxLength: 53 }).map((all) => Buffer.concat(all).toString('latin1'));

const fields = fc.dictionary(
  fc.string({ minLength: 1 }).filter((name) => name !== '__proto__'),
  fc.option(text),
  { maxKeys: 8, noNullPrototype: true },
);
const event: fc.Arbitrary<records.EventRecord> = fc.record({
  position: n,
  recordedAt: n,
  eventType: text,
  actor: text,
  givenId: fc.option(bytes(16)),
  metadata: fc.option(text),
  fields,
});
const head = fc.record({
  key: bytes(32),
  type: text,
  id: text,
  version: n,
  position: n,
  createdAt: n,
  updatedAt: n,
  archived: fc.boolean(),
  frontier,
  state: fields,
});
const snapshot = fc.record({ position: n, createdAt: n, updatedAt: n, state: fields });
const progress = fc.record({ sequence: n, position: n, recordedAt: n, frontier });
const runEntry = fc.record({ agg: bytes(AGG_BYTES), version: n, leaf: bytes(32) });
/** Names that tests share, as a store does. */
const names = new Names();
const encodeHead = (value: records.HeadRecord): Buffer => records.encodeHead(names, value.key, value);

describe('records read back as they were written', () => {
  function roundTrip<T>(
    name: string,
    value: fc.Arbitrary<T>,
    encode: (v: T) => Buffer,
    decode: (b: Buffer) => T,
  ): void {
    test(name, () => {
      fc.assert(fc.property(value, (v) => void expect(decode(encode(v))).toEqual(v)));
    });
  }
  const named =
    <T>(encode: (names: Names, v: T) => Buffer) =>
    (v: T): Buffer =>
      encode(names, v);
  const read =
    <T>(decode: (names: Names, b: Buffer) => T) =>
    (b: Buffer): T =>
      decode(names, b);
  roundTrip('event', event, named(records.encodeEvent), read(records.decodeEvent));
  roundTrip('head', head, encodeHead, read(records.decodeHead));
  roundTrip('snapshot', snapshot, named(records.encodeSnapshot), read(records.decodeSnapshot));
  roundTrip('progress', progress, records.encodeProgress, records.decodeProgress);

  test('of a head also parts: whose it is, and what readers see', () => {
    fc.assert(
      fc.property(head, ({ key, type, id, frontier: edge, ...shown }) => {
        const encoded = encodeHead({ key, type, id, frontier: edge, ...shown });
        expect(records.decodeIdentity(names, encoded)).toEqual({ key, type, id });
        expect(records.decodeHeadState(names, encoded)).toEqual({ type, id, ...shown });
      }),
    );
  });

  test('fields in their order, so that the payload is hashed as the same text again', () => {
    fc.assert(
      fc.property(event, (e) => {
        const again = records.decodeEvent(names, records.encodeEvent(names, e));
        expect(JSON.stringify(again.fields)).toBe(JSON.stringify(e.fields));
        expect(records.decodeEventPosition(records.encodeEvent(names, e))).toBe(e.position);
      }),
    );
  });

  test('what does not fit the table of names is written out', () => {
    const few = new Names(2);
    fc.assert(
      fc.property(event, (e) => {
        expect(records.decodeEvent(few, records.encodeEvent(few, e))).toEqual(e);
      }),
    );
    expect(few.added.length).toBe(2);
  });

  test('a run of the log, numbered from its first position', () => {
    fc.assert(
      fc.property(
        fc.array(runEntry, { maxLength: 300 }),
        fc.integer({ min: 1, max: 2 ** 40 }),
        n,
        (run, first, recordedAt) => {
          const expected = run.map((entry, i) => ({ ...entry, recordedAt, position: first + i }));
          expect(records.decodeLogRun(first, records.encodeLogRun(recordedAt, run))).toEqual(expected);
        },
      ),
      { numRuns: 30 },
    );
  });

  test('a group', () => {
    const entries = fc.array(fc.record({ key: some, value: some }));
    fc.assert(
      fc.property(entries, (e) => void expect(records.decodeGroup(records.encodeGroup(e))).toEqual(e)),
    );
  });
});

describe('truncated records are data corruption', () => {
  const first = <T>(value: fc.Arbitrary<T>): T => {
    const [sample] = fc.sample(value, { numRuns: 1, seed: 7 });
    if (sample === undefined) throw new Error('no sample');
    return sample;
  };
  const whole: readonly (readonly [string, () => Buffer, (b: Buffer) => unknown])[] = [
    [
      'event',
      () => records.encodeEvent(names, { ...first(event), fields: { a: 'value' } }),
      (b) => records.decodeEvent(names, b),
    ],
    [
      'head',
      () => encodeHead({ ...first(head), frontier: '\0'.repeat(32), state: { a: 'b' } }),
      (b) => records.decodeHead(names, b),
    ],
    [
      'snapshot',
      () => records.encodeSnapshot(names, { ...first(snapshot), state: { a: 'b' } }),
      (b) => records.decodeSnapshot(names, b),
    ],
    ['progress', () => records.encodeProgress(first(progress)), records.decodeProgress],
    [
      'run',
      () => records.encodeLogRun(5, [first(runEntry), first(runEntry)]),
      (b) => records.decodeLogRun(1, b),
    ],
    [
      'group',
      () => records.encodeGroup([{ key: Buffer.alloc(3), value: Buffer.alloc(5) }]),
      records.decodeGroup,
    ],
  ];

  // An encoded record is valid until the next one is encoded.
  const kept = whole.map(([name, encode, decode]) => [name, Buffer.from(encode()), decode] as const);

  test.each(kept)('%s', (_name, encoded, decode) => {
    for (let length = 0; length < encoded.length; length++)
      expect(() => decode(encoded.subarray(0, length))).toThrow(corrupted);
  });

  test('bytes left over behind a run or a group', () => {
    const extra = Buffer.alloc(1);
    expect(() => records.decodeLogRun(1, Buffer.concat([records.encodeLogRun(0, []), extra]))).toThrow(
      corrupted,
    );
    expect(() => records.decodeGroup(Buffer.concat([records.encodeGroup([]), extra]))).toThrow(corrupted);
  });

  test('a count far beyond what the record holds', () => {
    const many = Buffer.from('ffffffff7f', 'hex');
    expect(() => records.decodeLogRun(1, many)).toThrow(corrupted);
    expect(() => records.decodeGroup(many)).toThrow(corrupted);
    expect(() => records.decodeLogRun(1, Buffer.alloc(20, 0xff))).toThrow(corrupted);
  });

  test('a name that is not kept, and fields of another length', () => {
    const record = Buffer.from(records.encodeEvent(names, { ...first(event), fields: { a: 'value' } }));
    expect(() => records.decodeEvent(new Names(), record)).toThrow(corrupted);
    expect(() => records.decodeEvent(names, Buffer.concat([record, Buffer.from('s')]))).toThrow(corrupted);
  });
});
