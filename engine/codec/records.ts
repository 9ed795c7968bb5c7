/**
 * The plain forms of what the store holds, before sealing. Versions and positions are safe integers inside the
 * engine; they become bigint at its edge.
 *
 * What an encode function returns is a view that is valid until the next call of an encode function, except that
 * the two parts of one record may be held at the same time.
 */
import { hmacSha256, sha256 } from '../crypto/hash.js';
import { DatabaseError, SqlState } from '../errors.js';
import type { Frontier } from '../tree.js';
import type { Fields } from '../types.js';
import { ByteReader, ByteWriter } from './bytes.js';
import { AGG_BYTES } from './keys.js';

const writer = new ByteWriter(4096);
/** For the second parts of records. */
const secondWriter = new ByteWriter(4096);

const LEAF_START = Buffer.from('\0evl1', 'latin1');
const STORE_LEAF_START = Buffer.from('\0evg1', 'latin1');

/** What of an event survives the destruction of its aggregate's key. */
export interface EventHeader {
  readonly position: number;
  readonly type: string;
  readonly id: string;
  readonly version: number;
  /** 16 bytes. */
  readonly eventId: Buffer;
  readonly eventType: string;
  readonly actor: string;
  /** Microseconds since 1970. */
  readonly recordedAt: number;
  /** HMAC-SHA256(salt, lp(metadata) ‖ lp(payload)), 32 bytes. */
  readonly commit: Buffer;
}

export interface EventBody {
  readonly salt: Buffer;
  readonly metadata: string | null;
  /** JSON text, exactly as hashed. */
  readonly payload: Buffer;
}

/** HMAC-SHA256(salt32, lp(metadata) ‖ lp(payload)) over the stored bytes, never re-canonicalised. */
export function commitHash(body: EventBody): Buffer {
  const input = writer
    .text(body.metadata ?? '')
    .lp(body.payload)
    .take();
  return hmacSha256(body.salt, input);
}

/** L = SHA256(0x00 ‖ "evl1" ‖ …): the event's leaf hash. */
export function eventLeaf(event: EventHeader): Buffer {
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
      .bytes(event.commit)
      .take(),
  );
}

/** SHA256(0x00 ‖ g): the append's leaf hash in the store tree. */
export function storeLeaf(type: string, id: string, version: number, leaf: Buffer, root: Buffer): Buffer {
  return sha256(
    writer.bytes(STORE_LEAF_START).text(type).text(id).u64(version).bytes(leaf).bytes(root).take(),
  );
}

export function encodeEventHeader(event: EventHeader): Buffer {
  return writer
    .u64(event.position)
    .text(event.type)
    .text(event.id)
    .u64(event.version)
    .bytes(event.eventId)
    .text(event.eventType)
    .text(event.actor)
    .u64(event.recordedAt)
    .bytes(event.commit)
    .take();
}

export function decodeEventHeader(bytes: Buffer): EventHeader {
  const r = new ByteReader(bytes);
  return {
    position: r.u64(),
    type: r.text(),
    id: r.text(),
    version: r.u64(),
    eventId: r.bytes(16),
    eventType: r.text(),
    actor: r.text(),
    recordedAt: r.u64(),
    commit: r.bytes(32),
  };
}

export function encodeEventBody(body: EventBody): Buffer {
  secondWriter.bytes(body.salt).u8(body.metadata === null ? 0 : 1);
  if (body.metadata !== null) secondWriter.text(body.metadata);
  return secondWriter.bytes(body.payload).take();
}

export function decodeEventBody(bytes: Buffer): EventBody {
  const r = new ByteReader(bytes);
  const salt = r.bytes(32);
  const metadata = r.u8() === 1 ? r.text() : null;
  return { salt, metadata, payload: r.rest() };
}

export function decodeFields(json: Buffer): Fields {
  try {
    return JSON.parse(json.toString('utf8')) as Fields;
  } catch {
    throw new DatabaseError(SqlState.dataCorrupted, 'stored fields are not JSON');
  }
}

/** An aggregate's current state and the right edge of its tree. */
export interface HeadRecord {
  readonly type: string;
  readonly id: string;
  readonly version: number;
  /** Position of the latest event. */
  readonly position: number;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly archived: boolean;
  readonly frontier: Frontier;
}

export function encodeHead(head: HeadRecord): Buffer {
  writer
    .text(head.type)
    .text(head.id)
    .u64(head.version)
    .u64(head.position)
    .u64(head.createdAt)
    .u64(head.updatedAt)
    .u8(head.archived ? 1 : 0)
    .u8(head.frontier.length);
  for (const hash of head.frontier) writer.bytes(hash);
  return writer.take();
}

export function decodeHead(bytes: Buffer): HeadRecord {
  const r = new ByteReader(bytes);
  return {
    type: r.text(),
    id: r.text(),
    version: r.u64(),
    position: r.u64(),
    createdAt: r.u64(),
    updatedAt: r.u64(),
    archived: r.u8() === 1,
    frontier: readHashes(r),
  };
}

function readHashes(r: ByteReader): Buffer[] {
  return Array.from({ length: r.u8() }, () => Buffer.from(r.bytes(32)));
}

/** State at a version that AS OF starts from; times so that a fold can go on from it. */
export interface SnapshotRecord {
  readonly position: number;
  readonly createdAt: number;
  readonly updatedAt: number;
  /** JSON text of the fields. */
  readonly state: Buffer;
}

export function encodeSnapshot(snapshot: SnapshotRecord): Buffer {
  return secondWriter
    .u64(snapshot.position)
    .u64(snapshot.createdAt)
    .u64(snapshot.updatedAt)
    .bytes(snapshot.state)
    .take();
}

export function decodeSnapshot(bytes: Buffer): SnapshotRecord {
  const r = new ByteReader(bytes);
  return {
    position: r.u64(),
    createdAt: r.u64(),
    updatedAt: r.u64(),
    state: r.rest(),
  };
}

/** One place in the total order. */
export interface LogEntry {
  readonly position: number;
  readonly agg: Buffer;
  readonly version: number;
  readonly recordedAt: number;
  /** Leaf hash in the store tree. */
  readonly leaf: Buffer;
}

/** A run of entries with consecutive positions; the first position is in the record's key. */
export function encodeLogRun(entries: readonly Omit<LogEntry, 'position'>[]): Buffer {
  writer.u32(entries.length);
  for (const entry of entries)
    writer.bytes(entry.agg).u64(entry.version).u64(entry.recordedAt).bytes(entry.leaf);
  return writer.take();
}

export function decodeLogRun(first: number, bytes: Buffer): LogEntry[] {
  const r = new ByteReader(bytes);
  const count = r.u32();
  const entries = Array.from({ length: count }, (_, i) => ({
    position: first + i,
    agg: r.bytes(AGG_BYTES),
    version: r.u64(),
    recordedAt: r.u64(),
    leaf: r.bytes(32),
  }));
  if (!r.atEnd) throw new DatabaseError(SqlState.dataCorrupted, 'a run of the log is longer than it says');
  return entries;
}

/** The store's own progress, written with every group: what is applied, and the right edge of the store tree. */
export interface Progress {
  /** Sequence of the last applied group of the commit log. */
  readonly sequence: number;
  /** Position of the last event, which is also the size of the store tree. */
  readonly position: number;
  readonly recordedAt: number;
  readonly frontier: Frontier;
}

export function encodeProgress(progress: Progress): Buffer {
  writer.u64(progress.sequence).u64(progress.position).u64(progress.recordedAt).u8(progress.frontier.length);
  for (const hash of progress.frontier) writer.bytes(hash);
  return writer.take();
}

export function decodeProgress(bytes: Buffer): Progress {
  const r = new ByteReader(bytes);
  return { sequence: r.u64(), position: r.u64(), recordedAt: r.u64(), frontier: readHashes(r) };
}

/** A group as the commit log carries it: the puts of one store batch. */
export function encodeGroup(entries: readonly { key: Uint8Array; value: Uint8Array }[]): Buffer {
  let size = 4;
  for (const { key, value } of entries) size += 8 + key.length + value.length;
  const w = new ByteWriter(size);
  w.u32(entries.length);
  for (const { key, value } of entries) w.lp(key).lp(value);
  return w.result();
}

export function decodeGroup(bytes: Buffer): { key: Buffer; value: Buffer }[] {
  const r = new ByteReader(bytes);
  const entries = Array.from({ length: r.u32() }, () => ({ key: r.lp(), value: r.lp() }));
  if (!r.atEnd) throw new DatabaseError(SqlState.dataCorrupted, 'a group of the commit log is malformed');
  return entries;
}
