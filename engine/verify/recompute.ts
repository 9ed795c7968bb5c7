import { commitHash, decodeFields, eventLeaf, storeLeaf, type SnapshotRecord } from '../codec/records.js';
import { applyEvent } from '../fold.js';
import type { Head, Repository, StoredEvent } from '../repository.js';
import { toStateRow } from '../rows.js';
import { appendLeaf, frontierRoot, type Frontier } from '../tree.js';
import type { Fields, StateRow } from '../types.js';

/** What is wrong with one version of an aggregate. */
export interface Fault {
  readonly version: string;
  readonly reason: string;
}

export function fault(version: number, reason: string): Fault {
  return { version: String(version), reason };
}

/** One aggregate, recomputed from its events in order: its tree, its leaves of the store tree, its state. */
export class Recomputation {
  private frontier: Frontier = [];
  private state: Fields = {};
  private first: StoredEvent | null = null;
  private latest: StoredEvent | null = null;

  constructor(
    private readonly repository: Repository,
    private readonly agg: Buffer,
  ) {}

  /** Versions taken so far. */
  get version(): number {
    return this.latest?.version ?? 0;
  }

  /** Takes the next event. @returns its leaf of the store tree, to be held against the store, or what is wrong */
  add(event: StoredEvent): Buffer | Fault {
    const version = this.version + 1;
    this.first ??= event;
    if (event.version !== version || !this.belongs(event, this.first))
      return fault(version, 'the event stored here belongs to another place');
    if (!commitHash(event.body).equals(event.commit))
      return fault(version, 'payload and metadata are not what was hashed');
    const leaf = eventLeaf(event);
    this.frontier = appendLeaf(this.frontier, version - 1, leaf);
    this.state = applyEvent(this.state, decodeFields(event.body.payload));
    this.latest = event;
    return storeLeaf(event.type, event.id, version, leaf, frontierRoot(this.frontier));
  }

  /** Everything AS OF takes from a snapshot of the version just added is held against the fold. */
  snapshotFault(snapshot: SnapshotRecord): Fault | null {
    const same =
      snapshot.position === this.latest?.position &&
      snapshot.createdAt === this.first?.recordedAt &&
      snapshot.updatedAt === this.latest.recordedAt &&
      sameFields(decodeFields(snapshot.state), this.state);
    return same ? null : fault(this.version, 'the snapshot is not the fold of the events');
  }

  /** Holds the head against what the events gave. @param last the version the total order says is the newest */
  finish(head: Head | null, last: number): { readonly state: StateRow } | Fault {
    const { first, latest } = this;
    if (first === null || latest === null) return fault(last, 'the events are missing');
    if (head === null) return fault(last, 'the head is missing');
    if (head.version !== last || head.position !== latest.position || head.createdAt !== first.recordedAt)
      return fault(last, 'the head names another version than the newest event');
    if (head.updatedAt !== latest.recordedAt || head.archived)
      return fault(last, 'the head shows other times or flags than its events');
    if (!frontierRoot(head.frontier).equals(frontierRoot(this.frontier)))
      return fault(last, "the aggregate's tree is not what its events give");
    if (!sameFields(head.state, this.state)) return fault(last, 'the state is not the fold of the events');
    return { state: toStateRow(head) };
  }

  /** An aggregate's key is made from its type and id, so an event tells by them whether it is in its place. */
  private belongs(event: StoredEvent, first: StoredEvent): boolean {
    if (event !== first) return event.type === first.type && event.id === first.id;
    return this.repository.index.aggregate(this.agg.readUInt32BE(0), event.type, event.id).equals(this.agg);
  }
}

function sameFields(a: Fields, b: Fields): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((n) => Object.hasOwn(b, n) && a[n] === b[n]);
}
