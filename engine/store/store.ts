/**
 * The store port: an ordered map from bytes to bytes, written in atomic batches. The engine knows storage only
 * through this interface; RocksStore holds the data of a server, MemoryStore that of a test.
 *
 * Keys are compared bytewise, a prefix before its extensions. Keys have at least one byte; values may be empty.
 * Buffers handed in must not be changed before the promise settles. Buffers handed out belong to the caller.
 *
 * Every method throws a DatabaseError: XX001 when stored bytes fail their checksum, 53100 on a full disk, 58030 on
 * any other fault of the disk, 55000 once the store was closed.
 */
export interface Entry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** All keys from `gte` up to but not including `lt`, ascending unless `reverse`; `limit` counts entries. */
export interface ScanRange {
  readonly gte: Uint8Array;
  readonly lt: Uint8Array;
  readonly reverse?: boolean;
  readonly limit?: number;
}

/** An entry as a scan gives it out. */
export interface StoredEntry extends Entry {
  readonly key: Buffer;
  readonly value: Buffer;
}

export interface Store {
  /** Where other threads can read it (`RocksStore.openToRead`) while it is open here; null: nowhere. */
  readonly directory: string | null;

  get(key: Uint8Array): Promise<Buffer | null>;

  /** One read batch; the answer has the order of `keys`. */
  getMany(keys: readonly Uint8Array[]): Promise<(Buffer | null)[]>;

  /**
   * Entries as they stood when the first one was asked for: later writes are not seen. Ending the loop early
   * releases what the scan holds. A scan that is open when the store closes throws 55000 rather than ending short.
   */
  scan(range: ScanRange): AsyncIterable<StoredEntry>;

  /** The same, some hundred entries at a time: for whoever reads many. No batch is empty. */
  batches(range: ScanRange): AsyncIterable<readonly StoredEntry[]>;

  /** One atomic batch of puts; of two puts to one key the later wins. Visible once resolved, durable after flush(). */
  write(entries: readonly Entry[]): Promise<void>;

  /** One atomic batch of removals, for what may be destroyed (the key of a forgotten aggregate). */
  remove(keys: readonly Uint8Array[]): Promise<void>;

  /** Resolves once everything written so far is in table files and outlives the loss of the store's own log. */
  flush(): Promise<void>;

  /** Rewrites the table files without what later writes have replaced, which happens by itself as well, bit by bit. */
  compact(): Promise<void>;

  /** Refuses new calls, ends open scans, waits for calls in flight, closes. May be called twice. */
  close(): Promise<void>;
}
