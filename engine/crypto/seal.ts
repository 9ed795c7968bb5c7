/**
 * Authenticated encryption of everything on disk: XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha, libsodium) with a
 * 24-byte nonce.
 *
 *   record = format(1) ‖ keyId(4) ‖ nonce(24) ‖ ciphertext ‖ tag(16)
 *   additional data = format ‖ storeId(16) ‖ the record's full key ‖ part
 *
 * The additional data ties a record to its place: a record moved to another key, or into another store, fails.
 * A nonce's first 16 bytes are drawn at each start of the process and the last 8 count up, so no nonce repeats under
 * a key after a crash, a restore or a copy of the directory. The records are small, so the price of a call decides:
 * 1 µs here, 5 µs with AES-256-GCM of node:crypto (decision 0012).
 */
import { randomBytes } from 'node:crypto';
import sodium from 'sodium-native';
import { DatabaseError, SqlState } from '../errors.js';

const FORMAT = 2;
const KEY_BYTES = 32;
const NONCE_BYTES = 24;
const PREFIX_BYTES = 16;
const TAG_BYTES = 16;
/** format, key id and nonce. */
const HEADER_BYTES = 1 + 4 + NONCE_BYTES;
/** The longest key of a record; keys are made by codec/keys.ts. */
const RECORD_KEY_BYTES = 256;

/** A 256-bit key and the number records name it by. */
export class SealKey {
  /** Memory of its own: keys are kept long, and what they came in is not. */
  readonly bytes = Buffer.alloc(KEY_BYTES);

  constructor(
    readonly id: number,
    bytes: Uint8Array,
  ) {
    if (bytes.length !== KEY_BYTES) throw new Error('a key is 32 bytes');
    this.bytes.set(bytes);
  }
}

/** Draws nonces that never repeat: a random first part per instance, a counter as the rest. */
export class NonceSource {
  private readonly prefix: Buffer;
  private counter = 0;

  constructor(random: (size: number) => Buffer = randomBytes) {
    this.prefix = random(PREFIX_BYTES);
  }

  write(target: Buffer, offset: number): void {
    const n = this.counter++;
    this.prefix.copy(target, offset);
    target.writeUInt32BE(Math.floor(n / 0x1_0000_0000), offset + PREFIX_BYTES);
    target.writeUInt32BE(n >>> 0, offset + PREFIX_BYTES + 4);
  }
}

function corrupted(why: string): DatabaseError {
  return new DatabaseError(SqlState.dataCorrupted, `a stored record does not authenticate: ${why}`);
}

/** Seals and opens the records of one store. */
export class Sealer {
  private readonly nonces: NonceSource;
  /** Additional data, put together in place for each record, and views of it by length. */
  private readonly additional: Buffer;
  private readonly views: (Buffer | undefined)[] = [];
  private readonly aadStart: number;
  private readonly nonce = Buffer.alloc(NONCE_BYTES);

  constructor(
    storeId: Buffer,
    readonly ring: ReadonlyMap<number, SealKey>,
    private readonly current: SealKey,
    nonces = new NonceSource(),
  ) {
    this.nonces = nonces;
    this.aadStart = 1 + storeId.length;
    this.additional = Buffer.alloc(this.aadStart + RECORD_KEY_BYTES + 1);
    this.additional[0] = FORMAT;
    storeId.copy(this.additional, 1);
  }

  /** One part, under the ring. */
  seal(recordKey: Uint8Array, plain: Uint8Array): Buffer {
    const record = Buffer.allocUnsafe(HEADER_BYTES + plain.length + TAG_BYTES);
    const nonce = this.writeHeader(record);
    this.encrypt(record.subarray(HEADER_BYTES), plain, this.aad(recordKey, 0), nonce, this.current);
    return record;
  }

  open(recordKey: Uint8Array, record: Buffer): Buffer {
    const [key, nonce] = this.readHeader(record);
    return this.decrypt(record.subarray(HEADER_BYTES), this.aad(recordKey, 0), nonce, key);
  }

  /**
   * Two parts in one record: the first under the ring, the second under `own` (an aggregate's key, which may be
   * destroyed). They share the nonce because they never share the key.
   */
  sealPair(recordKey: Uint8Array, own: SealKey, first: Uint8Array, second: Uint8Array): Buffer {
    const middle = HEADER_BYTES + 4 + first.length + TAG_BYTES;
    const record = Buffer.allocUnsafe(middle + second.length + TAG_BYTES);
    const nonce = this.writeHeader(record);
    record.writeUInt32BE(first.length, HEADER_BYTES);
    const one = record.subarray(HEADER_BYTES + 4, middle);
    this.encrypt(one, first, this.aad(recordKey, 1), nonce, this.current);
    this.encrypt(record.subarray(middle), second, this.aad(recordKey, 2), nonce, own);
    return record;
  }

  /** The ring's part of a pair; the other stays sealed until `openSecond`. */
  openFirst(recordKey: Uint8Array, record: Buffer): Buffer {
    const [key, nonce] = this.readHeader(record);
    const sealed = record.subarray(HEADER_BYTES + 4, this.middle(record));
    return this.decrypt(sealed, this.aad(recordKey, 1), nonce, key);
  }

  openSecond(recordKey: Uint8Array, own: SealKey, record: Buffer): Buffer {
    const [, nonce] = this.readHeader(record);
    return this.decrypt(record.subarray(this.middle(record)), this.aad(recordKey, 2), nonce, own);
  }

  private encrypt(target: Buffer, plain: Uint8Array, aad: Buffer, nonce: Buffer, key: SealKey): void {
    sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(target, plain, aad, null, nonce, key.bytes);
  }

  private decrypt(sealed: Buffer, aad: Buffer, nonce: Buffer, key: SealKey): Buffer {
    if (sealed.length < TAG_BYTES) throw corrupted('it is cut short');
    const plain = Buffer.allocUnsafe(sealed.length - TAG_BYTES);
    try {
      sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(plain, null, sealed, aad, nonce, key.bytes);
    } catch {
      throw corrupted('it was altered or moved');
    }
    return plain;
  }

  /** @returns the nonce, valid until the next record */
  private writeHeader(record: Buffer): Buffer {
    record[0] = FORMAT;
    record.writeUInt32BE(this.current.id, 1);
    this.nonces.write(this.nonce, 0);
    record.set(this.nonce, 5);
    return this.nonce;
  }

  private readHeader(record: Buffer): [SealKey, Buffer] {
    if (record.length < HEADER_BYTES + TAG_BYTES) throw corrupted('it is cut short');
    if (record[0] !== FORMAT) throw corrupted(`it has the unknown format ${record[0] ?? -1}`);
    const key = this.ring.get(record.readUInt32BE(1));
    if (key === undefined) throw corrupted('it names an unknown key');
    return [key, record.subarray(5, HEADER_BYTES)];
  }

  /** Where the second part of a pair begins. */
  private middle(record: Buffer): number {
    if (record.length < HEADER_BYTES + 4 + 2 * TAG_BYTES) throw corrupted('it is cut short');
    const middle = HEADER_BYTES + 4 + record.readUInt32BE(HEADER_BYTES) + TAG_BYTES;
    if (middle + TAG_BYTES > record.length) throw corrupted('it is cut short');
    return middle;
  }

  /** Valid until the next record. */
  private aad(recordKey: Uint8Array, part: number): Buffer {
    const end = this.aadStart + recordKey.length;
    this.additional.set(recordKey, this.aadStart);
    this.additional[end] = part;
    return (this.views[end] ??= this.additional.subarray(0, end + 1));
  }
}
