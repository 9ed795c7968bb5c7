import { Prefix, prefixRange } from './codec/keys.js';
import type { Head, PlainState, Repository } from './repository.js';

/** All heads of a type, in key order, some hundred at a time. */
export class HeadScans {
  constructor(private readonly repository: Repository) {}

  /** Of aggregates whose agg starts with `prefix`. @throws DatabaseError XX001 when one cannot be read */
  heads(prefix: Buffer): AsyncGenerator<Head[]> {
    return this.scan(prefix, (key, value) => this.repository.openHead(key, value));
  }

  /** The same for whoever needs no more than the states. */
  states(prefix: Buffer): AsyncGenerator<PlainState[]> {
    return this.scan(prefix, (key, value) => this.repository.openState(key, value));
  }

  private async *scan<T>(prefix: Buffer, open: (key: Uint8Array, value: Buffer) => T): AsyncGenerator<T[]> {
    for await (const batch of this.repository.store.batches(prefixRange(Prefix.head, prefix)))
      yield batch.map(({ key, value }) => open(key, value));
  }
}
