import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteReader, ByteWriter, sameBytes } from './bytes.js';

const corrupted = expect.objectContaining({ sqlstate: 'XX001' });
const unicode = fc.string({ unit: 'binary' });

/** One value of each kind, with how it is written and read. */
const item = fc.oneof(
  fc.integer({ min: 0, max: 255 }).map((v) => ({ kind: 'u8', v }) as const),
  fc.integer({ min: 0, max: 2 ** 32 - 1 }).map((v) => ({ kind: 'u32', v }) as const),
  fc.maxSafeNat().map((v) => ({ kind: 'u64', v }) as const),
  unicode.map((v) => ({ kind: 'text', v }) as const),
  fc.uint8Array({ maxLength: 600 }).map((v) => ({ kind: 'lp', v: Buffer.from(v) }) as const),
);

describe('bytes', () => {
  test('what is written is read again, in order, to the end', () => {
    fc.assert(
      fc.property(fc.array(item), fc.integer({ min: 1, max: 300 }), (items, capacity) => {
        const w = new ByteWriter(capacity);
        for (const i of items) {
          if (i.kind === 'text') w.text(i.v);
          else if (i.kind === 'lp') w.lp(i.v);
          else w[i.kind](i.v);
        }
        const r = new ByteReader(w.take());
        for (const i of items) expect(r[i.kind]()).toEqual(i.v);
        expect(r.atEnd).toBe(true);
      }),
    );
  });

  test('every truncation is data corruption', () => {
    const bytes = new ByteWriter().u8(1).u32(2).u64(3).text('größe').lp(Buffer.from('abc')).take();
    for (let length = 0; length < bytes.length; length++) {
      const r = new ByteReader(bytes.subarray(0, length));
      expect(() => [r.u8(), r.u32(), r.u64(), r.text(), r.lp()]).toThrow(corrupted);
    }
  });

  test('a length far beyond the end is refused before anything is allocated', () => {
    const bytes = new ByteWriter().u32(0xffff_ffff).take();
    expect(() => new ByteReader(bytes).lp()).toThrow(corrupted);
    expect(() => new ByteReader(bytes).text()).toThrow(corrupted);
  });

  test('integers are big-endian, 64 bits exact up to 2^53', () => {
    expect(new ByteWriter().u32(0x01020304).take().toString('hex')).toBe('01020304');
    expect(new ByteWriter().u64(Number.MAX_SAFE_INTEGER).take().toString('hex')).toBe('001fffffffffffff');
  });

  test('what was taken holds until the next write, which starts anew', () => {
    const w = new ByteWriter(64);
    const first = Buffer.from(w.text('first').take());
    expect(first.toString('hex')).toBe('000000056669727374');
    expect(w.text('é').take().toString('hex')).toBe('00000002c3a9');
  });
});

test('bytes are the same where Buffer.compare says so', () => {
  const few = fc.uint8Array({ minLength: 12, maxLength: 12, max: 2 });
  const at = fc.integer({ min: 0, max: 6 });
  fc.assert(
    fc.property(few, few, at, at, fc.integer({ min: 0, max: 6 }), (a, b, aAt, bAt, bytes) => {
      const [left, right] = [a.subarray(aAt, aAt + bytes), b.subarray(bAt, bAt + bytes)];
      expect(sameBytes(a, aAt, b, bAt, bytes)).toBe(Buffer.compare(left, right) === 0);
    }),
  );
  expect(sameBytes(Buffer.from('ab'), 0, Buffer.from('abc'), 0, 3)).toBe(false);
});
