import { createHash, createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as records from './records.js';

const corrupted = expect.objectContaining({ sqlstate: 'XX001' });
const bytes = (length: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((b) => Buffer.from(b));
const some = fc.uint8Array({ maxLength: 80 }).map((b) => Buffer.from(b));
const text = fc.string({ unit: 'grapheme' });
const n = fc.maxSafeNat();
const frontier = fc.array(bytes(32), { maxLength: 60 });

const header: fc.Arbitrary<records.EventHeader> = fc.record({
  position: n,
  type: text,
  id: text,
  version: n,
  eventId: bytes(16),
  eventType: text,
  actor: text,
  recordedAt: n,
  commit: bytes(32),
});
const body: fc.Arbitrary<records.EventBody> = fc.record({
  salt: bytes(32),
  metadata: fc.option(text),
  payload: some,
});
const head = fc.record({
  type: text,
  id: text,
  version: n,
  position: n,
  createdAt: n,
  updatedAt: n,
  archived: fc.boolean(),
  frontier,
});
const snapshot = fc.record({ position: n, createdAt: n, updatedAt: n, state: some });
const progress = fc.record({ sequence: n, position: n, recordedAt: n, frontier });
const runEntry = fc.record({ agg: bytes(20), version: n, recordedAt: n, leaf: bytes(32) });

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
  roundTrip('event header', header, records.encodeEventHeader, records.decodeEventHeader);
  roundTrip('event body', body, records.encodeEventBody, records.decodeEventBody);
  roundTrip('head', head, records.encodeHead, records.decodeHead);
  roundTrip('snapshot', snapshot, records.encodeSnapshot, records.decodeSnapshot);
  roundTrip('progress', progress, records.encodeProgress, records.decodeProgress);

  test('a run of the log, numbered from its first position', () => {
    fc.assert(
      fc.property(
        fc.array(runEntry, { maxLength: 300 }),
        fc.integer({ min: 1, max: 2 ** 40 }),
        (run, first) => {
          const expected = run.map((entry, i) => ({ ...entry, position: first + i }));
          expect(records.decodeLogRun(first, records.encodeLogRun(run))).toEqual(expected);
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
  const whole: readonly (readonly [string, () => Buffer, number, (b: Buffer) => unknown])[] = [
    ['event header', () => records.encodeEventHeader(first(header)), 0, records.decodeEventHeader],
    [
      'head',
      () => records.encodeHead({ ...first(head), frontier: [Buffer.alloc(32)] }),
      0,
      records.decodeHead,
    ],
    // The payload and the state reach to the end of their records: only what stands in front can be missed.
    [
      'event body',
      () => records.encodeEventBody({ ...first(body), payload: Buffer.alloc(9) }),
      9,
      records.decodeEventBody,
    ],
    [
      'snapshot',
      () => records.encodeSnapshot({ ...first(snapshot), state: Buffer.alloc(9) }),
      9,
      records.decodeSnapshot,
    ],
    ['progress', () => records.encodeProgress(first(progress)), 0, records.decodeProgress],
    [
      'run',
      () => records.encodeLogRun([first(runEntry), first(runEntry)]),
      0,
      (b) => records.decodeLogRun(1, b),
    ],
    [
      'group',
      () => records.encodeGroup([{ key: Buffer.alloc(3), value: Buffer.alloc(5) }]),
      0,
      records.decodeGroup,
    ],
  ];

  // An encoded record is valid until the next one is encoded.
  const kept = whole.map(
    ([name, encode, open, decode]) => [name, Buffer.from(encode()), open, decode] as const,
  );

  test.each(kept)('%s', (_name, encoded, open, decode) => {
    for (let length = 0; length < encoded.length - open; length++)
      expect(() => decode(encoded.subarray(0, length))).toThrow(corrupted);
  });

  test('bytes left over behind a run or a group', () => {
    const extra = Buffer.alloc(1);
    expect(() => records.decodeLogRun(1, Buffer.concat([records.encodeLogRun([]), extra]))).toThrow(
      corrupted,
    );
    expect(() => records.decodeGroup(Buffer.concat([records.encodeGroup([]), extra]))).toThrow(corrupted);
  });

  test('a count far beyond what the record holds', () => {
    const many = Buffer.from('ffffffff', 'hex');
    expect(() => records.decodeLogRun(1, many)).toThrow(corrupted);
    expect(() => records.decodeGroup(many)).toThrow(corrupted);
  });
});

// Written from format-and-proofs.md, without the code under test.
const u32 = (value: number): Buffer => Buffer.from(value.toString(16).padStart(8, '0'), 'hex');
const u64 = (value: number): Buffer => Buffer.from(BigInt(value).toString(16).padStart(16, '0'), 'hex');
const lp = (value: string | Buffer): Buffer =>
  Buffer.concat([u32(Buffer.from(value as string).length), Buffer.from(value as string)]);
const leafOf = (...parts: Buffer[]): Buffer =>
  createHash('sha256')
    .update(Buffer.concat([Buffer.of(0), ...parts]))
    .digest();

describe('hashes as the format document defines them', () => {
  test('commit', () => {
    fc.assert(
      fc.property(body, (b) => {
        const input = Buffer.concat([lp(b.metadata ?? ''), lp(b.payload)]);
        expect(records.commitHash(b)).toEqual(createHmac('sha256', b.salt).update(input).digest());
      }),
    );
  });

  test('event leaf and store leaf', () => {
    fc.assert(
      fc.property(header, bytes(32), bytes(32), (h, leaf, root) => {
        const place = [lp(h.type), lp(h.id), u64(h.version)];
        expect(records.eventLeaf(h)).toEqual(
          leafOf(
            Buffer.from('evl1'),
            ...place,
            h.eventId,
            lp(h.eventType),
            lp(h.actor),
            u64(h.recordedAt),
            h.commit,
          ),
        );
        const store = leafOf(Buffer.from('evg1'), ...place, leaf, root);
        expect(records.storeLeaf(h.type, h.id, h.version, leaf, root)).toEqual(store);
      }),
    );
  });

  test('any change to a hashed field changes the leaf, the position does not', () => {
    fc.assert(
      fc.property(
        header,
        header,
        fc.constantFrom('type', 'id', 'version', 'eventId', 'eventType', 'actor', 'recordedAt', 'commit'),
        (a, b, field) => {
          fc.pre(JSON.stringify(a[field]) !== JSON.stringify(b[field]));
          expect(records.eventLeaf({ ...a, [field]: b[field] })).not.toEqual(records.eventLeaf(a));
          expect(records.eventLeaf({ ...a, position: b.position })).toEqual(records.eventLeaf(a));
        },
      ),
    );
  });

  test('lengths keep neighbours apart', () => {
    const [a] = fc.sample(header, { numRuns: 1, seed: 3 });
    if (a === undefined) throw new Error('no sample');
    const leaf = (type: string, id: string): Buffer => records.eventLeaf({ ...a, type, id });
    expect(leaf('ab', 'c')).not.toEqual(leaf('a', 'bc'));
    const salt = Buffer.alloc(32);
    const commit = (metadata: string, payload: string): Buffer =>
      records.commitHash({ salt, metadata, payload: Buffer.from(payload) });
    expect(commit('ab', 'c')).not.toEqual(commit('a', 'bc'));
    expect(commit('', '1')).not.toEqual(commit('', '"1"'));
  });
});
