import { createHash, createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SealKey } from './crypto/seal.js';
import { commitHash, eventLeaf, saltOf, storeLeaf } from './hashes.js';

const bytes = (length: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((b) => Buffer.from(b));
const text = fc.string({ unit: 'grapheme' });
const n = fc.maxSafeNat();
const header = fc.record({
  type: text,
  id: text,
  version: n,
  eventId: bytes(16),
  eventType: text,
  actor: text,
  recordedAt: n,
  commit: bytes(32),
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
      fc.property(bytes(32), fc.option(text), text, (salt, metadata, payload) => {
        const input = Buffer.concat([lp(metadata ?? ''), lp(payload)]);
        const expected = createHmac('sha256', salt).update(input).digest();
        expect(commitHash(salt, metadata, payload)).toEqual(expected);
      }),
    );
  });

  test('salts differ by key and version, and the same come again', () => {
    const [one, other] = [new SealKey(0, Buffer.alloc(32, 1)), new SealKey(0, Buffer.alloc(32, 2))];
    const seven = Buffer.from(saltOf(one, 7));
    expect(saltOf(one, 7)).toEqual(seven);
    expect(saltOf(one, 8)).not.toEqual(seven);
    expect(saltOf(other, 7)).not.toEqual(seven);
    expect(saltOf(one, 7)).toHaveLength(32);
  });

  test('event leaf and store leaf', () => {
    fc.assert(
      fc.property(header, bytes(32), bytes(32), (h, leaf, root) => {
        const place = [lp(h.type), lp(h.id), u64(h.version)];
        expect(eventLeaf(h, h.commit)).toEqual(
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
        expect(storeLeaf(h, leaf, root)).toEqual(store);
      }),
    );
  });

  test('any change to a hashed field changes the leaf', () => {
    fc.assert(
      fc.property(
        header,
        header,
        fc.constantFrom('type', 'id', 'version', 'eventId', 'eventType', 'actor', 'recordedAt', 'commit'),
        (a, b, field) => {
          fc.pre(JSON.stringify(a[field]) !== JSON.stringify(b[field]));
          const changed = { ...a, [field]: b[field] };
          expect(eventLeaf(changed, changed.commit)).not.toEqual(eventLeaf(a, a.commit));
        },
      ),
    );
  });

  test('lengths keep neighbours apart', () => {
    const [a] = fc.sample(header, { numRuns: 1, seed: 3 });
    if (a === undefined) throw new Error('no sample');
    const leaf = (type: string, id: string): Buffer => eventLeaf({ ...a, type, id }, a.commit);
    expect(leaf('ab', 'c')).not.toEqual(leaf('a', 'bc'));
    const salt = Buffer.alloc(32);
    const commit = (metadata: string, payload: string): Buffer =>
      Buffer.from(commitHash(salt, metadata, payload));
    expect(commit('ab', 'c')).not.toEqual(commit('a', 'bc'));
    expect(commit('', '1')).not.toEqual(commit('', '"1"'));
  });
});
