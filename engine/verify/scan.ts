/**
 * The quick way through a sound store: events, heads and snapshots are read once each, side by side in the order of
 * their keys. An aggregate in which anything is amiss is only set aside here; to find and name the first fault
 * is for verifyAggregate, which reads it again record by record.
 */
import { sameBytes } from '../codec/bytes.js';
import { aggKeys, aggOf, Prefix, versionOf, type AggRange } from '../codec/keys.js';
import { DatabaseError } from '../errors.js';
import type { Head, Repository } from '../repository.js';
import { AggregateCursor } from '../store/cursor.js';
import type { StoredEntry } from '../store/store.js';
import { GrowingTree } from '../tree.js';
import type { StateRow } from '../types.js';
import type { TotalOrder } from './order.js';
import { isLater, Recomputation, type Limits } from './recompute.js';

/** Plain data, so that threads can hand it on. */
export interface Scanned {
  /** latin1. */
  readonly agg: string;
  /** undefined: set aside; null: sound, but it has changed since. */
  readonly state: StateRow | null | undefined;
}

export interface ScanOptions {
  /** What the events are held against; gets the marks of those that are sound. */
  readonly order: TotalOrder;
  readonly limits: () => Limits;
  readonly signal: AbortSignal | undefined;
}

interface Running {
  readonly agg: Buffer;
  /** null: set aside. */
  recomputation: Recomputation | null;
  readonly head: Head | null;
  readonly snapshots: readonly StoredEntry[];
}

interface Beside {
  readonly heads: AggregateCursor;
  readonly snapshots: AggregateCursor;
}

/** Verifies the aggregates of these ranges, one range after the other. */
export async function* scanSlices(
  repository: Repository,
  slices: readonly AggRange[],
  options: ScanOptions,
): AsyncGenerator<Scanned[]> {
  for (const slice of slices) yield* scanAggregates(repository, slice, options);
}

/** Verifies aggregates in order of agg, as far as the store can be read. */
async function* scanAggregates(
  repository: Repository,
  range: AggRange,
  options: ScanOptions,
): AsyncGenerator<Scanned[]> {
  const { store } = repository;
  const cursor = (prefix: 0x68 | 0x73): AggregateCursor => new AggregateCursor(store, aggKeys(prefix, range));
  const beside = { heads: cursor(Prefix.head), snapshots: cursor(Prefix.snapshot) };
  // One for all: aggregates come one after the other.
  const tree = new GrowingTree();
  let running: Running | null = null;
  try {
    for await (const batch of store.batches(aggKeys(Prefix.event, range))) {
      options.signal?.throwIfAborted();
      const scanned: Scanned[] = [];
      for (const entry of batch) {
        if (running === null || !sameBytes(entry.key, 1, running.agg, 0, running.agg.length)) {
          if (running !== null) scanned.push(finish(running, options));
          running = await begin(tree, repository, beside, entry.key);
        }
        if (running.recomputation !== null && !addEvent(repository, running, entry, options))
          running.recomputation = null;
      }
      yield scanned;
    }
    if (running !== null) yield [finish(running, options)];
  } catch (error) {
    options.signal?.throwIfAborted();
    if (!(error instanceof DatabaseError)) throw error;
    // The store cannot be read through. Whoever was not handed out counts as set aside.
  } finally {
    await Promise.all([beside.heads.close(), beside.snapshots.close()]);
  }
}

async function begin(
  tree: GrowingTree,
  repository: Repository,
  { heads, snapshots }: Beside,
  eventKey: Buffer,
): Promise<Running> {
  const agg = aggOf(eventKey);
  const kept = heads.nextOf(agg) ?? (await heads.of(agg))[0];
  const head = kept === undefined ? null : attempt(() => repository.openHead(kept.key, kept.value));
  return {
    agg,
    head,
    snapshots: snapshots.isPast(agg) ? [] : await snapshots.of(agg),
    recomputation: head === null ? null : new Recomputation(repository, head, tree),
  };
}

/** @returns false when the event, or a snapshot behind it, is not as it should be */
function addEvent(
  repository: Repository,
  { head, recomputation, snapshots }: Running,
  entry: StoredEntry,
  options: ScanOptions,
): boolean {
  if (head === null || recomputation === null) return false;
  return (
    attempt(() => {
      const event = repository.openEventWith(head, entry.key, entry.value);
      // Appended since; verified the next time.
      if (isLater(event.position, options.limits())) return true;
      const leaf = recomputation.add(event);
      if (!Buffer.isBuffer(leaf) || !options.order.confirms(event, leaf)) return false;
      const sealed = snapshots.find(({ key }) => versionOf(key) === event.version);
      if (sealed === undefined) return true;
      const snapshot = repository.openSnapshotWith(head, sealed.key, sealed.value);
      return recomputation.snapshotFault(snapshot) === null;
    }) === true
  );
}

function finish({ agg, head, recomputation }: Running, options: ScanOptions): Scanned {
  const name = agg.toString('latin1');
  if (head === null || recomputation === null) return { agg: name, state: undefined };
  const outcome = attempt(() => recomputation.finish(head, recomputation.version, options.limits()));
  return { agg: name, state: outcome !== null && 'state' in outcome ? outcome.state : undefined };
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
