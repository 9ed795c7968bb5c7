import { Prefix, plainKey, prefixRange, versionKey } from '../codec/keys.js';
import {
  commitHash,
  decodeFields,
  eventLeaf,
  storeLeaf,
  type LogEntry,
  type SnapshotRecord,
} from '../codec/records.js';
import { DatabaseError } from '../errors.js';
import { applyEvent } from '../fold.js';
import type { Head, Repository, StoredEvent } from '../repository.js';
import { toStateRow } from '../rows.js';
import { appendLeaf, frontierRoot, type Frontier } from '../tree.js';
import type { Fields, StateRow } from '../types.js';

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
): Promise<{ readonly state: StateRow } | Failure> {
  const outcome = await recompute(repository, agg, last, check);
  return 'state' in outcome ? outcome : { ...(await nameOf(repository, agg, last)), ...outcome };
}

type Fault = Pick<Failure, 'version' | 'reason'>;

function fault(version: number, reason: string): Fault {
  return { version: String(version), reason };
}

async function recompute(
  repository: Repository,
  agg: Buffer,
  last: number,
  check: StoreCheck,
): Promise<{ readonly state: StateRow } | Fault> {
  let frontier: Frontier = [];
  let state: Fields = {};
  let first: StoredEvent | null = null;
  let latest: StoredEvent | null = null;
  const snapshots = await snapshotsOf(repository, agg).catch(why);
  if (typeof snapshots === 'string') return fault(last, `a snapshot: ${snapshots}`);
  for await (const { version, event } of eventsOf(repository, agg, last)) {
    if (typeof event === 'string') return fault(version, event);
    first ??= event;
    if (event.version !== version || !belongs(repository, agg, event, first))
      return fault(version, 'the event stored here belongs to another place');
    if (!commitHash(event.body).equals(event.commit))
      return fault(version, 'payload and metadata are not what was hashed');
    const leaf = eventLeaf(event);
    frontier = appendLeaf(frontier, version - 1, leaf);
    const wrong = await check(event, storeLeaf(event.type, event.id, version, leaf, frontierRoot(frontier)));
    if (wrong !== null) return fault(version, wrong);
    state = applyEvent(state, decodeFields(event.body.payload));
    latest = event;
    const snapshot = snapshots.get(version);
    if (snapshot !== undefined && !isFold(snapshot, { first, latest, frontier, state }))
      return fault(version, 'the snapshot is not the fold of the events');
  }
  return first === null || latest === null
    ? fault(last, 'the events are missing')
    : checkHead(repository, agg, last, { first, latest, frontier, state });
}

/** An aggregate's key is made from its type and id, so an event tells by them whether it is in its place. */
function belongs(repository: Repository, agg: Buffer, event: StoredEvent, first: StoredEvent): boolean {
  if (event !== first) return event.type === first.type && event.id === first.id;
  return repository.index.aggregate(agg.readUInt32BE(0), event.type, event.id).equals(agg);
}

interface Recomputed {
  readonly first: StoredEvent;
  readonly latest: StoredEvent;
  readonly frontier: Frontier;
  readonly state: Fields;
}

async function checkHead(
  repository: Repository,
  agg: Buffer,
  last: number,
  { first, latest, frontier, state }: Recomputed,
): Promise<{ readonly state: StateRow } | Fault> {
  let head: Head | null;
  try {
    head = await repository.head(agg);
  } catch (error) {
    return fault(last, `the head: ${why(error)}`);
  }
  if (head === null) return fault(last, 'the head is missing');
  if (head.version !== last || head.position !== latest.position || head.createdAt !== first.recordedAt)
    return fault(last, 'the head names another version than the newest event');
  if (head.updatedAt !== latest.recordedAt || head.archived)
    return fault(last, 'the head shows other times or flags than its events');
  if (!frontierRoot(head.frontier).equals(frontierRoot(frontier)))
    return fault(last, "the aggregate's tree is not what its events give");
  if (!sameFields(head.state, state)) return fault(last, 'the state is not the fold of the events');
  return { state: toStateRow(head) };
}

/**
 * Every version of an aggregate, by one scan; where that meets damage or a gap, one by one from there, so that the
 * first bad version is known.
 */
async function* eventsOf(
  repository: Repository,
  agg: Buffer,
  last: number,
): AsyncGenerator<{ readonly version: number; readonly event: StoredEvent | string }> {
  let next = 1;
  try {
    for await (const event of repository.scanEvents(agg, 1, last)) {
      if (event.version !== next) break;
      yield { version: next, event };
      next++;
    }
  } catch {
    // The single reads below meet the same fault and name it.
  }
  for (; next <= last; next++) yield { version: next, event: await readEvent(repository, agg, next) };
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

/** Type and id, from the head or, where that is damaged, from any event that still opens. */
async function nameOf(
  repository: Repository,
  agg: Buffer,
  last: number,
): Promise<{ type: string; id: string }> {
  const headKey = plainKey(Prefix.head, agg);
  try {
    const value = await repository.store.get(headKey);
    if (value !== null) {
      const { type, id } = await repository.openHead(agg, value);
      return { type, id };
    }
  } catch {
    // fall through to the events
  }
  for (let version = 1; version <= last; version++) {
    try {
      const key = versionKey(Prefix.event, agg, version);
      const value = await repository.store.get(key);
      if (value !== null) {
        const { type, id } = repository.eventHeader(key, value);
        return { type, id };
      }
    } catch {
      // try the next
    }
  }
  return { type: '?', id: '?' };
}

/** Everything AS OF takes from a snapshot is held against the fold. */
function isFold(snapshot: SnapshotRecord, { first, latest, state }: Recomputed): boolean {
  return (
    snapshot.position === latest.position &&
    snapshot.createdAt === first.recordedAt &&
    snapshot.updatedAt === latest.recordedAt &&
    sameFields(decodeFields(snapshot.state), state)
  );
}

async function snapshotsOf(repository: Repository, agg: Buffer): Promise<Map<number, SnapshotRecord>> {
  const found = new Map<number, SnapshotRecord>();
  for await (const { key, value } of repository.store.scan(prefixRange(Prefix.snapshot, agg))) {
    const snapshot = await repository.openSnapshot(agg, key, value);
    found.set(snapshot.version, snapshot);
  }
  return found;
}

function sameFields(a: Fields, b: Fields): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((n) => Object.hasOwn(b, n) && a[n] === b[n]);
}
