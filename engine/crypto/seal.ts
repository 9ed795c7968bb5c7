/**
 * Authenticated encryption of everything on disk: XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha, libsodium).
 *
 *   under the ring              format(1) ‖ keyId(2) ‖ nonce(13) ‖ ciphertext ‖ tag(16)
 *   under an aggregate's key    format(1) ‖ nonce(13) ‖ ciphertext ‖ tag(16)
 *   additional data             format ‖ storeId(16) ‖ the record's full key
 *
 * The additional data ties a record to its place: a record moved to another key, or into another store, fails.
 * A nonce's first 8 bytes are drawn at each start of the process and the next 5 count up (the cipher's other 11 are
 * zero), so no nonce repeats under a key after a crash, a restore or a copy of the directory. The records are small, so
 * the price of a call and every byte beside the ciphertext count (decisions 0012 and 0018).
 */
import { randomBytes } from 'node:crypto';
import sodium from 'sodium-native';
import { DatabaseError, SqlState } from '../errors.js';

const FORMAT = 4;
const KEY_BYTES = 32;
/** As the cipher takes it. */
const NONCE_BYTES = 24;
const PREFIX_BYTES = 8;
const COUNTER_BYTES = 5;
/** As a record carries it. */
const KEPT_NONCE_BYTES = PREFIX_BYTES + COUNTER_BYTES;
const TAG_BYTES = 16;
/** format and nonce. */
const OWN_HEADER_BYTES = 1 + KEPT_NONCE_BYTES;
/** format, key id and nonce. */
const RING_HEADER_BYTES = 3 + KEPT_NONCE_BYTES;
/** The longest key of a record; keys are made by codec/keys.ts. */
const RECORD_KEY_BYTES = 256;
/** Longer plaintexts get memory of their own. */
const SCRATCH_BYTES = 16 * 1024;

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
  private prefix: Buffer;
  private counter = 0;

  constructor(private readonly random: (size: number) => Buffer = randomBytes) {
    this.prefix = random(PREFIX_BYTES);
  }

  write(target: Buffer): void {
    if (this.counter === 2 ** (8 * COUNTER_BYTES)) {
      this.prefix = this.random(PREFIX_BYTES);
      this.counter = 0;
    }
    const n = this.counter++;
    target.set(this.prefix);
    target[PREFIX_BYTES] = Math.floor(n / 0x1_0000_0000);
    target.writeUInt32BE(n >>> 0, PREFIX_BYTES + 1);
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
  private readonly scratch = Buffer.alloc(SCRATCH_BYTES);
  private readonly ringScratch = Buffer.alloc(SCRATCH_BYTES);

  constructor(
    storeId: Buffer,
    readonly ring: ReadonlyMap<number, SealKey>,
    private readonly current: SealKey,
    nonces = new NonceSource(),
  ) {
    this.nonces = nonces;
    this.aadStart = 1 + storeId.length;
    this.additional = Buffer.alloc(this.aadStart + RECORD_KEY_BYTES);
    this.additional[0] = FORMAT;
    storeId.copy(this.additional, 1);
  }

  /** Under the ring. */
  seal(recordKey: Uint8Array, plain: Uint8Array): Buffer {
    const record = Buffer.allocUnsafe(RING_HEADER_BYTES + plain.length + TAG_BYTES);
    record[0] = FORMAT;
    record.writeUInt16BE(this.current.id, 1);
    this.encrypt(record, RING_HEADER_BYTES, recordKey, plain, this.current);
    return record;
  }

  open(recordKey: Uint8Array, record: Buffer): Buffer {
    return Buffer.from(this.openBriefly(recordKey, record));
  }

  /** @returns a view that is valid until the next call of this or of `open` */
  openBriefly(recordKey: Uint8Array, record: Buffer): Buffer {
    check(record, RING_HEADER_BYTES);
    const key = this.ring.get(record.readUInt16BE(1));
    if (key === undefined) throw corrupted('it names an unknown key');
    const size = record.length - RING_HEADER_BYTES - TAG_BYTES;
    const plain = size > SCRATCH_BYTES ? Buffer.allocUnsafe(size) : this.ringScratch.subarray(0, size);
    this.decrypt(plain, record, RING_HEADER_BYTES, recordKey, key);
    return plain;
  }

  /** Under an aggregate's key, which may be destroyed. */
  sealOwn(recordKey: Uint8Array, own: SealKey, plain: Uint8Array): Buffer {
    const record = Buffer.allocUnsafe(OWN_HEADER_BYTES + plain.length + TAG_BYTES);
    record[0] = FORMAT;
    this.encrypt(record, OWN_HEADER_BYTES, recordKey, plain, own);
    return record;
  }

  /** @returns a view that is valid until the next call of this */
  openOwn(recordKey: Uint8Array, own: { readonly bytes: Uint8Array }, record: Buffer): Buffer {
    check(record, OWN_HEADER_BYTES);
    const size = record.length - OWN_HEADER_BYTES - TAG_BYTES;
    const plain = size > SCRATCH_BYTES ? Buffer.allocUnsafe(size) : this.scratch.subarray(0, size);
    this.decrypt(plain, record, OWN_HEADER_BYTES, recordKey, own);
    return plain;
  }

  private encrypt(
    record: Buffer,
    header: number,
    recordKey: Uint8Array,
    plain: Uint8Array,
    key: SealKey,
  ): void {
    const { nonce } = this;
    this.nonces.write(nonce);
    nonce.copy(record, header - KEPT_NONCE_BYTES, 0, KEPT_NONCE_BYTES);
    const sealed = record.subarray(header);
    sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(
      sealed,
      plain,
      this.aad(recordKey),
      null,
      nonce,
      key.bytes,
    );
  }

  private decrypt(
    plain: Buffer,
    record: Buffer,
    header: number,
    recordKey: Uint8Array,
    key: { readonly bytes: Uint8Array },
  ): void {
    const { nonce } = this;
    record.copy(nonce, 0, header - KEPT_NONCE_BYTES, header);
    const sealed = record.subarray(header);
    try {
      sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(
        plain,
        null,
        sealed,
        this.aad(recordKey),
        nonce,
        key.bytes,
      );
    } catch {
      throw corrupted('it was altered or moved');
    }
  }

  /** Valid until the next record. */
  private aad(recordKey: Uint8Array): Buffer {
    const end = this.aadStart + recordKey.length;
    this.additional.set(recordKey, this.aadStart);
    return (this.views[end] ??= this.additional.subarray(0, end));
  }
}

function check(record: Buffer, header: number): void {
  if (record.length < header + TAG_BYTES) throw corrupted('it is cut short');
  if (record[0] !== FORMAT) throw corrupted(`it has the unknown format ${record[0] ?? -1}`);
}
