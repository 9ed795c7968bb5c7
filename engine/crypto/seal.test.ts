import { createCipheriv, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Nonces } from './nonces.js';
import { SealKey, Sealer } from './seal.js';

const rotate = (x: number, n: number): number => (x << n) | (x >>> (32 - n));

/** HChaCha20 (draft-irtf-cfrg-xchacha-03, section 2.2), written for this test from the draft. */
function hChaCha20(key: Buffer, nonce: Buffer): Buffer {
  const x = new Uint32Array(16);
  x.set([0x61707865, 0x3320646e, 0x79622d32, 0x6b206574]);
  for (let i = 0; i < 8; i++) x[4 + i] = key.readUInt32LE(4 * i);
  for (let i = 0; i < 4; i++) x[12 + i] = nonce.readUInt32LE(4 * i);
  const at = (i: number): number => x[i] ?? 0;
  const quarter = (a: number, b: number, c: number, d: number): void => {
    for (const [n, m] of [
      [16, 12],
      [8, 7],
    ] as const) {
      x[a] = at(a) + at(b);
      x[d] = rotate(at(d) ^ at(a), n);
      x[c] = at(c) + at(d);
      x[b] = rotate(at(b) ^ at(c), m);
    }
  };
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 4; i++) quarter(i, 4 + i, 8 + i, 12 + i);
    for (let i = 0; i < 4; i++) quarter(i, 4 + ((i + 1) % 4), 8 + ((i + 2) % 4), 12 + ((i + 3) % 4));
  }
  const out = Buffer.alloc(32);
  [0, 1, 2, 3, 12, 13, 14, 15].forEach((from, i) => out.writeUInt32LE(at(from), 4 * i));
  return out;
}

describe('XChaCha20-Poly1305', () => {
  test("the draft's HChaCha20 vector (section 2.2.1), which the next test stands on", () => {
    const key = Buffer.from([...Array(32).keys()]);
    const nonce = Buffer.from('000000090000004a0000000031415927', 'hex');
    expect(hChaCha20(key, nonce).toString('hex')).toBe(
      '82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc',
    );
  });

  test('a record is what HChaCha20 and the ChaCha20-Poly1305 of OpenSSL give', () => {
    const plain = Buffer.from('the words of a record');
    const record = sealer.seal(at, plain);
    // Key 1, prefix 1, and a counter below 128: a byte each.
    expect([...record.subarray(0, 2)]).toEqual([1, 1]);
    const nonce = Buffer.concat([prefix, Buffer.of(0, 0, 0, 0, record[2] ?? 0)]);
    const cipher = createCipheriv(
      'chacha20-poly1305',
      hChaCha20(ringKey.bytes, nonce),
      Buffer.concat([Buffer.alloc(4), nonce.subarray(16)]),
      { authTagLength: 16 },
    );
    cipher.setAAD(Buffer.concat([Buffer.of(4), storeId, at]), {
      plaintextLength: plain.length,
    });
    const body = Buffer.concat([cipher.update(plain), cipher.final()]);
    expect(record.subarray(3)).toEqual(Buffer.concat([body, cipher.getAuthTag()]));
  });

  test('keys of another size are refused', () => {
    for (const size of [0, 16, 31, 33]) expect(() => new SealKey(1, Buffer.alloc(size))).toThrow('32 bytes');
  });
});

const storeId = Buffer.alloc(16, 5);
const ringKey = new SealKey(1, Buffer.alloc(32, 7));
const own = new SealKey(0, Buffer.alloc(32, 8));
const prefix = randomBytes(19);
const sealer = new Sealer(storeId, new Map([[1, ringKey]]), ringKey, new Nonces(() => prefix));
const at = Buffer.from('e-key-of-the-record');
const corrupted = expect.objectContaining({ sqlstate: 'XX001' });

const flipped = (record: Buffer, offset: number, bit: number): Buffer => {
  const copy = Buffer.from(record);
  copy[offset] = (copy[offset] ?? 0) ^ (1 << bit);
  return copy;
};

describe('under the ring', () => {
  test('opens to what was sealed, and never shows it', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.uint8Array({ minLength: 1, maxLength: 40 }),
        (plain, key) => {
          const record = sealer.seal(key, plain);
          expect(sealer.open(key, record)).toEqual(Buffer.from(plain));
          if (plain.length > 4) expect(record.includes(Buffer.from(plain))).toBe(false);
        },
      ),
    );
  });

  test('a flipped bit at every offset is found', () => {
    const record = sealer.seal(at, Buffer.from('a value of some length'));
    for (let offset = 0; offset < record.length; offset++)
      expect(() => sealer.open(at, flipped(record, offset, offset % 8))).toThrow(corrupted);
  });

  test('every truncation and an extension are found', () => {
    const record = sealer.seal(at, Buffer.from('a value'));
    for (let length = 0; length < record.length; length++)
      expect(() => sealer.open(at, record.subarray(0, length))).toThrow(corrupted);
    expect(() => sealer.open(at, Buffer.concat([record, Buffer.alloc(1)]))).toThrow(corrupted);
  });

  test('a record moved to another key fails', () => {
    const record = sealer.seal(at, Buffer.from('a value'));
    for (const other of ['e-key-of-the-recorc', 'e-key-of-the-recor', 'e-key-of-the-record2', ''])
      expect(() => sealer.open(Buffer.from(other), record)).toThrow(corrupted);
  });

  test('a record moved to another store fails, also under the same keys', () => {
    const nonces = new Nonces(() => prefix);
    nonces.load(1, prefix);
    const other = new Sealer(Buffer.alloc(16, 6), new Map([[1, ringKey]]), ringKey, nonces);
    expect(() => other.open(at, sealer.seal(at, Buffer.from('a value')))).toThrow(corrupted);
  });

  test('plain bytes are not taken for a record', () => {
    expect(() =>
      sealer.open(at, Buffer.from('{"some":"plain json, long enough to be a record by its length"}')),
    ).toThrow(corrupted);
  });

  test('names its key: old records open after a rotation, unknown keys are an error', () => {
    const record = sealer.seal(at, Buffer.from('old'));
    const next = new SealKey(2, Buffer.alloc(32, 9));
    const rotated = new Sealer(
      storeId,
      new Map([
        [1, ringKey],
        [2, next],
      ]),
      next,
      sealer.nonces,
    );
    expect(rotated.open(at, record).toString()).toBe('old');
    expect(() => sealer.open(at, rotated.seal(at, Buffer.from('new')))).toThrow(corrupted);
  });
});

describe('alone', () => {
  test('a record opens in a sealer that has no prefix of the first, and so it does with a flipped bit nowhere', () => {
    const record = sealer.sealAlone(at, Buffer.from('a file'));
    const later = new Sealer(storeId, new Map([[1, ringKey]]), ringKey);
    expect(later.open(at, record).toString()).toBe('a file');
    for (let offset = 0; offset < record.length; offset++)
      expect(() => later.open(at, flipped(record, offset, offset % 8))).toThrow(corrupted);
    for (let length = 0; length < record.length; length++)
      expect(() => later.open(at, record.subarray(0, length))).toThrow(corrupted);
    expect(() => later.open(at, sealer.seal(at, Buffer.from('a record')))).toThrow(corrupted);
    expect(sealer.sealAlone(at, Buffer.from('a file'))).not.toEqual(record);
  });
});

describe("under an aggregate's key", () => {
  const record = sealer.sealOwn(at, own, Buffer.from('the payload'));

  test('opens to what was sealed, whatever its length', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (plain) => {
        expect(sealer.openOwn(at, own, sealer.sealOwn(at, own, plain))).toEqual(Buffer.from(plain));
      }),
    );
    const long = randomBytes(100_000);
    expect(sealer.openOwn(at, own, sealer.sealOwn(at, own, long))).toEqual(long);
  });

  test('a flipped bit at every offset is found', () => {
    for (let offset = 0; offset < record.length; offset++)
      expect(() => sealer.openOwn(at, own, flipped(record, offset, offset % 8))).toThrow(corrupted);
  });

  test('every truncation and an extension are found', () => {
    for (let length = 0; length < record.length; length++)
      expect(() => sealer.openOwn(at, own, record.subarray(0, length))).toThrow(corrupted);
    expect(() => sealer.openOwn(at, own, Buffer.concat([record, Buffer.alloc(1)]))).toThrow(corrupted);
  });

  test('needs that key, and never passes for a record under the ring', () => {
    expect(() => sealer.openOwn(at, ringKey, record)).toThrow(corrupted);
    expect(() => sealer.openOwn(at, new SealKey(0, randomBytes(32)), record)).toThrow(corrupted);
    expect(() => sealer.open(at, record)).toThrow(corrupted);
    expect(() => sealer.open(at, sealer.sealOwn(at, ringKey, Buffer.from('x')))).toThrow(corrupted);
  });

  test('moved to another key it fails', () => {
    expect(() => sealer.openOwn(Buffer.from('e-another-place-here'), own, record)).toThrow(corrupted);
  });
});
