/**
 * Keys in the store. One prefix byte per kind of record, so that one batch spans them all.
 *
 *   agg = u16be(type number) ‖ HMAC-SHA256(indexKey, lp(type)‖lp(id))[0:9]       (no id in the clear; types stay together)
 *
 *   'e' agg ‖ u48be(version)         the event
 *   'l' u64be(first position)        a run of up to 256 entries of the total order
 *   'h' agg                          the head: the aggregate's own data key, its id, current state, right edge of its tree
 *   's' agg ‖ u48be(version)         a snapshot
 *   'i' HMAC(indexKey, event id)     the position of the event a client gave this id: exact idempotency, kept for ever
 *   't' u8(level) ‖ u64be(index)     nodes of the store tree at levels 8, 16, 24, …
 *   'u' HMAC(indexKey, token id)     events a limited token has written
 *   'c' u64be(size)                  signed checkpoints
 *   'm' name                         one-off records
 *   'p' u32be(number)                the beginning of the nonces of records that carry this number (crypto/nonces.ts)
 *   'n' u32be(number)                a name that other records have a number for
 *   'f' u32be(number)                a list of such names that other records have a number for
 */
import { hmacSha256 } from '../crypto/hash.js';
import { ByteWriter } from './bytes.js';

const TYPE_BYTES = 2;
/** Short: a head says whose it is, so whoever meets another's place finds out (repository.ts). */
const AGG_HASH_BYTES = 9;
export const AGG_BYTES = TYPE_BYTES + AGG_HASH_BYTES;
/** The highest number of a type. */
export const TYPE_NUMBER_MAX = 0xffff;
const VERSION_BYTES = 6;
/** Of a hashed name. */
const NAME_BYTES = 16;
const MAC_BYTES = 32;

export const Prefix = {
  event: 0x65,
  log: 0x6c,
  head: 0x68,
  snapshot: 0x73,
  id: 0x69,
  tile: 0x74,
  usage: 0x75,
  checkpoint: 0x63,
  meta: 0x6d,
  name: 0x6e,
  shape: 0x66,
  nonces: 0x70,
} as const;
/** Of what other records have a number for. */
export type DictionaryPrefix = typeof Prefix.name | typeof Prefix.shape | typeof Prefix.nonces;
type PrefixByte = (typeof Prefix)[keyof typeof Prefix];

/** The agg in a record's key. */
export function aggOf(key: Uint8Array): Buffer {
  const agg = Buffer.alloc(AGG_BYTES);
  agg.set(key.subarray(1, 1 + AGG_BYTES));
  return agg;
}

function writeU64(target: Buffer, value: number, offset: number): void {
  target.writeUInt32BE(Math.floor(value / 0x1_0000_0000), offset);
  target.writeUInt32BE(value >>> 0, offset + 4);
}

/** prefix ‖ agg ‖ u48be(version) */
export function versionKey(prefix: PrefixByte, agg: Buffer, version: number): Buffer {
  const key = Buffer.allocUnsafe(1 + AGG_BYTES + VERSION_BYTES);
  key[0] = prefix;
  key.set(agg, 1);
  key.writeUIntBE(version, 1 + AGG_BYTES, VERSION_BYTES);
  return key;
}

/** The version in a key that versionKey made. */
export function versionOf(key: Uint8Array): number {
  const at = 1 + AGG_BYTES;
  const high = ((key[at] ?? 0) << 8) | (key[at + 1] ?? 0);
  const low =
    ((key[at + 2] ?? 0) << 24) | ((key[at + 3] ?? 0) << 16) | ((key[at + 4] ?? 0) << 8) | (key[at + 5] ?? 0);
  return high * 0x1_0000_0000 + (low >>> 0);
}

/** prefix ‖ bytes */
export function plainKey(prefix: PrefixByte, bytes: Uint8Array): Buffer {
  const key = Buffer.allocUnsafe(1 + bytes.length);
  key[0] = prefix;
  key.set(bytes, 1);
  return key;
}

/** prefix ‖ u64be(number) */
export function numberKey(prefix: PrefixByte, value: number): Buffer {
  const key = Buffer.allocUnsafe(9);
  key[0] = prefix;
  writeU64(key, value, 1);
  return key;
}

/** prefix ‖ u32be(number), of what other records have a number for. */
export function dictionaryKey(prefix: DictionaryPrefix, number: number): Buffer {
  const key = Buffer.allocUnsafe(5);
  key[0] = prefix;
  key.writeUInt32BE(number, 1);
  return key;
}

/** The number in a key that dictionaryKey made. */
export function dictionaryNumber(key: Buffer): number {
  return key.readUInt32BE(1);
}

export function tileKey(level: number, index: number): Buffer {
  const key = Buffer.allocUnsafe(10);
  key[0] = Prefix.tile;
  key[1] = level;
  writeU64(key, index, 2);
  return key;
}

export function metaKey(name: string): Buffer {
  return plainKey(Prefix.meta, Buffer.from(name));
}

/** All keys that start with prefix ‖ bytes, as a half-open range. */
export function prefixRange(
  prefix: PrefixByte,
  bytes: Uint8Array = Buffer.alloc(0),
): { gte: Buffer; lt: Buffer } {
  return aggKeys(prefix, aggsWith(bytes));
}

/** Aggregates by their agg: from these bytes on, up to but not including those; null: to the end of all. */
export interface AggRange {
  readonly from: Uint8Array;
  readonly to: Uint8Array | null;
}

/** All aggregates whose agg starts with these bytes. */
export function aggsWith(prefix: Uint8Array): AggRange {
  const next = Buffer.from(prefix);
  let last = next.length - 1;
  while (last >= 0 && next[last] === 0xff) last--;
  if (last < 0) return { from: prefix, to: null };
  next[last] = (next[last] ?? 0) + 1;
  return { from: prefix, to: next.subarray(0, last + 1) };
}

/** The keys of one kind of record of these aggregates. */
export function aggKeys(prefix: PrefixByte, { from, to }: AggRange): { gte: Buffer; lt: Buffer } {
  return {
    gte: plainKey(prefix, from),
    lt: to === null ? Buffer.of(prefix + 1) : plainKey(prefix, to),
  };
}

export function typePrefix(typeNumber: number): Buffer {
  const bytes = Buffer.allocUnsafe(TYPE_BYTES);
  bytes.writeUInt16BE(typeNumber, 0);
  return bytes;
}

/** The number an agg begins with. */
export function typeNumberOf(agg: Buffer): number {
  return agg.readUInt16BE(0);
}

/** Turns names into keys that reveal nothing without the index key. */
export class Index {
  private readonly input = new ByteWriter();
  private readonly mac = Buffer.alloc(MAC_BYTES);

  constructor(private readonly indexKey: Buffer) {}

  aggregate(typeNumber: number, type: string, id: string): Buffer {
    const mac = hmacSha256(this.indexKey, this.input.text(type).text(id).take(), this.mac);
    // Memory of its own, since heads are kept long.
    const agg = Buffer.alloc(AGG_BYTES);
    agg.writeUInt16BE(typeNumber, 0);
    for (let i = 0; i < AGG_HASH_BYTES; i++) agg[TYPE_BYTES + i] = mac[i] ?? 0;
    return agg;
  }

  eventId(eventId: Buffer): Buffer {
    return this.named(Prefix.id, 'event\0', eventId);
  }

  usage(tokenId: string): Buffer {
    return this.named(Prefix.usage, 'token\0', Buffer.from(tokenId));
  }

  private named(prefix: PrefixByte, kind: string, bytes: Buffer): Buffer {
    const input = Buffer.allocUnsafe(kind.length + bytes.length);
    input.write(kind, 0, 'latin1');
    input.set(bytes, kind.length);
    const key = Buffer.allocUnsafe(1 + NAME_BYTES);
    key[0] = prefix;
    hmacSha256(this.indexKey, input).copy(key, 1, 0, NAME_BYTES);
    return key;
  }
}
