/**
 * The commit log as a ring of preallocated files in one directory:
 *
 *     identity                whose log this is (identity.ts)
 *     000000000000002a.log    filled: released once the store has flushed past it    ┐ the chain of
 *     000000000000002b.log    current: records (format.ts) are appended here         ┘ records
 *     000000000000002c.log    spare: zeros, or what a released segment left behind
 *
 * Written by one process at a time; the store's lock sees to that.
 */
import { createHmac } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { fileError, notTheNext, payloadTooLarge, wrongState } from './failures.js';
import { nodeFiles } from './files.js';
import type { LogFiles } from './files.js';
import { encodeRecord, noTag, recordBytes, sectorBytes } from './format.js';
import { checkIdentity } from './identity.js';
import { maximumPayloadBytes } from './log.js';
import type { AppendOptions, CommitLog, LogRecord, NewLogRecord } from './log.js';
import { SegmentRing } from './ring.js';
import type { OpenSegment } from './ring.js';
import { walk } from './walk.js';
import type { FilledSegment, WalkEnd } from './walk.js';

export interface SegmentLogOptions {
  /** Made if need be; holds nothing else. */
  readonly directory: string;
  /** 32 bytes: records are authenticated under it. */
  readonly key: Buffer;
  /** 16 bytes. */
  readonly storeId: Buffer;
  /** Default 16 MiB; rounded up to a multiple of 512. */
  readonly segmentBytes?: number;
  readonly files?: LogFiles;
}

/** A record up to this size is put together in a buffer that is kept. */
const scratchBytes = 256 * 1024;

/** Errors: XX001 another store's log or another key, F0000 unknown format version, 53100, 58030. */
export async function openSegmentLog(options: SegmentLogOptions): Promise<CommitLog> {
  const { directory, key, storeId, segmentBytes = 16 * 1024 * 1024, files = nodeFiles } = options;
  if (key.length !== 32 || storeId.length !== 16) throw new RangeError('key has 32 bytes, store id has 16');
  const tagKey = createHmac('sha256', key).update('eventfuldb commit log 1\0').update(storeId).digest();
  const ring = new SegmentRing(directory, Math.ceil(segmentBytes / sectorBytes) * sectorBytes, files);
  try {
    await mkdir(directory, { recursive: true });
    const segments = await ring.list();
    await checkIdentity(directory, tagKey, storeId, files, segments.length > 0);
  } catch (cause) {
    throw fileError(`open the commit log in ${directory}`, cause);
  }
  return new SegmentLog(directory, tagKey, ring);
}

class SegmentLog implements CommitLog {
  readonly maximumPayloadBytes = maximumPayloadBytes;
  readonly #directory: string;
  readonly #key: Buffer;
  readonly #ring: SegmentRing;
  readonly #scratch = Buffer.alloc(scratchBytes);
  /** null: the next record begins a segment, and the chain anew. */
  #current: OpenSegment | null = null;
  #offset = 0;
  readonly #lastTag = Buffer.from(noTag);
  #filled: FilledSegment[] = [];
  /** Last sequence accepted, written, and known to be on disk. */
  #accepted = 0n;
  #written = 0n;
  #durable = 0n;
  #state: 'opened' | 'replayed' | 'appending' | 'closed' = 'opened';
  #storeAhead = false;
  #failure: Error | null = null;
  /** Appends taken and not settled. */
  #underWay = 0;
  #queue: Promise<unknown> = Promise.resolve();
  #releases: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | null = null;
  onSegmentFull: ((lastSequence: bigint) => void) | null = null;
  readonly stats = { syncs: 0, appends: 0, bytes: 0 };

  constructor(directory: string, key: Buffer, ring: SegmentRing) {
    this.#directory = directory;
    this.#key = key;
    this.#ring = ring;
  }

  get lastSequence(): bigint {
    return this.#accepted;
  }

  get storeAhead(): boolean {
    return this.#storeAhead;
  }

  async *replay(afterSequence: bigint): AsyncIterable<LogRecord> {
    if (this.#state !== 'opened') throw wrongState(`the commit log is ${this.#state}`);
    const records = walk(await this.#guard(this.#ring.list()), this.#key, afterSequence);
    let step = await this.#guard(records.next());
    while (step.done !== true) {
      const { sequence, firstPosition, payload } = step.value;
      // A copy, so that a payload somebody keeps does not keep its whole segment in memory.
      yield { sequence, firstPosition, payload: Buffer.from(payload) };
      step = await this.#guard(records.next());
    }
    await this.#guard(this.#begin(step.value, afterSequence));
    this.#state = 'replayed';
  }

  append(record: NewLogRecord, { sync = true }: AppendOptions = {}): Promise<void> {
    const payload = record.payload instanceof Uint8Array ? [record.payload] : record.payload;
    const payloadBytes = payload.reduce((sum, piece) => sum + piece.length, 0);
    const refusal = this.#refusal(record.sequence, payloadBytes);
    if (refusal !== null) return Promise.reject(refusal);
    this.#state = 'appending';
    this.#accepted = record.sequence;
    // With nothing before it an append begins, and where the disk is quick also ends, within this call.
    const idle = this.#underWay++ === 0;
    const append = (): Promise<void> => this.#append(record, payload, payloadBytes, sync);
    const done = idle ? append() : this.#queue.then(append);
    this.#queue = done.catch(() => undefined);
    return done;
  }

  sync(): Promise<void> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    if (this.#state === 'closed') return Promise.reject(wrongState('the commit log is closed'));
    this.#underWay += 1;
    const done = this.#queue.then(() => this.#syncWritten());
    this.#queue = done.catch(() => undefined);
    return done;
  }

  release(throughSequence: bigint): Promise<void> {
    const done = this.#releases.then(async () => {
      for (let oldest = this.#filled[0]; oldest !== undefined; oldest = this.#filled[0]) {
        if (oldest.lastSequence > throughSequence) return;
        await this.#guard(this.#ring.recycle(oldest.segment));
        this.#filled.shift();
      }
    });
    this.#releases = done.catch(() => undefined);
    return done;
  }

  close(): Promise<void> {
    this.#state = 'closed';
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#queue;
    await this.#releases;
    await this.#ring.settle();
    if (this.#current === null) return;
    try {
      if (this.#failure === null && this.#durable < this.#written)
        await this.#guard(this.#sync(this.#current));
    } finally {
      await this.#current.file.close().catch(() => undefined);
    }
  }

  /** Why this append cannot be taken; none of these harms the log. */
  #refusal(sequence: bigint, payloadBytes: number): Error | null {
    if (this.#failure !== null) return this.#failure;
    if (this.#state === 'closed') return wrongState('the commit log is closed');
    if (this.#state === 'opened') return wrongState('the commit log was not replayed');
    if (sequence !== this.#accepted + 1n) return notTheNext(sequence, this.#accepted + 1n);
    return payloadBytes > maximumPayloadBytes ? payloadTooLarge(payloadBytes) : null;
  }

  async #append(
    record: NewLogRecord,
    payload: readonly Uint8Array[],
    payloadBytes: number,
    sync: boolean,
  ): Promise<void> {
    try {
      // A sync that failed is never tried again: the kernel may have dropped the pages and report success.
      if (this.#failure !== null) throw this.#failure;
      const bytes = recordBytes(payloadBytes);
      const restart = this.#current === null;
      const segment = this.#roomFor(bytes) ?? (await this.#nextSegment(bytes));
      const target = bytes <= scratchBytes ? this.#scratch : Buffer.allocUnsafe(bytes);
      const place = { segment: BigInt(segment.number), offset: BigInt(this.#offset) };
      const { sequence, firstPosition } = record;
      const link = { durableThrough: this.#durable, previousTag: this.#lastTag, restart };
      const header = { sequence, firstPosition, ...place, ...link };
      const tag = encodeRecord(target, this.#key, header, payload);
      const writing = segment.file.write(target.subarray(0, bytes), this.#offset);
      if (writing !== null) await writing;
      this.#offset += bytes;
      this.#lastTag.set(tag);
      this.#written = sequence;
      this.#storeAhead = false;
      this.stats.appends += 1;
      this.stats.bytes += bytes;
      // A chain that begins anew is on disk before anything follows in it: if only its first record were lost, those
      // behind it would seem to prove that groups are missing which the store has.
      if (!sync && !restart) return;
      const syncing = segment.file.sync();
      if (syncing !== null) await syncing;
      this.#synced();
    } catch (cause) {
      throw this.#failed(cause);
    } finally {
      this.#underWay -= 1;
    }
  }

  async #syncWritten(): Promise<void> {
    try {
      if (this.#failure !== null) throw this.#failure;
      if (this.#current !== null && this.#durable < this.#written) await this.#sync(this.#current);
    } catch (cause) {
      throw this.#failed(cause);
    } finally {
      this.#underWay -= 1;
    }
  }

  /** What every later call is told as well. */
  #failed(cause: unknown): Error {
    this.#failure ??= fileError(`write to the commit log in ${this.#directory}`, cause);
    return this.#failure;
  }

  async #sync(segment: OpenSegment): Promise<void> {
    await segment.file.sync();
    this.#synced();
  }

  #synced(): void {
    this.#durable = this.#written;
    this.stats.syncs += 1;
  }

  /** The current segment; null where the record does not fit. */
  #roomFor(bytes: number): OpenSegment | null {
    return this.#current !== null && this.#offset + bytes <= this.#current.bytes ? this.#current : null;
  }

  async #nextSegment(bytes: number): Promise<OpenSegment> {
    const full = this.#current;
    if (full !== null) {
      if (this.#durable < this.#written) await this.#sync(full);
      await full.file.close();
    }
    this.#current = await this.#ring.take(bytes);
    this.#offset = 0;
    this.#ring.prepare();
    if (full !== null) {
      const { number, path, bytes: size } = full;
      const lastSequence = this.#written;
      this.#filled.push({ segment: { number, path, bytes: size }, lastSequence });
      queueMicrotask(() => this.onSegmentFull?.(lastSequence));
    }
    return this.#current;
  }

  /** Takes up where the walk ended. */
  async #begin(found: WalkEnd, afterSequence: bigint): Promise<void> {
    await this.#cut(found);
    this.#storeAhead = found.lastSequence < afterSequence;
    this.#accepted = this.#storeAhead ? afterSequence : found.lastSequence;
    this.#written = this.#accepted;
    this.#durable = this.#accepted;
    this.#filled = [...found.filled];
    const [firstSpare] = found.spares;
    const newest = found.end?.segment.number ?? (firstSpare?.number ?? 1) - 1;
    await this.#ring.adopt(newest, found.spares);
    if (found.end !== null) {
      if (this.#storeAhead) {
        // Records between here and the store's last are lost: begin a chain of its own in a fresh segment.
        this.#filled.push({ segment: found.end.segment, lastSequence: found.lastSequence });
      } else {
        this.#current = await this.#ring.open(found.end.segment);
        this.#offset = found.end.offset;
        this.#lastTag.set(found.lastTag);
        // Read back from the page cache is not yet on disk: the process that wrote it may have died before its sync.
        await this.#current.file.sync();
      }
    }
    this.#ring.prepare();
  }

  /** Overwrites what is left of torn records, so that it can never be taken for one of the log again. */
  async #cut(found: WalkEnd): Promise<void> {
    for (const path of new Set(found.cut.map(({ segment }) => segment.path))) {
      const places = found.cut.filter(({ segment }) => segment.path === path);
      const [first] = places;
      if (first === undefined) continue;
      const { file } = await this.#ring.open(first.segment);
      try {
        for (const { segment, offset } of places) {
          await file.write(Buffer.alloc(Math.min(sectorBytes, segment.bytes - offset)), offset);
        }
        await file.sync();
      } finally {
        await file.close();
      }
    }
  }

  async #guard<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (cause) {
      throw fileError(`use the commit log in ${this.#directory}`, cause);
    }
  }
}
