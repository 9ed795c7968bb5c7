import { DatabaseError, SqlState } from '../errors.js';
import type { Entry, ScanRange, Store, StoredEntry } from './store.js';

const BATCH = 256;

/** A store in memory, for tests: one array sorted by key, searched by halving. */
export class MemoryStore implements Store {
  readonly directory = null;
  readonly #entries: StoredEntry[] = [];
  #closed = false;

  async get(key: Uint8Array): Promise<Buffer | null> {
    this.#mustBeOpen();
    return this.#find(key);
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Buffer | null)[]> {
    this.#mustBeOpen();
    return keys.map((key) => this.#find(key));
  }

  async *scan(range: ScanRange): AsyncIterable<StoredEntry> {
    this.#mustBeOpen();
    for (const entry of this.#slice(range)) {
      yield { key: Buffer.from(entry.key), value: Buffer.from(entry.value) };
      this.#mustBeOpen();
    }
  }

  async *batches(range: ScanRange): AsyncIterable<readonly StoredEntry[]> {
    let batch: StoredEntry[] = [];
    for await (const entry of this.scan(range)) {
      batch.push(entry);
      if (batch.length < BATCH) continue;
      yield batch;
      batch = [];
    }
    if (batch.length > 0) yield batch;
  }

  async write(entries: readonly Entry[]): Promise<void> {
    this.#mustBeOpen();
    for (const { key, value } of entries) {
      const place = this.#lowerBound(key);
      // The caller may reuse its buffers: keep copies. Entries are replaced, never changed, so that open scans
      // keep what they began with.
      const entry = { key: Buffer.from(key), value: Buffer.from(value) };
      this.#entries.splice(place, this.#isAt(place, key) ? 1 : 0, entry);
    }
  }

  async remove(keys: readonly Uint8Array[]): Promise<void> {
    this.#mustBeOpen();
    for (const key of keys) {
      const place = this.#lowerBound(key);
      if (this.#isAt(place, key)) this.#entries.splice(place, 1);
    }
  }

  async compact(): Promise<void> {
    await this.flush();
  }

  async flush(): Promise<void> {
    this.#mustBeOpen();
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #find(key: Uint8Array): Buffer | null {
    const place = this.#lowerBound(key);
    const entry = this.#entries[place];
    return entry !== undefined && this.#isAt(place, key) ? Buffer.from(entry.value) : null;
  }

  #slice({ gte, lt, reverse = false, limit = Infinity }: ScanRange): StoredEntry[] {
    const from = this.#lowerBound(gte);
    const to = Math.max(from, this.#lowerBound(lt));
    const count = Math.min(limit, to - from);
    return reverse ? this.#entries.slice(to - count, to).reverse() : this.#entries.slice(from, from + count);
  }

  #isAt(place: number, key: Uint8Array): boolean {
    return this.#entries[place]?.key.equals(key) ?? false;
  }

  /** Index of the first entry whose key is not below `key`. */
  #lowerBound(key: Uint8Array): number {
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const entry = this.#entries[middle];
      if (entry !== undefined && Buffer.compare(entry.key, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #mustBeOpen(): void {
    if (this.#closed) throw new DatabaseError(SqlState.objectNotInPrerequisiteState, 'the store is closed');
  }
}
