import { aggOf, Prefix, prefixRange } from './codec/keys.js';
import { decodeHeadState, decodeIdentity } from './codec/records.js';
import type { Sealer } from './crypto/seal.js';
import type { Head, PlainState, Repository } from './repository.js';
import { AggregateCursor } from './store/cursor.js';
import type { StoredEntry } from './store/store.js';

/** All heads of a type, in key order, some hundred at a time: each with its identity, read side by side. */
export class HeadScans {
  constructor(
    private readonly repository: Repository,
    private readonly sealer: Sealer,
  ) {}

  /** Of aggregates whose agg starts with `prefix`. */
  heads(prefix: Buffer): AsyncGenerator<Head[]> {
    return this.scan(prefix, (identity, head) => this.openHead(identity, head));
  }

  /** The same for whoever needs no more than the states. */
  states(prefix: Buffer): AsyncGenerator<PlainState[]> {
    return this.scan<PlainState>(prefix, (identity, head) => this.openState(identity, head));
  }

  /** @param open throws where something is damaged: the slow way names it */
  private async *scan<T>(
    prefix: Buffer,
    open: (identity: StoredEntry, head: StoredEntry) => T,
  ): AsyncGenerator<(T | Head)[]> {
    const { store } = this.repository;
    const keys = new AggregateCursor(store, prefixRange(Prefix.key, prefix));
    try {
      for await (const batch of store.batches(prefixRange(Prefix.head, prefix))) {
        const found: (T | Head)[] = [];
        for (const entry of batch) {
          const identity = keys.nextBeside(entry.key) ?? (await keys.of(aggOf(entry.key)))[0];
          const opened = identity === undefined ? null : attempt(() => open(identity, entry));
          found.push(opened ?? (await this.repository.openHead(aggOf(entry.key), entry.value)));
        }
        yield found;
      }
    } finally {
      await keys.close();
    }
  }

  private openHead(identity: StoredEntry, head: StoredEntry): Head {
    const { repository } = this;
    return repository.openHeadWith(
      repository.openIdentity(aggOf(head.key), identity.value),
      head.key,
      head.value,
    );
  }

  private openState(identity: StoredEntry, head: StoredEntry): PlainState {
    const { names } = this.repository;
    const { type, id, key } = decodeIdentity(names, this.sealer.openBriefly(identity.key, identity.value));
    const plain = this.sealer.openOwn(head.key, { bytes: key }, head.value);
    const { version, position, createdAt, updatedAt, archived, state } = decodeHeadState(names, plain);
    return { type, id, version, position, createdAt, updatedAt, archived, state };
  }
}

function attempt<T>(work: () => T): T | null {
  try {
    return work();
  } catch {
    return null;
  }
}
