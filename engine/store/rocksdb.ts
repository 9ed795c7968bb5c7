import { mkdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import type RocksDB from 'rocksdb-native';
import { DatabaseError, SqlState } from '../errors.js';
import { bindingError, openError, storeError } from './rocksdb-errors.js';
import type { Entry, ScanRange, Store, StoredEntry } from './store.js';

/** Entries fetched by one call into the binding: 5,000 entries took 71 ms at its default of 8, 14 ms at 256. */
const iteratorCapacity = 256;

type Binding = typeof RocksDB;
type StoreOptions = Omit<NonNullable<ConstructorParameters<Binding>[1]>, 'filterPolicy'>;
type OpenIterator = ReturnType<RocksDB['iterator']>;

/** Loaded on first use, so that what needs no RocksDB (tests, the browser's verifier) runs without the binding. */
export async function loadBinding(
  load: () => Promise<{ default: Binding }> = () => import('rocksdb-native'),
): Promise<Binding> {
  try {
    return (await load()).default;
  } catch (cause) {
    throw bindingError(cause);
  }
}

/** A store in a directory, kept by RocksDB. One process at a time can have it open. */
export class RocksStore implements Store {
  readonly #db: RocksDB;
  readonly #iterators = new Set<OpenIterator>();
  #closing: Promise<void> | null = null;

  private constructor(
    db: RocksDB,
    readonly directory: string,
  ) {
    this.#db = db;
  }

  /** Creates the directory if need be. Errors: 55006 already open here or elsewhere, XX001, 53100, 58030. */
  static async open(directory: string): Promise<RocksStore> {
    await mkdir(directory, { recursive: true }).catch((cause: unknown) => {
      throw openError(directory, cause);
    });
    return RocksStore.#open(directory, {
      maxBackgroundJobs: Math.max(2, Math.min(6, availableParallelism())),
      // Index and filters stay in memory outside the block cache, which is small and would thrash.
      tableCacheIndexAndFilterBlocks: false,
      tableBlockSize: 8192,
      writeBufferSize: 64 * 1024 * 1024,
      maxWriteBufferNumber: 3,
    });
  }

  /**
   * A store that is open elsewhere in this process, as it is now and stays: what is written later is not seen here, and
   * the table files that are open stay readable when the other one has done away with them. For whoever reads all of it,
   * which needs no filters: index and filters are read as they are needed.
   * Errors: as those of `open`; also when table files went away just now.
   */
  static async openToRead(directory: string): Promise<RocksStore> {
    return RocksStore.#open(directory, { readOnly: true, tableCacheIndexAndFilterBlocks: true });
  }

  static async #open(directory: string, options: StoreOptions): Promise<RocksStore> {
    const Rocks = await loadBinding();
    try {
      // Ten bits a key: about one point read of an absent key in a hundred touches the disk.
      const db = new Rocks(directory, { ...options, filterPolicy: new Rocks.BloomFilterPolicy(10) });
      await db.ready();
      return new RocksStore(db, directory);
    } catch (cause) {
      throw openError(directory, cause);
    }
  }

  async get(key: Uint8Array): Promise<Buffer | null> {
    const [value] = await this.getMany([key]);
    return value ?? null;
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Buffer | null)[]> {
    this.#mustBeOpen();
    if (keys.length === 0) return [];
    const batch = this.#db.read({ capacity: keys.length, autoDestroy: true });
    const reads = keys.map((key) => batch.get(key));
    // Not flush(): its promise would reject with an AggregateError beside those of the reads.
    batch.tryFlush();
    try {
      return await Promise.all(reads);
    } catch (cause) {
      throw storeError('read from the store', cause);
    }
  }

  async *scan(range: ScanRange): AsyncIterable<StoredEntry> {
    for await (const batch of this.batches(range)) {
      for (const entry of batch) {
        yield entry;
        this.#mustBeOpen();
      }
    }
  }

  async *batches({
    gte,
    lt,
    reverse = false,
    limit = Infinity,
  }: ScanRange): AsyncIterable<readonly StoredEntry[]> {
    this.#mustBeOpen();
    // RocksDB takes an empty upper bound for none at all.
    if (limit <= 0 || Buffer.compare(gte, lt) >= 0) return;
    const capacity = Math.min(limit, iteratorCapacity);
    const iterator = this.#db.iterator({ gte, lt, reverse, limit, capacity });
    this.#iterators.add(iterator);
    iterator.once('close', () => this.#iterators.delete(iterator));
    try {
      yield* read(iterator, capacity);
    } catch (cause) {
      throw storeError('read from the store', cause);
    } finally {
      iterator.destroy();
    }
  }

  async write(entries: readonly Entry[]): Promise<void> {
    this.#mustBeOpen();
    if (entries.length === 0) return;
    const batch = this.#db.write({ capacity: entries.length, autoDestroy: true });
    for (const { key, value } of entries) batch.tryPut(key, value);
    await this.#run('write to the store', batch.flush());
  }

  async remove(keys: readonly Uint8Array[]): Promise<void> {
    this.#mustBeOpen();
    if (keys.length === 0) return;
    const batch = this.#db.write({ capacity: keys.length, autoDestroy: true });
    for (const key of keys) batch.tryDelete(key);
    await this.#run('remove from the store', batch.flush());
  }

  async flush(): Promise<void> {
    this.#mustBeOpen();
    await this.#run('flush the store', this.#db.flush());
  }

  async compact(): Promise<void> {
    await this.flush();
    await this.#run('compact the store', this.#db.compact());
  }

  close(): Promise<void> {
    if (this.#closing === null) {
      // The binding's close() waits for ever while an iterator is open.
      for (const iterator of this.#iterators) iterator.destroy(closedError());
      this.#closing = this.#run('close the store', this.#db.close());
    }
    return this.#closing;
  }

  async #run(doing: string, work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (cause) {
      throw storeError(doing, cause);
    }
  }

  #mustBeOpen(): void {
    if (this.#closing !== null) throw closedError();
  }
}

/** What an iterator has, as it comes; one promise for each read into the binding instead of one for each entry. */
async function* read(iterator: OpenIterator, size: number): AsyncGenerator<readonly StoredEntry[]> {
  let state: 'open' | 'ended' | 'closed' = 'open';
  let failure: Error | null = null;
  let wake = (): void => undefined;
  const note = (next: typeof state): void => {
    if (state === 'open') state = next;
    wake();
  };
  iterator.on('readable', () => wake());
  iterator.once('end', () => note('ended'));
  iterator.once('close', () => note('closed'));
  // close() destroys an iterator with an error; with nobody listening that would end the process.
  iterator.on('error', (error) => {
    failure ??= error;
    note('closed');
  });
  const failed = (): Error | null => failure;
  const now = (): typeof state => state;
  let batch: StoredEntry[] = [];
  for (;;) {
    const entry = failed() === null ? iterator.read() : null;
    if (entry !== null) batch.push(entry);
    if (batch.length > 0 && (entry === null || batch.length >= size)) {
      yield batch;
      batch = [];
    } else if (entry === null) {
      if (now() !== 'open') break;
      await new Promise<void>((resolve) => (wake = resolve));
    }
  }
  if (now() === 'closed') throw failed() ?? closedError();
}

function closedError(): DatabaseError {
  return new DatabaseError(SqlState.objectNotInPrerequisiteState, 'the store is closed');
}
