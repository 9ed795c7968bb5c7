/**
 * Authenticated encryption of everything on disk: XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha, libsodium).
 *
 *   under the ring              u8 key id ‖ carried nonce ‖ ciphertext ‖ tag(16)
 *   under an aggregate's key    carried nonce ‖ ciphertext ‖ tag(16)
 *   additional data             u8 format ‖ storeId(16) ‖ the record's full key
 *
 * The additional data ties a record to its place: a record moved to another key, or into another store, fails. What is
 * carried of a nonce says nonces.ts. The records are small, so the price of a call and every byte beside the ciphertext
 * count (decisions 0012, 0018 and 0020).
 */
import sodium from 'sodium-native';
import { corrupted, Nonces } from './nonces.js';

/** Not in the records: a store has one format, which its keyring names. */
const FORMAT = 4;
const KEY_BYTES = 32;
const TAG_BYTES = 16;
/** Of records under the ring: the key id in front of the nonce. */
const KEY_ID_BYTES = 1;
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
    if (id < 0 || id > 255) throw new Error('the number of a key is one byte');
    this.bytes.set(bytes);
  }
}

/** Seals and opens the records of one store. */
export class Sealer {
  /** Additional data, put together in place for each record, and views of it by length. */
  private readonly additional: Buffer;
  private readonly views: (Buffer | undefined)[] = [];
  private readonly aadStart: number;
  private readonly scratch = Buffer.alloc(SCRATCH_BYTES);
  private readonly ringScratch = Buffer.alloc(SCRATCH_BYTES);

  constructor(
    storeId: Buffer,
    readonly ring: ReadonlyMap<number, SealKey>,
    private readonly current: SealKey,
    readonly nonces = new Nonces(),
  ) {
    this.aadStart = 1 + storeId.length;
    this.additional = Buffer.alloc(this.aadStart + RECORD_KEY_BYTES);
    this.additional[0] = FORMAT;
    storeId.copy(this.additional, 1);
  }

  /** Under the ring. The record opens only with the prefixes that `nonces` has. */
  seal(recordKey: Uint8Array, plain: Uint8Array): Buffer {
    this.nonces.draw();
    return this.encrypt(KEY_ID_BYTES, recordKey, plain, this.current);
  }

  /** The same for what is kept outside the store: the record carries its whole nonce. */
  sealAlone(recordKey: Uint8Array, plain: Uint8Array): Buffer {
    this.nonces.drawWhole();
    return this.encrypt(KEY_ID_BYTES, recordKey, plain, this.current);
  }

  open(recordKey: Uint8Array, record: Buffer): Buffer {
    return Buffer.from(this.openBriefly(recordKey, record));
  }

  /** @returns a view that is valid until the next call of this or of `open` */
  openBriefly(recordKey: Uint8Array, record: Buffer): Buffer {
    const key = this.ring.get(record[0] ?? 0);
    if (key === undefined) throw corrupted('it names an unknown key');
    return this.decrypt(this.ringScratch, record, KEY_ID_BYTES, recordKey, key);
  }

  /** Under an aggregate's key, which may be destroyed. */
  sealOwn(recordKey: Uint8Array, own: SealKey, plain: Uint8Array): Buffer {
    this.nonces.draw();
    return this.encrypt(0, recordKey, plain, own);
  }

  /** @returns a view that is valid until the next call of this */
  openOwn(recordKey: Uint8Array, own: { readonly bytes: Uint8Array }, record: Buffer): Buffer {
    return this.decrypt(this.scratch, record, 0, recordKey, own);
  }

  /** @param start where the nonce stands, which was drawn just now */
  private encrypt(start: number, recordKey: Uint8Array, plain: Uint8Array, key: SealKey): Buffer {
    const { nonce, carried, carriedBytes } = this.nonces;
    const header = start + carriedBytes;
    const record = Buffer.allocUnsafe(header + plain.length + TAG_BYTES);
    if (start > 0) record[0] = key.id;
    for (let i = 0; i < carriedBytes; i++) record[start + i] = carried[i] ?? 0;
    const sealed = record.subarray(header);
    sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(
      sealed,
      plain,
      this.aad(recordKey),
      null,
      nonce,
      key.bytes,
    );
    return record;
  }

  private decrypt(
    scratch: Buffer,
    record: Buffer,
    start: number,
    recordKey: Uint8Array,
    key: { readonly bytes: Uint8Array },
  ): Buffer {
    const header = this.nonces.read(record, start);
    const size = record.length - header - TAG_BYTES;
    if (size < 0) throw corrupted('it is cut short');
    const plain = size > SCRATCH_BYTES ? Buffer.allocUnsafe(size) : scratch.subarray(0, size);
    try {
      sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(
        plain,
        null,
        record.subarray(header),
        this.aad(recordKey),
        this.nonces.nonce,
        key.bytes,
      );
    } catch {
      throw corrupted('it was altered or moved');
    }
    return plain;
  }

  /** Valid until the next record. */
  private aad(recordKey: Uint8Array): Buffer {
    const end = this.aadStart + recordKey.length;
    this.additional.set(recordKey, this.aadStart);
    return (this.views[end] ??= this.additional.subarray(0, end));
  }
}
