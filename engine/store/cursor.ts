import { AGG_BYTES } from '../codec/keys.js';
import type { Store, StoredEntry } from './store.js';

/**
 * Follows one kind of record (key: prefix byte ‖ agg ‖ …) alongside another that is read in the same order: a merge
 * join. Reading both ranges once is several times cheaper than a look-up for each aggregate.
 */
export class AggregateCursor {
  readonly #batches: AsyncIterator<readonly StoredEntry[]>;
  #batch: readonly StoredEntry[] = [];
  #at = 0;
  #done = false;

  constructor(store: Store, range: { readonly gte: Uint8Array; readonly lt: Uint8Array }) {
    this.#batches = store.batches(range)[Symbol.asyncIterator]();
  }

  /** The records of an aggregate; those of earlier ones are passed over. Ask in ascending order of agg. */
  async of(agg: Buffer): Promise<StoredEntry[]> {
    const found: StoredEntry[] = [];
    for (;;) {
      for (let entry = this.#batch[this.#at]; entry !== undefined; entry = this.#batch[this.#at]) {
        const order = entry.key.compare(agg, 0, AGG_BYTES, 1, 1 + AGG_BYTES);
        if (order > 0) return found;
        if (order === 0) found.push(entry);
        this.#at++;
      }
      if (this.#done) return found;
      const next = await this.#batches.next();
      this.#done = next.done === true;
      this.#batch = next.done === true ? [] : next.value;
      this.#at = 0;
    }
  }

  /** The next record, if it is at hand and the aggregate's; otherwise `of` tells, which may have to wait. */
  nextOf(agg: Buffer): StoredEntry | undefined {
    const entry = this.#batch[this.#at];
    if (entry?.key.compare(agg, 0, AGG_BYTES, 1, 1 + AGG_BYTES) !== 0) return undefined;
    this.#at++;
    return entry;
  }

  /** Whether it is known, without waiting, that the aggregate has no records. */
  isPast(agg: Buffer): boolean {
    const entry = this.#batch[this.#at];
    if (entry === undefined) return this.#done;
    return entry.key.compare(agg, 0, AGG_BYTES, 1, 1 + AGG_BYTES) > 0;
  }

  async close(): Promise<void> {
    this.#done = true;
    this.#batch = [];
    await this.#batches.return?.();
  }
}
