/**
 * The commit log port: groups of events become durable here, in order, before the store gets them. What the store
 * has lost of its unsynced tail is replayed from here on opening.
 *
 * Life of a log: open → read replay() to its end → append, release, … → close. `sequence` counts groups from 1
 * without gaps. A log knows nothing of what a group holds but its sequence and its first position.
 */
export interface LogRecord {
  readonly sequence: bigint;
  readonly firstPosition: bigint;
  readonly payload: Buffer;
}

export interface NewLogRecord {
  /** `lastSequence + 1`. */
  readonly sequence: bigint;
  readonly firstPosition: bigint;
  /** Pieces are written one after the other. Must not be changed before the append settles. At most 256 MiB. */
  readonly payload: Uint8Array | readonly Uint8Array[];
}

export interface AppendOptions {
  /** false: resolve once the group was handed to the operating system; a later synced append covers it. */
  readonly sync?: boolean;
}

export interface LogStats {
  readonly syncs: number;
  readonly appends: number;
  /** Bytes written by appends, headers and padding included. */
  readonly bytes: number;
}

export interface CommitLog {
  /**
   * Records after `afterSequence` (the last one the store holds), oldest first; must be read to its end, once,
   * before the first append. It also checks the records it passes over. A torn tail is cut.
   * Throws XX001 on damage (the message names file, byte offset, sequence and first position), and when groups
   * between `afterSequence` and the oldest record are missing; F0000 on an unknown format version.
   */
  replay(afterSequence: bigint): AsyncIterable<LogRecord>;

  /**
   * Sequence of the last group, appended or found by replay(); 0 before that. After a replay never below its
   * `afterSequence`: see `storeAhead`.
   */
  readonly lastSequence: bigint;

  /**
   * true from a replay whose `afterSequence` lies past the log's last record until the first append. The groups in
   * between are in the store alone: the owner must flush the store before it appends.
   */
  readonly storeAhead: boolean;

  /**
   * Resolves once the group is on disk. After the first failed write or sync this and every later append rejects
   * with that failure (58030, 53100 for a full disk). Without effect on later appends: 54000 for a payload over
   * 256 MiB, XX000 for a sequence that is not the next, 55000 before replay or after close.
   */
  append(record: NewLogRecord, options?: AppendOptions): Promise<void>;

  /** Of one group's payload; a larger one is refused. */
  readonly maximumPayloadBytes: number;

  /** Resolves once everything appended so far is on disk. Rejects as `append` does. */
  sync(): Promise<void>;

  /** Records up to this sequence are in the store's table files: their segments may be reused. */
  release(throughSequence: bigint): Promise<void>;

  /**
   * Called after a segment was filled, with the last sequence in it: the owner should flush the store, once that
   * holds this sequence, and then call release. Nobody awaits it.
   */
  onSegmentFull: ((lastSequence: bigint) => void) | null;

  /** Waits for appends in flight, syncs what is unsynced. May be called twice. */
  close(): Promise<void>;

  readonly stats: LogStats;
}

/** Of a log on disk. */
export const maximumPayloadBytes = 256 * 1024 * 1024;
