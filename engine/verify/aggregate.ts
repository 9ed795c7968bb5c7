import { Prefix, prefixRange, versionOf } from '../codec/keys.js';
import type { LogEntry, SnapshotRecord } from '../codec/records.js';
import { DatabaseError } from '../errors.js';
import type { Identity, Repository, StoredEvent } from '../repository.js';
import type { StateRow } from '../types.js';
import { fault, Recomputation, type Fault, type Limits } from './recompute.js';

/** The first thing found wrong. */
export interface Failure {
  readonly type: string;
  readonly id: string;
  readonly version: string;
  readonly reason: string;
}

/** What is wrong with an event's entry in the total order; null when it says the same as the event. */
export function entryFault(entry: LogEntry | null, event: StoredEvent, leaf: Buffer): string | null {
  if (entry?.leaf.equals(leaf) !== true) return 'it is not what the store tree holds';
  const same =
    entry.agg.equals(event.agg) && entry.version === event.version && entry.recordedAt === event.recordedAt;
  return same ? null : 'the total order says something else of it';
}

/** Holds an event's recomputed leaf of the store tree against the store; returns what is wrong, or null. */
export type StoreCheck = (event: StoredEvent, storeLeaf: Buffer) => Promise<string | null> | string | null;

function why(error: unknown): string {
  return error instanceof DatabaseError ? error.message : 'it cannot be read';
}

/**
 * Recomputes one aggregate from its stored events and holds head and snapshots against the result.
 * @param last the version the total order says is the newest
 */
export async function verifyAggregate(
  repository: Repository,
  agg: Buffer,
  last: number,
  check: StoreCheck,
  limits: Limits,
): Promise<{ readonly state: StateRow | null } | Fault> {
  const identity = await repository.identity(agg).catch(why);
  if (typeof identity === 'string') return fault(1, `its head: ${identity}`);
  const snapshots = await snapshotsOf(repository, identity).catch(why);
  if (typeof snapshots === 'string') return fault(last, `a snapshot: ${snapshots}`);
  const recomputation = new Recomputation(repository, identity);
  for await (const { version, event } of eventsOf(repository, identity, last)) {
    if (typeof event === 'string') return fault(version, event);
    const leaf = recomputation.add(event);
    if (!Buffer.isBuffer(leaf)) return leaf;
    // A copy: the check may wait, and others recompute meanwhile.
    const wrong = await check(event, Buffer.from(leaf));
    if (wrong !== null) return fault(version, wrong);
    const snapshot = snapshots.get(version);
    const stale = snapshot === undefined ? null : recomputation.snapshotFault(snapshot);
    if (stale !== null) return stale;
  }
  if (recomputation.version === 0) return fault(last, 'the events are missing');
  try {
    return recomputation.finish(await repository.head(agg), last, limits);
  } catch (error) {
    return fault(last, `the head: ${why(error)}`);
  }
}

/**
 * Every version of an aggregate, by one scan; where that meets damage or a gap, one by one from there, so that the
 * first bad version is known.
 */
async function* eventsOf(
  repository: Repository,
  identity: Identity,
  last: number,
): AsyncGenerator<{ readonly version: number; readonly event: StoredEvent | string }> {
  let next = 1;
  try {
    for await (const event of repository.scanEvents(identity, 1, last)) {
      if (event.version !== next) break;
      yield { version: next, event };
      next++;
    }
  } catch {
    // The single reads below meet the same fault and name it.
  }
  for (; next <= last; next++)
    yield { version: next, event: await readEvent(repository, identity.agg, next) };
}

async function readEvent(
  repository: Repository,
  agg: Buffer,
  version: number,
): Promise<StoredEvent | string> {
  try {
    return (await repository.event(agg, version)) ?? 'the event is missing';
  } catch (error) {
    return why(error);
  }
}

async function snapshotsOf(repository: Repository, identity: Identity): Promise<Map<number, SnapshotRecord>> {
  const found = new Map<number, SnapshotRecord>();
  for await (const { key, value } of repository.store.scan(prefixRange(Prefix.snapshot, identity.agg)))
    found.set(versionOf(key), repository.openSnapshotWith(identity, key, value));
  return found;
}
