import { typeNumberOf } from '../codec/keys.js';
import type { SnapshotRecord } from '../codec/records.js';
import { storeLeaf } from '../hashes.js';
import type { Head, Identity, Repository, StoredEvent } from '../repository.js';
import { leafOf, toStateRow } from '../rows.js';
import { frontierRoot, GrowingTree } from '../tree.js';
import type { Fields, StateRow } from '../types.js';

/** What is wrong with one version of an aggregate. */
export interface Fault {
  readonly version: string;
  readonly reason: string;
}

export function fault(version: number, reason: string): Fault {
  return { version: String(version), reason };
}

/** Made and used within one turn, whatever aggregates are recomputed side by side. */
const LEAF = Buffer.alloc(32);
const STORE_LEAF = Buffer.alloc(32);

/** Positions: through which the store is verified, and the newest that there is by now. */
export interface Limits {
  readonly verified: number;
  readonly newest: number;
}

/** Whether something was appended after the verification began. */
export function isLater(position: number, { verified, newest }: Limits): boolean {
  return position > verified && position <= newest;
}

/** One aggregate, recomputed from its events in order: its tree, its leaves of the store tree, its state. */
export class Recomputation {
  private readonly state = new Map<string, string>();
  private firstAt = 0;
  private latest: StoredEvent | null = null;

  constructor(
    private readonly repository: Repository,
    private readonly identity: Identity,
    private readonly tree = new GrowingTree(),
  ) {
    tree.clear();
  }

  /** Versions taken so far. */
  get version(): number {
    return this.tree.size;
  }

  /**
   * Takes the next event.
   * @returns its leaf of the store tree, to be held against the store before the next call, or what is wrong
   */
  add(event: StoredEvent): Buffer | Fault {
    const version = this.version + 1;
    if (event.version !== version || (version === 1 && !this.isNamed()))
      return fault(version, 'the event stored here belongs to another place');
    const leaf = leafOf(event, LEAF);
    this.tree.add(leaf);
    for (const field of Object.keys(event.fields)) {
      const value = event.fields[field] ?? null;
      if (value === null) this.state.delete(field);
      else this.state.set(field, value);
    }
    if (version === 1) this.firstAt = event.recordedAt;
    this.latest = event;
    return storeLeaf(event, leaf, this.tree.root(), STORE_LEAF);
  }

  /** Everything AS OF takes from a snapshot of the version just added is held against the fold. */
  snapshotFault(snapshot: SnapshotRecord): Fault | null {
    const same =
      snapshot.position === this.latest?.position &&
      snapshot.createdAt === this.firstAt &&
      snapshot.updatedAt === this.latest.recordedAt &&
      this.hasState(snapshot.state);
    return same ? null : fault(this.version, 'the snapshot is not the fold of the events');
  }

  /**
   * Holds the head against what the events gave.
   * @param last the version the total order says is the newest
   * @returns no state when the aggregate has changed since the verification began
   */
  finish(head: Head | null, last: number, limits: Limits): { readonly state: StateRow | null } | Fault {
    const { latest } = this;
    // An aggregate that is younger than the verification.
    if (latest === null && head !== null && isLater(head.position, limits)) return { state: null };
    if (latest === null) return fault(last, 'the events are missing');
    if (head === null) return fault(last, 'the head is missing');
    if (isLater(head.position, limits)) return { state: null };
    if (head.version !== last || head.position !== latest.position || head.createdAt !== this.firstAt)
      return fault(last, 'the head names another version than the newest event');
    if (head.updatedAt !== latest.recordedAt || head.archived)
      return fault(last, 'the head shows other times or flags than its events');
    if (!frontierRoot(head.frontier).equals(this.tree.root()))
      return fault(last, "the aggregate's tree is not what its events give");
    if (!this.hasState(head.state)) return fault(last, 'the state is not the fold of the events');
    return { state: toStateRow(head) };
  }

  private hasState(state: Fields): boolean {
    const names = Object.keys(state);
    return names.length === this.state.size && names.every((name) => this.state.get(name) === state[name]);
  }

  /** An aggregate's place is made from its type and id, so whoever was given another name is found out. */
  private isNamed(): boolean {
    const { agg, type, id } = this.identity;
    return this.repository.index.aggregate(typeNumberOf(agg), type, id).equals(agg);
  }
}
