import type { Entry, ScanRange, Store, StoredEntry } from './store.js';

/** Bytes that may wait for the store; above that, `room` holds the commit loop back. */
const QUEUE_BYTES_MAX = 64 * 1024 * 1024;
/** How long entries may wait for more to share a batch with. Whoever reads does not wait for this. */
const GATHER_MS = 20;
/** Entries worth a batch of their own. */
const BATCH_ENTRIES = 2048;
/** What a batch takes at most: the binding keeps the thread busy for some 3 µs for each entry. */
const BATCH_ENTRIES_MAX = 4096;

/**
 * A store that takes writes at once and applies them in the background, in order, many groups in one batch. A group
 * is durable once the commit log has it (an opening store replays the log), so its writer need not wait for this.
 * A group too large for a batch is applied in several: what a crash leaves of it is written over by the replay.
 *
 * Every read waits until what was enqueued before it is applied, so readers see no difference. After the first
 * failure nothing more is applied, and every call throws that failure: only a restart can go on from the log.
 */
export class WriteBehindStore implements Store {
  readonly #store: Store;
  #queue: Entry[] = [];
  /** Where in the queue each group ends. */
  #ends: number[] = [];
  #queuedBytes = 0;
  #applying: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #failure: Error | null = null;

  constructor(store: Store) {
    this.#store = store;
  }

  get directory(): string | null {
    return this.#store.directory;
  }

  /** So large that it is applied in parts, and therefore has to be on disk in the log before. */
  isApart(entries: readonly Entry[]): boolean {
    return entries.length > BATCH_ENTRIES_MAX;
  }

  /** Takes the entries of a committed group; their buffers must not be changed any more. */
  enqueue(entries: readonly Entry[]): void {
    this.#dropReplaced(entries.at(-1));
    for (const entry of entries) {
      this.#queue.push(entry);
      this.#queuedBytes += entry.key.length + entry.value.length;
    }
    this.#ends.push(this.#queue.length);
    if (this.#applying !== null) return;
    if (this.#queue.length >= BATCH_ENTRIES) this.#start();
    else
      this.#timer ??= setTimeout(() => {
        this.#timer = null;
        if (this.#applying === null) this.#start();
      }, GATHER_MS);
  }

  /** Every group ends with the progress made: of the groups in one batch only the last one's counts. */
  #dropReplaced(newest: Entry | undefined): void {
    const last = this.#queue.at(-1);
    if (last === undefined || newest === undefined || Buffer.compare(last.key, newest.key) !== 0) return;
    this.#queue.pop();
    this.#ends[this.#ends.length - 1] = this.#queue.length;
    this.#queuedBytes -= last.key.length + last.value.length;
  }

  /** There is room for another group, and nothing has failed: `room` need not be awaited. */
  get hasRoom(): boolean {
    return this.#failure === null && this.#queuedBytes <= QUEUE_BYTES_MAX;
  }

  /** Resolves once there is room for another group. @throws the failure that ended the applying */
  async room(): Promise<void> {
    this.#mustBeWhole();
    while (this.#queuedBytes > QUEUE_BYTES_MAX) await this.applied();
  }

  /** Applies what is enqueued now, without waiting for more. @throws the failure that ended the applying */
  async applied(): Promise<void> {
    this.#mustBeWhole();
    if (this.#queue.length === 0 && this.#applying === null) return;
    // The batch under way may have begun before the newest entries came.
    if (this.#queue.length > 0 && this.#applying !== null) await this.#applying;
    if (this.#queue.length > 0 && this.#applying === null) this.#start();
    await this.#applying;
    this.#mustBeWhole();
  }

  async get(key: Uint8Array): Promise<Buffer | null> {
    await this.applied();
    return this.#store.get(key);
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Buffer | null)[]> {
    if (keys.length === 0) return [];
    await this.applied();
    return this.#store.getMany(keys);
  }

  async *scan(range: ScanRange): AsyncIterable<StoredEntry> {
    await this.applied();
    yield* this.#store.scan(range);
  }

  async *batches(range: ScanRange): AsyncIterable<readonly StoredEntry[]> {
    await this.applied();
    yield* this.#store.batches(range);
  }

  async write(entries: readonly Entry[]): Promise<void> {
    this.enqueue(entries);
    await this.applied();
  }

  async remove(keys: readonly Uint8Array[]): Promise<void> {
    await this.applied();
    await this.#store.remove(keys);
  }

  async flush(): Promise<void> {
    await this.applied();
    await this.#store.flush();
  }

  async compact(): Promise<void> {
    await this.applied();
    await this.#store.compact();
  }

  async close(): Promise<void> {
    await this.applied().catch(() => undefined);
    await this.#store.close();
  }

  #mustBeWhole(): void {
    if (this.#failure !== null) throw this.#failure;
  }

  #start(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#applying = this.#apply().finally(() => {
      this.#applying = null;
      if (this.#queue.length > 0 && this.#failure === null) this.#start();
    });
  }

  async #apply(): Promise<void> {
    if (this.#failure !== null) return;
    const [entries, ends] = [this.#queue, this.#ends];
    [this.#queue, this.#ends] = [[], []];
    try {
      for (const batch of batchesOf(entries, ends)) {
        await this.#store.write(batch);
        for (const { key, value } of batch) this.#queuedBytes -= key.length + value.length;
      }
    } catch (error) {
      this.#failure = error instanceof Error ? error : new Error(String(error));
    }
  }
}

/** Whole groups together, up to the most a batch takes; larger ones in parts. */
function* batchesOf(entries: Entry[], ends: readonly number[]): Generator<Entry[]> {
  if (entries.length <= BATCH_ENTRIES_MAX) {
    yield entries;
    return;
  }
  let [from, to] = [0, 0];
  for (const end of ends) {
    if (end - from > BATCH_ENTRIES_MAX && to > from) {
      yield entries.slice(from, to);
      from = to;
    }
    for (; end - from > BATCH_ENTRIES_MAX; from += BATCH_ENTRIES_MAX)
      yield entries.slice(from, from + BATCH_ENTRIES_MAX);
    to = end;
  }
  if (to > from) yield entries.slice(from, to);
}
