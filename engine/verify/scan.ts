/**
 * The quick way through a sound store: events, heads, snapshots and keys are read once each, side by side in the order
 * of their keys. An aggregate in which anything is amiss is only set aside here; to find and name the first fault is
 * for verifyAggregate, which reads it again record by record.
 */
import { aggOf, Prefix, prefixRange } from '../codec/keys.js';
import { DatabaseError } from '../errors.js';
import type { Repository, StoredEvent } from '../repository.js';
import type { SealKey } from '../crypto/seal.js';
import type { StoredEntry } from '../store/store.js';
import { AggregateCursor } from '../store/cursor.js';
import type { StateRow } from '../types.js';
import { Recomputation } from './recompute.js';

export interface Scanned {
  readonly agg: Buffer;
  /** null: set aside. */
  readonly state: StateRow | null;
}

export interface ScanOptions {
  /** The newest version of an aggregate by the total order; undefined when that knows no such aggregate. */
  readonly last: (agg: Buffer) => number | undefined;
  /** Tells what is wrong with an event's leaf of the store tree, or null. */
  readonly check: (event: StoredEvent, leaf: Buffer) => string | null;
  readonly signal: AbortSignal | undefined;
}

interface Running {
  readonly agg: Buffer;
  readonly key: SealKey | null;
  /** Version → sealed snapshot. */
  readonly snapshots: ReadonlyMap<number, StoredEntry>;
  readonly recomputation: Recomputation;
  amiss: boolean;
}

/** Verifies the aggregates whose agg starts with these bytes, in order of agg, as far as the store can be read. */
export async function* scanAggregates(
  repository: Repository,
  typePrefix: Buffer,
  options: ScanOptions,
): AsyncGenerator<Scanned> {
  const { store } = repository;
  const cursor = (prefix: 0x68 | 0x6b | 0x73): AggregateCursor =>
    new AggregateCursor(store, prefixRange(prefix, typePrefix));
  const beside = { heads: cursor(Prefix.head), keys: cursor(Prefix.key), snapshots: cursor(Prefix.snapshot) };
  let running: Running | null = null;
  try {
    for await (const batch of store.batches(prefixRange(Prefix.event, typePrefix))) {
      options.signal?.throwIfAborted();
      for (const entry of batch) {
        if (
          running === null ||
          entry.key.compare(running.agg, 0, running.agg.length, 1, 1 + running.agg.length) !== 0
        ) {
          if (running !== null) yield await finish(repository, beside.heads, running, options);
          running = await begin(repository, beside, aggOf(entry.key));
        }
        if (!running.amiss) running.amiss = !addEvent(repository, running, entry, options);
      }
    }
    if (running !== null) yield await finish(repository, beside.heads, running, options);
  } catch (error) {
    options.signal?.throwIfAborted();
    if (!(error instanceof DatabaseError)) throw error;
    // The store cannot be read through. Whoever was not handed out counts as set aside.
  } finally {
    await Promise.all([beside.heads.close(), beside.keys.close(), beside.snapshots.close()]);
  }
}

async function begin(
  repository: Repository,
  { keys, snapshots }: { readonly keys: AggregateCursor; readonly snapshots: AggregateCursor },
  agg: Buffer,
): Promise<Running> {
  const [keyRecord] = await keys.of(agg);
  const kept = (await snapshots.of(agg)).map(
    (entry) => [Number(entry.key.readBigUInt64BE(1 + agg.length)), entry] as const,
  );
  const key = keyRecord === undefined ? null : attempt(() => repository.openKey(agg, keyRecord.value));
  return {
    agg,
    key,
    snapshots: new Map(kept),
    recomputation: new Recomputation(repository, agg),
    amiss: key === null,
  };
}

/** @returns false when the event, or a snapshot behind it, is not as it should be */
function addEvent(
  repository: Repository,
  running: Running,
  entry: StoredEntry,
  options: ScanOptions,
): boolean {
  const { agg, key, recomputation, snapshots } = running;
  if (key === null) return false;
  const event = attempt(() => repository.openEventWith(key, agg, entry.key, entry.value));
  const leaf = event === null ? null : attempt(() => recomputation.add(event));
  if (event === null || !Buffer.isBuffer(leaf) || options.check(event, leaf) !== null) return false;
  const sealed = snapshots.get(event.version);
  if (sealed === undefined) return true;
  const snapshot = attempt(() => repository.openSnapshotWith(key, sealed.key, sealed.value));
  return snapshot !== null && attempt(() => recomputation.snapshotFault(snapshot) === null) === true;
}

async function finish(
  repository: Repository,
  heads: AggregateCursor,
  { agg, key, recomputation, amiss }: Running,
  options: ScanOptions,
): Promise<Scanned> {
  const [record] = await heads.of(agg);
  const last = options.last(agg);
  if (amiss || key === null || record === undefined || last === undefined || recomputation.version !== last)
    return { agg, state: null };
  const head = attempt(() => repository.openHeadWith(key, agg, record.value));
  const outcome = head === null ? null : attempt(() => recomputation.finish(head, last));
  return { agg, state: outcome !== null && 'state' in outcome ? outcome.state : null };
}

/** null for what is damaged. */
function attempt<T>(work: () => T): T | null {
  try {
    return work();
  } catch (error) {
    if (error instanceof DatabaseError) return null;
    throw error;
  }
}
