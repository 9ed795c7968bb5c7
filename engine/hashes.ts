/** The hashes an event is bound by. docs/format-and-proofs.md has the whole of it. */
import sodium from 'sodium-native';
import { ByteWriter } from './codec/bytes.js';
import { hmacSha256, sha256 } from './crypto/hash.js';
import type { SealKey } from './crypto/seal.js';
import type { Fields } from './types.js';

const writer = new ByteWriter(4096);
const LEAF_START = Buffer.from('\0evl1', 'latin1');
const STORE_LEAF_START = Buffer.from('\0evg1', 'latin1');

/** What a leaf binds, besides metadata and payload. */
export interface LeafParts {
  readonly type: string;
  readonly id: string;
  readonly version: number;
  /** 16 bytes. */
  readonly eventId: Buffer;
  readonly eventType: string;
  readonly actor: string;
  /** Microseconds since 1970. */
  readonly recordedAt: number;
}

const saltInput = new ByteWriter(16);
const salt = Buffer.alloc(32);
const SALT = Buffer.from('salt');

/**
 * An event's salt: BLAKE2b-256(aggregate's key, "salt" ‖ u64 version). It goes with the key when that is destroyed, and
 * tells nothing of other salts when a proof shows it.
 * @returns a view that is valid until the next call
 */
export function saltOf(key: SealKey, version: number): Buffer {
  sodium.crypto_generichash(salt, saltInput.bytes(SALT).u64(version).take(), key.bytes);
  return salt;
}

/** The payload as it is hashed: JSON text, members in the order they were given. */
export function payloadText(fields: Fields): string {
  return JSON.stringify(fields);
}

const commitment = Buffer.alloc(32);

/** HMAC-SHA256(salt, lp(metadata) ‖ lp(payload)), 32 bytes. @returns a view that is valid until the next call */
export function commitHash(salt: Buffer, metadata: string | null, payload: string): Buffer {
  return hmacSha256(
    salt,
    writer
      .text(metadata ?? '')
      .text(payload)
      .take(),
    commitment,
  );
}

/** L = SHA256(0x00 ‖ "evl1" ‖ …): the event's leaf hash. @param to where it goes */
export function eventLeaf(event: LeafParts, commit: Buffer, to?: Buffer): Buffer {
  return sha256(
    writer
      .bytes(LEAF_START)
      .text(event.type)
      .text(event.id)
      .u64(event.version)
      .bytes(event.eventId)
      .text(event.eventType)
      .text(event.actor)
      .u64(event.recordedAt)
      .bytes(commit)
      .take(),
    to,
  );
}

/** SHA256(0x00 ‖ g): the append's leaf hash in the store tree. @param to where it goes */
export function storeLeaf(
  { type, id, version }: Pick<LeafParts, 'type' | 'id' | 'version'>,
  leaf: Buffer,
  root: Buffer,
  to?: Buffer,
): Buffer {
  return sha256(
    writer.bytes(STORE_LEAF_START).text(type).text(id).u64(version).bytes(leaf).bytes(root).take(),
    to,
  );
}
