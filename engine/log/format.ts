/**
 * One record of the file log holds one committed group:
 *
 *      0  8  magic "EVFDBLOG"
 *      8  2  format version (2)
 *     10  2  flags: 1 = the chain starts anew with this record
 *     12  4  payload length n
 *     16  8  sequence
 *     24  8  first position
 *     32  8  segment number         ┐ where the record was written: what a reused segment still holds of its
 *     40  8  offset in the segment  ┘ earlier life, or a payload that quotes a record, does not count as one
 *     48  8  durable through: the last sequence known to be on disk when this record was written
 *     56 32  tag of the record before (zeros where the chain starts anew)
 *     88  n  payload
 *   88+n 32  tag: BLAKE2b-256 over all of the above, keyed
 *            zeros up to the next multiple of 512
 *
 * Integers are big-endian. A record begins at a multiple of 512 bytes, the unit a disk writes whole, so that a torn
 * write of one record cannot damage another. It never spans segments. The tag serves as the hash that links the
 * records: it is a hash of everything before it, under a key.
 *
 * "Durable through" tells a torn tail from damage. Groups appended without a sync may reach the disk in any order, so
 * a crash can leave a hole with valid records behind it. But if a record behind the hole says that the hole's
 * sequence had been synced, then something that was acknowledged is gone.
 */
import { timingSafeEqual } from 'node:crypto';
import sodium from 'sodium-native';

export const sectorBytes = 512;
export const formatVersion = 2;
const magic = Buffer.from('EVFDBLOG', 'latin1');
const headerBytes = 88;
const tagBytes = 32;
const restartFlag = 1;

export const noTag = Buffer.alloc(tagBytes);

export interface RecordHeader {
  readonly version: number;
  readonly restart: boolean;
  readonly payloadBytes: number;
  readonly sequence: bigint;
  readonly firstPosition: bigint;
  readonly segment: bigint;
  readonly offset: bigint;
  readonly durableThrough: bigint;
  readonly previousTag: Buffer;
}

export interface StoredRecord extends RecordHeader {
  /** Views into the segment's bytes. */
  readonly payload: Buffer;
  readonly tag: Buffer;
  /** Bytes it takes up in the segment, padding included. */
  readonly bytes: number;
}

/** Bytes a record with this payload takes up in a segment. */
export function recordBytes(payloadBytes: number): number {
  return Math.ceil((headerBytes + payloadBytes + tagBytes) / sectorBytes) * sectorBytes;
}

/**
 * One call into libsodium that writes where the tag belongs: an HMAC by node:crypto makes an object and took 2.5 µs for
 * 1 KiB where this takes 1.3, and several times that where only one append at a time keeps the caches cold.
 */
function putTag(tag: Uint8Array, key: Buffer, signed: Uint8Array): void {
  sodium.crypto_generichash(tag, signed, key);
}

/** Writes the whole record to `target`, which has at least `recordBytes` bytes. @returns its tag, a view of `target` */
export function encodeRecord(
  target: Buffer,
  key: Buffer,
  header: Omit<RecordHeader, 'version' | 'payloadBytes'>,
  payload: readonly Uint8Array[],
): Buffer {
  let end = headerBytes;
  for (const piece of payload) {
    target.set(piece, end);
    end += piece.length;
  }
  const payloadBytes = end - headerBytes;
  target.set(magic);
  target.writeUInt16BE(formatVersion, 8);
  target.writeUInt16BE(header.restart ? restartFlag : 0, 10);
  target.writeUInt32BE(payloadBytes, 12);
  target.writeBigUInt64BE(header.sequence, 16);
  target.writeBigUInt64BE(header.firstPosition, 24);
  target.writeBigUInt64BE(header.segment, 32);
  target.writeBigUInt64BE(header.offset, 40);
  target.writeBigUInt64BE(header.durableThrough, 48);
  target.set(header.previousTag, 56);
  const tag = target.subarray(end, end + tagBytes);
  putTag(tag, key, target.subarray(0, end));
  target.fill(0, end + tagBytes, recordBytes(payloadBytes));
  return tag;
}

/** The header at this offset, not authenticated; null where no record begins. */
export function readHeader(segment: Buffer, offset: number): RecordHeader | null {
  if (offset + headerBytes > segment.length) return null;
  if (segment.compare(magic, 0, magic.length, offset, offset + magic.length) !== 0) return null;
  return {
    version: segment.readUInt16BE(offset + 8),
    restart: (segment.readUInt16BE(offset + 10) & restartFlag) !== 0,
    payloadBytes: segment.readUInt32BE(offset + 12),
    sequence: segment.readBigUInt64BE(offset + 16),
    firstPosition: segment.readBigUInt64BE(offset + 24),
    segment: segment.readBigUInt64BE(offset + 32),
    offset: segment.readBigUInt64BE(offset + 40),
    durableThrough: segment.readBigUInt64BE(offset + 48),
    previousTag: segment.subarray(offset + 56, offset + headerBytes),
  };
}

/** The record at this offset of this segment if its tag is right and it was written for this very place. */
export function readRecord(
  key: Buffer,
  segment: Buffer,
  segmentNumber: number,
  offset: number,
): StoredRecord | null {
  const header = readHeader(segment, offset);
  if (header === null) return null;
  if (header.segment !== BigInt(segmentNumber) || header.offset !== BigInt(offset)) return null;
  const start = offset + headerBytes;
  const end = start + header.payloadBytes;
  if (end + tagBytes > segment.length) return null;
  const tag = segment.subarray(end, end + tagBytes);
  const expected = Buffer.allocUnsafe(tagBytes);
  putTag(expected, key, segment.subarray(offset, end));
  if (!timingSafeEqual(tag, expected)) return null;
  return { ...header, payload: segment.subarray(start, end), tag, bytes: recordBytes(header.payloadBytes) };
}
