import { createCipheriv, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NonceSource, SealKey, Sealer } from './seal.js';

/** XAES-256-GCM by the key derivation under test and Node's GCM. */
function xaes(key: SealKey, nonce: Buffer, plain: string, aad = ''): string {
  const cipher = createCipheriv('aes-256-gcm', key.derive(nonce), nonce.subarray(12));
  cipher.setAAD(Buffer.from(aad));
  const body = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([body, cipher.getAuthTag()]).toString('hex');
}

describe('the test vectors of C2SP.org/XAES-256-GCM', () => {
  const nonce = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWX');

  // The first key makes CMAC's K1 without, the second with the carry.
  test.each([
    [0x01, '', 'ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271'],
    [0x03, 'c2sp.org/XAES-256-GCM', '986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d'],
  ])('key of %i', (byte, aad, expected) => {
    const key = new SealKey(1, Buffer.alloc(32, byte));
    expect(xaes(key, nonce, 'XAES-256-GCM', aad)).toBe(expected);
    // Again, from the remembered derivation, and after it was forgotten.
    expect(xaes(key, nonce, 'XAES-256-GCM', aad)).toBe(expected);
    for (let i = 0; i < 200; i++) key.derive(randomBytes(24));
    expect(xaes(key, nonce, 'XAES-256-GCM', aad)).toBe(expected);
  });

  test('keys of another size are refused', () => {
    for (const size of [0, 16, 31, 33]) expect(() => new SealKey(1, Buffer.alloc(size))).toThrow('32 bytes');
  });
});

const storeId = Buffer.alloc(16, 5);
const ringKey = new SealKey(1, Buffer.alloc(32, 7));
const own = new SealKey(0, Buffer.alloc(32, 8));
const sealer = new Sealer(storeId, new Map([[1, ringKey]]), ringKey);
const at = Buffer.from('e-key-of-the-record');
const corrupted = expect.objectContaining({ sqlstate: 'XX001' });

const flipped = (record: Buffer, offset: number, bit: number): Buffer => {
  const copy = Buffer.from(record);
  copy[offset] = (copy[offset] ?? 0) ^ (1 << bit);
  return copy;
};

describe('one part', () => {
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
    const other = new Sealer(Buffer.alloc(16, 6), new Map([[1, ringKey]]), ringKey);
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
    );
    expect(rotated.open(at, record).toString()).toBe('old');
    expect(() => sealer.open(at, rotated.seal(at, Buffer.from('new')))).toThrow(corrupted);
  });
});

describe('two parts', () => {
  const record = sealer.sealPair(at, own, Buffer.from('header'), Buffer.from('the payload'));

  test('open one by one', () => {
    expect(sealer.openFirst(at, record).toString()).toBe('header');
    expect(sealer.openSecond(at, own, record).toString()).toBe('the payload');
  });

  test('a flipped bit at every offset is found by one of them', () => {
    for (let offset = 0; offset < record.length; offset++) {
      const changed = flipped(record, offset, offset % 8);
      expect(() => {
        sealer.openFirst(at, changed);
        sealer.openSecond(at, own, changed);
      }).toThrow(corrupted);
    }
  });

  test('every truncation is found', () => {
    for (let length = 0; length < record.length; length++) {
      const cut = record.subarray(0, length);
      expect(() => sealer.openSecond(at, own, cut)).toThrow(corrupted);
    }
  });

  test('one part never passes for the other, nor for a record of one part', () => {
    const twin = sealer.sealPair(at, ringKey, Buffer.from('same length'), Buffer.from('SAME LENGTH'));
    const start = 29 + 4;
    const [a, b] = [twin.subarray(start, start + 27), twin.subarray(start + 27)];
    const swapped = Buffer.concat([twin.subarray(0, start), b, a]);
    expect(() => sealer.openFirst(at, swapped)).toThrow(corrupted);
    expect(() => sealer.openSecond(at, ringKey, swapped)).toThrow(corrupted);
    expect(() => sealer.open(at, Buffer.concat([twin.subarray(0, 29), a]))).toThrow(corrupted);
  });

  test("the second part needs the aggregate's own key", () => {
    expect(() => sealer.openSecond(at, ringKey, record)).toThrow(corrupted);
    expect(() => sealer.openSecond(at, new SealKey(0, randomBytes(32)), record)).toThrow(corrupted);
  });

  test('moved to another key both fail', () => {
    const other = Buffer.from('e-another-place-here');
    expect(() => sealer.openFirst(other, record)).toThrow(corrupted);
    expect(() => sealer.openSecond(other, own, record)).toThrow(corrupted);
  });
});

describe('nonces', () => {
  const nonceOf = (source: NonceSource): string => {
    const nonce = Buffer.alloc(24);
    source.write(nonce, 0);
    return nonce.toString('hex');
  };

  test('never repeat, within a process or over restarts', () => {
    const seen = new Set<string>();
    for (let start = 0; start < 50; start++) {
      const source = new NonceSource();
      for (let i = 0; i < 1000; i++) seen.add(nonceOf(source));
    }
    expect(seen.size).toBe(50_000);
  });

  test('count on past 32 bits', () => {
    const source = new NonceSource(() => Buffer.alloc(12));
    Object.assign(source, { counter: 2 ** 32 - 1 });
    expect([nonceOf(source), nonceOf(source)].map((n) => n.slice(24))).toEqual([
      '0000000000000000ffffffff',
      '000000000000000100000000',
    ]);
  });

  test('the records of a sealer carry them, pairs and single ones alike', () => {
    const seen = new Set<string>();
    for (let i = 0; i < 500; i++) {
      seen.add(sealer.seal(at, Buffer.from('x')).toString('hex', 5, 29));
      seen.add(sealer.sealPair(at, own, Buffer.from('x'), Buffer.from('y')).toString('hex', 5, 29));
    }
    expect(seen.size).toBe(1000);
  });
});
