import type { CommittedGroup, Schema, StateRow } from '../engine/types.js';

/** More states than this waiting, and they are dropped: the engine can tell again what changed. */
const MAX_WAITING_STATES = 200_000;
/** Upserts are fastest in batches of about a thousand rows. */
const MAX_BATCH_STATES = 2000;
const MAX_BATCH_EVENTS = 4000;

/** Several commits in a row, put together. */
export interface Batch {
  readonly groups: readonly CommittedGroup[];
  readonly lastPosition: bigint;
  readonly leaf: string;
  /** The newest schema among them. */
  readonly schema: Schema | null;
  /** The latest state of every aggregate, by type. */
  readonly states: ReadonlyMap<string, readonly StateRow[]>;
}

/** The commits that wait to be projected; bounded. */
export class Feed {
  private groups: CommittedGroup[] = [];
  private waiting = 0;
  private overflowed = false;
  private interrupted = false;
  private wake: () => void = () => undefined;

  constructor(private readonly limit = MAX_WAITING_STATES) {}

  add(group: CommittedGroup): void {
    if (!this.overflowed) {
      this.groups.push(group);
      this.waiting += weight(group);
      if (this.waiting > this.limit) {
        this.clear();
        this.overflowed = true;
      }
    }
    this.wake();
  }

  /** True when commits were dropped: what they changed has to be asked for. */
  get hasGap(): boolean {
    return this.overflowed;
  }

  /** As much waits as a batch holds. */
  get hasBatch(): boolean {
    return this.waiting >= MAX_BATCH_STATES;
  }

  /** Empties it; what comes from now on is kept again. */
  clear(): void {
    this.groups = [];
    this.waiting = 0;
    this.overflowed = false;
  }

  /** What waits beyond `applied`, up to a batch; null when nothing does. */
  take(applied: bigint): Batch | null {
    const taken: CommittedGroup[] = [];
    let [count, states, events] = [0, 0, 0];
    for (const group of this.groups) {
      if (states >= MAX_BATCH_STATES || events >= MAX_BATCH_EVENTS) break;
      count += 1;
      this.waiting -= weight(group);
      // A change of the schema may come alone, without a position of its own.
      if (group.lastPosition <= applied && group.schema === null) continue;
      taken.push(group);
      states += group.states.length;
      events += group.events.length;
    }
    this.groups.splice(0, count);
    return taken.length === 0 ? null : batchOf(taken);
  }

  /** Gives back what could not be written. */
  putBack(batch: Batch): void {
    if (this.overflowed) return;
    this.groups = [...batch.groups, ...this.groups];
    this.waiting += batch.groups.reduce((sum, group) => sum + weight(group), 0);
  }

  /** Resolves when there is something to do, or at `interrupt()`: a turn later, so that who committed is answered first. */
  async idle(): Promise<void> {
    if (this.groups.length === 0 && !this.overflowed && !this.interrupted) {
      await new Promise<void>((done) => (this.wake = () => setImmediate(done)));
    }
    this.interrupted = false;
  }

  interrupt(): void {
    this.interrupted = true;
    this.wake();
  }
}

function weight(group: CommittedGroup): number {
  return Math.max(1, group.states.length, group.events.length);
}

function batchOf(groups: readonly CommittedGroup[]): Batch {
  const latest = new Map<string, Map<string, StateRow>>();
  let schema: Schema | null = null;
  for (const group of groups) {
    schema = group.schema ?? schema;
    for (const state of group.states) {
      let ofType = latest.get(state.aggregateType);
      if (ofType === undefined) latest.set(state.aggregateType, (ofType = new Map<string, StateRow>()));
      ofType.set(state.aggregateId, state);
    }
  }
  const states = new Map([...latest].map(([type, rows]) => [type, [...rows.values()]]));
  const last = groups.at(-1);
  return { groups, schema, states, lastPosition: last?.lastPosition ?? 0n, leaf: last?.leaf ?? '' };
}
