import { missingGroups, notTheNext, payloadTooLarge, wrongState } from './failures.js';
import { maximumPayloadBytes } from './log.js';
import type { AppendOptions, CommitLog, LogRecord, NewLogRecord } from './log.js';

/** A log in memory, for tests. `reopen` and `crash` give the log as the next process would find it. */
export class MemoryLog implements CommitLog {
  readonly #segmentRecords: number;
  #records: LogRecord[];
  #lastSequence = 0n;
  #durable: bigint;
  #ready = false;
  #closed = false;
  #storeAhead = false;
  #failure: Error | null = null;
  onSegmentFull: ((lastSequence: bigint) => void) | null = null;
  readonly stats = { syncs: 0, appends: 0, bytes: 0 };

  readonly maximumPayloadBytes: number;

  /** `segmentRecords`: onSegmentFull is called after every so many appends. */
  constructor(
    options: {
      segmentRecords?: number;
      records?: readonly LogRecord[];
      maximumPayloadBytes?: number;
    } = {},
  ) {
    this.maximumPayloadBytes = options.maximumPayloadBytes ?? maximumPayloadBytes;
    this.#segmentRecords = options.segmentRecords ?? 1024;
    this.#records = [...(options.records ?? [])];
    this.#durable = this.#records.at(-1)?.sequence ?? 0n;
  }

  get lastSequence(): bigint {
    return this.#lastSequence;
  }

  get storeAhead(): boolean {
    return this.#storeAhead;
  }

  async *replay(afterSequence: bigint): AsyncIterable<LogRecord> {
    if (this.#closed || this.#ready)
      throw wrongState(`the commit log is ${this.#closed ? 'closed' : 'replayed'}`);
    const oldest = this.#records[0]?.sequence;
    if (oldest !== undefined && oldest > afterSequence + 1n) throw missingGroups(afterSequence, oldest);
    for (const record of this.#records) if (record.sequence > afterSequence) yield record;
    const last = this.#records.at(-1)?.sequence ?? 0n;
    this.#storeAhead = last < afterSequence;
    this.#lastSequence = last < afterSequence ? afterSequence : last;
    this.#ready = true;
  }

  async append(record: NewLogRecord, { sync = true }: AppendOptions = {}): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    if (this.#closed || !this.#ready)
      throw wrongState(`the commit log is ${this.#closed ? 'closed' : 'not replayed'}`);
    const { sequence, firstPosition } = record;
    if (sequence !== this.#lastSequence + 1n) throw notTheNext(sequence, this.#lastSequence + 1n);
    const pieces = record.payload instanceof Uint8Array ? [record.payload] : record.payload;
    const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
    if (bytes > this.maximumPayloadBytes) throw payloadTooLarge(bytes);
    // Where the log starts anew behind a store that is ahead, what it held before is void, as in the file log.
    if (this.#storeAhead) this.#records = [];
    this.#storeAhead = false;
    this.#records.push({ sequence, firstPosition, payload: Buffer.concat(pieces) });
    this.#lastSequence = sequence;
    this.stats.appends += 1;
    this.stats.bytes += bytes;
    if (sync) {
      this.#durable = sequence;
      this.stats.syncs += 1;
    }
    if (this.stats.appends % this.#segmentRecords === 0) this.onSegmentFull?.(sequence);
  }

  async sync(): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    if (this.#durable < this.#lastSequence) this.stats.syncs += 1;
    this.#durable = this.#lastSequence;
  }

  async release(throughSequence: bigint): Promise<void> {
    // The newest record stays, as it does in a segment that is being written.
    this.#records = this.#records.filter(
      ({ sequence }, i) => sequence > throughSequence || i === this.#records.length - 1,
    );
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  /** Every append from now on fails with this error, as after a failed sync. */
  fail(error: Error): void {
    this.#failure ??= error;
  }

  reopen(): MemoryLog {
    return new MemoryLog({ segmentRecords: this.#segmentRecords, records: this.#records });
  }

  /** Drops what was not synced. */
  crash(): MemoryLog {
    const records = this.#records.filter(({ sequence }) => sequence <= this.#durable);
    return new MemoryLog({ segmentRecords: this.#segmentRecords, records });
  }
}
