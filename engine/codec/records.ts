/**
 * The plain forms of what the store holds, before sealing. Versions and positions are safe integers inside the
 * engine; they become bigint at its edge.
 *
 * What an encode function returns is a view that is valid until the next call of an encode function.
 */
import { DatabaseError, SqlState } from '../errors.js';
import type { Frontier } from '../tree.js';
import type { Fields } from '../types.js';
import { ByteReader, ByteWriter } from './bytes.js';
import { readFields, writeFields } from './fields.js';
import { AGG_BYTES } from './keys.js';
import type { Names } from './names.js';

const writer = new ByteWriter(4096);

/** What an event's record says; type, id and version stand in its aggregate's identity and in its key. */
export interface EventRecord {
  readonly position: number;
  readonly eventType: string;
  readonly actor: string;
  /** Microseconds since 1970. */
  readonly recordedAt: number;
  /** 16 bytes when a client gave it, null when it was drawn (eventIds.ts). */
  readonly givenId: Buffer | null;
  /** JSON text. */
  readonly metadata: string | null;
  readonly fields: Fields;
}

const HASH_BYTES = 32;
const KEY_BYTES = 32;
const HAS_METADATA = 1;
const HAS_GIVEN_ID = 2;

export function encodeEvent(names: Names, event: EventRecord): Buffer {
  writer.varint(event.position).time(event.recordedAt);
  names.write(writer, event.eventType);
  names.write(writer, event.actor);
  writer.u8((event.metadata === null ? 0 : HAS_METADATA) | (event.givenId === null ? 0 : HAS_GIVEN_ID));
  if (event.givenId !== null) writer.bytes(event.givenId);
  if (event.metadata !== null) writer.shortText(event.metadata);
  writeFields(writer, names, event.fields);
  return writer.take();
}

/** What is returned holds no part of `bytes`. */
export function decodeEvent(names: Names, bytes: Buffer): EventRecord {
  const r = new ByteReader(bytes);
  const position = r.varint();
  const recordedAt = r.time();
  const eventType = names.read(r);
  const actor = names.read(r);
  const flags = r.u8();
  const givenId = (flags & HAS_GIVEN_ID) === 0 ? null : Buffer.from(r.bytes(16));
  const metadata = (flags & HAS_METADATA) === 0 ? null : r.shortText();
  return { position, recordedAt, eventType, actor, givenId, metadata, fields: readFields(r, names) };
}

/** What folding needs of an event. */
export interface Change extends Pick<EventRecord, 'position' | 'recordedAt' | 'fields'> {
  readonly version: number;
}

export function decodeChange(names: Names, version: number, bytes: Buffer): Change {
  const r = new ByteReader(bytes);
  const position = r.varint();
  const recordedAt = r.time();
  names.read(r);
  names.read(r);
  const flags = r.u8();
  if ((flags & HAS_GIVEN_ID) !== 0) r.skip(16);
  if ((flags & HAS_METADATA) !== 0) r.skip(r.varint());
  return { version, position, recordedAt, fields: readFields(r, names) };
}

/** Of an event's record alone. */
export function decodeEventPosition(bytes: Buffer): number {
  return new ByteReader(bytes).varint();
}

/** An aggregate's own key, 32 bytes, and its name: what a head begins with. */
export interface IdentityRecord {
  readonly key: Uint8Array;
  readonly type: string;
  readonly id: string;
}

/** Whose head it is, its current state and the right edge of its tree. */
export interface HeadRecord extends IdentityRecord {
  readonly version: number;
  /** Position of the latest event. */
  readonly position: number;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly archived: boolean;
  readonly frontier: Frontier;
  readonly state: Fields;
}

/** @param key the aggregate's own */
export function encodeHead(names: Names, key: Uint8Array, head: Omit<HeadRecord, 'key'>): Buffer {
  writer.bytes(key);
  names.write(writer, head.type);
  writer
    .shortText(head.id)
    .varint(head.version)
    .varint(head.position)
    .time(head.createdAt)
    .time(head.updatedAt)
    .u8(head.archived ? 1 : 0);
  writeFrontier(head.frontier);
  writeFields(writer, names, head.state);
  return writer.take();
}

/** What is returned holds no part of `bytes`, but for the key. */
export function decodeHead(names: Names, bytes: Buffer): HeadRecord {
  const r = new ByteReader(bytes);
  return {
    key: r.bytes(KEY_BYTES),
    type: names.read(r),
    id: r.shortText(),
    version: r.varint(),
    position: r.varint(),
    createdAt: r.time(),
    updatedAt: r.time(),
    archived: r.u8() === 1,
    frontier: readFrontier(r),
    state: readFields(r, names),
  };
}

/** Only whose head it is. */
export function decodeIdentity(names: Names, bytes: Buffer): IdentityRecord {
  const r = new ByteReader(bytes);
  return { key: r.bytes(KEY_BYTES), type: names.read(r), id: r.shortText() };
}

/** A head without the key and the right edge of the tree, for whoever reads many. */
export function decodeHeadState(names: Names, bytes: Buffer): Omit<HeadRecord, 'key' | 'frontier'> {
  const r = new ByteReader(bytes);
  r.skip(KEY_BYTES);
  const type = names.read(r);
  const id = r.shortText();
  const version = r.varint();
  const position = r.varint();
  const createdAt = r.time();
  const updatedAt = r.time();
  const archived = r.u8() === 1;
  r.skip(r.u8() * HASH_BYTES);
  return { type, id, version, position, createdAt, updatedAt, archived, state: readFields(r, names) };
}

function writeFrontier(frontier: Frontier): void {
  writer.u8(frontier.length / HASH_BYTES).latin1(frontier);
}

function readFrontier(r: ByteReader): Frontier {
  return r.latin1(r.u8() * HASH_BYTES);
}

/** State at a version that AS OF starts from; times so that a fold can go on from it. */
export interface SnapshotRecord {
  readonly position: number;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly state: Fields;
}

export function encodeSnapshot(names: Names, snapshot: SnapshotRecord): Buffer {
  writer.varint(snapshot.position).time(snapshot.createdAt).time(snapshot.updatedAt);
  writeFields(writer, names, snapshot.state);
  return writer.take();
}

export function decodeSnapshot(names: Names, bytes: Buffer): SnapshotRecord {
  const r = new ByteReader(bytes);
  return {
    position: r.varint(),
    createdAt: r.time(),
    updatedAt: r.time(),
    state: readFields(r, names),
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

/** A run of entries of one group, so of one time, with consecutive positions; the first position is in the key. */
export function encodeLogRun(
  recordedAt: number,
  entries: readonly Omit<LogEntry, 'position' | 'recordedAt'>[],
): Buffer {
  writer.varint(entries.length).time(recordedAt);
  for (const { agg, version, leaf } of entries) writer.bytes(agg).varint(version).bytes(leaf);
  return writer.take();
}

export function decodeLogRun(first: number, bytes: Buffer): LogEntry[] {
  const r = new ByteReader(bytes);
  const count = r.varint();
  const recordedAt = r.time();
  const entries: LogEntry[] = [];
  for (let i = 0; i < count; i++)
    entries.push({
      position: first + i,
      agg: r.bytes(AGG_BYTES),
      version: r.varint(),
      recordedAt,
      leaf: r.bytes(32),
    });
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
  writer.varint(progress.sequence).varint(progress.position).time(progress.recordedAt);
  writeFrontier(progress.frontier);
  return writer.take();
}

export function decodeProgress(bytes: Buffer): Progress {
  const r = new ByteReader(bytes);
  return {
    sequence: r.varint(),
    position: r.varint(),
    recordedAt: r.time(),
    frontier: readFrontier(r),
  };
}

type Puts = readonly { readonly key: Uint8Array; readonly value: Uint8Array }[];

/** What `encodeGroup` makes. */
export function groupBytes(entries: Puts): number {
  let size = 4;
  for (const { key, value } of entries) size += 8 + key.length + value.length;
  return size;
}

/** A group as the commit log carries it: the puts of one store batch. */
export function encodeGroup(entries: Puts): Buffer {
  const w = new ByteWriter(groupBytes(entries));
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
