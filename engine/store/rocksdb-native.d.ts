/** The part of rocksdb-native 3.18.1 that RocksStore uses; the package itself has no types. */
declare module 'rocksdb-native' {
  interface BatchOptions {
    /** Number of operations room is made for; grows by doubling. */
    capacity?: number;
    /** Give the batch back after its flush. */
    autoDestroy?: boolean;
  }

  interface ReadBatch {
    /** null: no such key. Rejects on its own when its block is damaged. */
    get(key: Uint8Array): Promise<Buffer | null>;
    /** Starts the read without a promise of its own, which would reject beside those of get(). */
    tryFlush(): void;
  }

  interface WriteBatch {
    tryPut(key: Uint8Array, value: Uint8Array): void;
    tryDelete(key: Uint8Array): void;
    flush(): Promise<void>;
  }

  interface IteratorOptions {
    gte: Uint8Array;
    lt: Uint8Array;
    reverse?: boolean;
    limit?: number;
    /** Entries fetched by one call into the binding. */
    capacity?: number;
  }

  /** A streamx Readable. */
  interface Iterator extends AsyncIterable<{ key: Buffer; value: Buffer }> {
    /** null: nothing is there yet, or any more. */
    read(): { key: Buffer; value: Buffer } | null;
    destroy(error?: Error): void;
    on(event: 'error', listener: (error: Error) => void): void;
    on(event: 'readable', listener: () => void): void;
    once(event: 'close' | 'end', listener: () => void): void;
    readonly destroyed: boolean;
  }

  class BloomFilterPolicy {
    constructor(bitsPerKey: number);
  }

  interface Options {
    /** Takes no lock: another one may have it open to write. */
    readOnly?: boolean;
    maxBackgroundJobs?: number;
    maxOpenFiles?: number;
    tableBlockSize?: number;
    tableCacheIndexAndFilterBlocks?: boolean;
    filterPolicy?: BloomFilterPolicy;
    writeBufferSize?: number;
    maxWriteBufferNumber?: number;
  }

  class RocksDB {
    static readonly BloomFilterPolicy: typeof BloomFilterPolicy;
    constructor(path: string, options?: Options);
    ready(): Promise<void>;
    read(options?: BatchOptions): ReadBatch;
    write(options?: BatchOptions): WriteBatch;
    iterator(options: IteratorOptions): Iterator;
    flush(): Promise<void>;
    compact(): Promise<void>;
    close(): Promise<void>;
  }

  export default RocksDB;
}
