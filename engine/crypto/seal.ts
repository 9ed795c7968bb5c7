/**
 * Authenticated encryption of everything on disk: XAES-256-GCM (C2SP.org/XAES-256-GCM) with a 24-byte nonce.
 *
 *   record = format(1) ‖ keyId(4) ‖ nonce(24) ‖ ciphertext ‖ tag(16)
 *   additional data = format ‖ storeId(16) ‖ the record's full key ‖ part
 *
 * The additional data ties a record to its place: a record moved to another key, or into another store, fails.
 * A nonce's first 12 bytes are drawn at each start of the process and the last 12 count up, so no nonce repeats under
 * a key after a crash, a restore or a copy of the directory; and because XAES derives the AES key from (key, first 12
 * bytes), that derivation is done once per key and process, leaving the price of plain GCM.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { DatabaseError, SqlState } from '../errors.js';

const FORMAT = 1;
const NONCE_BYTES = 24;
const PREFIX_BYTES = 12;
const TAG_BYTES = 16;
/** format, key id and nonce. */
const HEADER_BYTES = 1 + 4 + NONCE_BYTES;

/** A 256-bit key and the AES keys XAES derives from it, one per nonce prefix met. */
export class SealKey {
  readonly id: number;
  readonly bytes: Buffer;
  private readonly derived = new Map<string, Buffer>();

  constructor(id: number, bytes: Buffer) {
    if (bytes.length !== 32) throw new Error('a key is 32 bytes');
    this.id = id;
    this.bytes = bytes;
  }

  /** XAES-256-GCM key derivation: CMAC's K1 over two counter blocks that hold the nonce's first half. */
  derive(nonce: Buffer): Buffer {
    const prefix = nonce.toString('latin1', 0, PREFIX_BYTES);
    const known = this.derived.get(prefix);
    if (known !== undefined) return known;
    const aes = createCipheriv('aes-256-ecb', this.bytes, null).setAutoPadding(false);
    const k1 = aes.update(Buffer.alloc(16));
    let carry = 0;
    for (let i = 15; i >= 0; i--) {
      const byte = k1[i] ?? 0;
      k1[i] = ((byte << 1) | carry) & 0xff;
      carry = byte >> 7;
    }
    k1[15] = (k1[15] ?? 0) ^ (carry * 0x87);
    const blocks = Buffer.alloc(32);
    for (const [offset, counter] of [
      [0, 1],
      [16, 2],
    ] as const) {
      blocks[offset + 1] = counter;
      blocks[offset + 2] = 0x58;
      nonce.copy(blocks, offset + 4, 0, PREFIX_BYTES);
      for (let i = 0; i < 16; i++) blocks[offset + i] = (blocks[offset + i] ?? 0) ^ (k1[i] ?? 0);
    }
    const key = aes.update(blocks);
    // A store restarted very often holds many prefixes; a few are enough to stay fast.
    if (this.derived.size >= 64) this.derived.clear();
    this.derived.set(prefix, key);
    return key;
  }
}

/** Draws nonces that never repeat: a random first half per instance, a counter as the second. */
export class NonceSource {
  private readonly prefix: Buffer;
  private counter = 0;

  constructor(random: (size: number) => Buffer = randomBytes) {
    this.prefix = random(PREFIX_BYTES);
  }

  write(target: Buffer, offset: number): void {
    const n = this.counter++;
    this.prefix.copy(target, offset);
    target.writeUInt32BE(0, offset + 12);
    target.writeUInt32BE(Math.floor(n / 0x1_0000_0000), offset + 16);
    target.writeUInt32BE(n >>> 0, offset + 20);
  }
}

function gcmSeal(key: Buffer, nonce: Buffer, aad: Buffer, plain: Uint8Array): [Buffer, Buffer] {
  const cipher = createCipheriv('aes-256-gcm', key, nonce.subarray(PREFIX_BYTES));
  cipher.setAAD(aad);
  const body = cipher.update(plain);
  cipher.final();
  return [body, cipher.getAuthTag()];
}

function gcmOpen(key: Buffer, nonce: Buffer, aad: Buffer, body: Buffer, tag: Buffer): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, nonce.subarray(PREFIX_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(aad);
  decipher.setAuthTag(tag);
  const plain = decipher.update(body);
  decipher.final();
  return plain;
}

function corrupted(why: string): DatabaseError {
  return new DatabaseError(SqlState.dataCorrupted, `a stored record does not authenticate: ${why}`);
}

/** Seals and opens the records of one store. */
export class Sealer {
  private readonly nonces: NonceSource;
  private readonly aadStart: Buffer;

  constructor(
    storeId: Buffer,
    readonly ring: ReadonlyMap<number, SealKey>,
    private readonly current: SealKey,
    nonces = new NonceSource(),
  ) {
    this.nonces = nonces;
    this.aadStart = Buffer.concat([Buffer.from([FORMAT]), storeId]);
  }

  /** One part, under the ring. */
  seal(recordKey: Uint8Array, plain: Uint8Array): Buffer {
    const header = this.header();
    const nonce = header.subarray(5);
    const [body, tag] = gcmSeal(this.current.derive(nonce), nonce, this.aad(recordKey, 0), plain);
    return Buffer.concat([header, body, tag], HEADER_BYTES + body.length + TAG_BYTES);
  }

  open(recordKey: Uint8Array, record: Buffer): Buffer {
    const [key, nonce] = this.readHeader(record);
    try {
      return gcmOpen(
        key.derive(nonce),
        nonce,
        this.aad(recordKey, 0),
        record.subarray(HEADER_BYTES, record.length - TAG_BYTES),
        record.subarray(record.length - TAG_BYTES),
      );
    } catch {
      throw corrupted('it was altered or moved');
    }
  }

  /**
   * Two parts in one record: the first under the ring, the second under `own` (an aggregate's key, which may be
   * destroyed). They share the nonce because they never share the key.
   */
  sealPair(recordKey: Uint8Array, own: SealKey, first: Uint8Array, second: Uint8Array): Buffer {
    const header = this.header();
    const nonce = header.subarray(5);
    const [a, aTag] = gcmSeal(this.current.derive(nonce), nonce, this.aad(recordKey, 1), first);
    const [b, bTag] = gcmSeal(own.derive(nonce), nonce, this.aad(recordKey, 2), second);
    const length = Buffer.allocUnsafe(4);
    length.writeUInt32BE(a.length, 0);
    return Buffer.concat([header, length, a, aTag, b, bTag]);
  }

  /** The ring's part of a pair; the other stays sealed until `openSecond`. */
  openFirst(recordKey: Uint8Array, record: Buffer): Buffer {
    const [key, nonce] = this.readHeader(record);
    const end = this.firstEnd(record);
    try {
      return gcmOpen(
        key.derive(nonce),
        nonce,
        this.aad(recordKey, 1),
        record.subarray(HEADER_BYTES + 4, end),
        record.subarray(end, end + TAG_BYTES),
      );
    } catch {
      throw corrupted('it was altered or moved');
    }
  }

  openSecond(recordKey: Uint8Array, own: SealKey, record: Buffer): Buffer {
    const [, nonce] = this.readHeader(record);
    const start = this.firstEnd(record) + TAG_BYTES;
    if (start + TAG_BYTES > record.length) throw corrupted('it is cut short');
    try {
      return gcmOpen(
        own.derive(nonce),
        nonce,
        this.aad(recordKey, 2),
        record.subarray(start, record.length - TAG_BYTES),
        record.subarray(record.length - TAG_BYTES),
      );
    } catch {
      throw corrupted('it was altered or moved');
    }
  }

  private header(): Buffer {
    const header = Buffer.allocUnsafe(HEADER_BYTES);
    header[0] = FORMAT;
    header.writeUInt32BE(this.current.id, 1);
    this.nonces.write(header, 5);
    return header;
  }

  private readHeader(record: Buffer): [SealKey, Buffer] {
    if (record.length < HEADER_BYTES + TAG_BYTES) throw corrupted('it is cut short');
    if (record[0] !== FORMAT) throw corrupted(`it has the unknown format ${record[0] ?? -1}`);
    const key = this.ring.get(record.readUInt32BE(1));
    if (key === undefined) throw corrupted('it names an unknown key');
    return [key, record.subarray(5, HEADER_BYTES)];
  }

  private firstEnd(record: Buffer): number {
    const end = HEADER_BYTES + 4 + record.readUInt32BE(HEADER_BYTES);
    if (end + TAG_BYTES > record.length) throw corrupted('it is cut short');
    return end;
  }

  private aad(recordKey: Uint8Array, part: number): Buffer {
    const aad = Buffer.allocUnsafe(this.aadStart.length + recordKey.length + 1);
    this.aadStart.copy(aad);
    aad.set(recordKey, this.aadStart.length);
    aad[aad.length - 1] = part;
    return aad;
  }
}
