/** Every version there ever was of a type's aggregates: what a follower needs to answer look-backs by itself. */
import { setImmediate as othersTurn } from 'node:timers/promises';
import type { CommitLoop } from './commit/loop.js';
import { Prefix, prefixRange, typePrefix } from './codec/keys.js';
import { DatabaseError, SqlState } from './errors.js';
import { foldEvent, stateBefore } from './lookBack.js';
import { RecentMap } from './cache/recent.js';
import type { Head, PlainState, Repository, StoredEvent } from './repository.js';
import { toStateRow } from './rows.js';
import { AggregateCursor } from './store/cursor.js';
import type { StoredEntry } from './store/store.js';
import type { StateRow } from './types.js';

/** A state, and the position of the event that replaced it; null: none did so far. */
export interface VersionRow extends StateRow {
  readonly until: bigint | null;
}

const ROWS = 1000;
/** Longer at a stretch, and appends would wait for it. */
const STRETCH_MS = 2;
const TIMES_KNOWN = 10_000;
/** An aggregate with more events is read by itself, so that they are not in memory all at once. */
const TOGETHER_MAX = 1000;

export class Versions {
  private readonly times = new RecentMap<number, number>(TIMES_KNOWN);

  constructor(
    private readonly repository: Repository,
    private readonly loop: CommitLoop,
  ) {}

  /**
   * All versions up to a position that is committed, aggregate by aggregate, in batches.
   * @throws DatabaseError XX001 when an event is missing
   */
  async *all(type: string, through: bigint, signal?: AbortSignal): AsyncGenerator<VersionRow[]> {
    const number = this.loop.state.catalogue.typeNumber(type);
    if (number === null) return;
    const last = Number(through);
    const stored = new AggregateCursor(this.repository.store, prefixRange(Prefix.event, typePrefix(number)));
    let rows: VersionRow[] = [];
    let since = performance.now();
    try {
      for await (const heads of this.repository.scans.heads(typePrefix(number))) {
        signal?.throwIfAborted();
        for (const head of heads) {
          const own = new OwnVersions(head, last);
          if (head.version > TOGETHER_MAX) {
            for await (const event of this.repository.scanEvents(head, 1, head.version)) {
              signal?.throwIfAborted();
              if (!own.add(event, rows)) break;
              if (rows.length >= ROWS) {
                yield rows;
                rows = [];
              }
            }
          } else {
            const add = ({ key, value }: StoredEntry): boolean =>
              own.add(this.repository.openEventWith(head, key, value), rows);
            let more = true;
            for (let at = stored.nextOf(head.agg); more && at !== undefined; at = stored.nextOf(head.agg))
              more = add(at);
            if (more && !stored.isPast(head.agg))
              for (const entry of await stored.of(head.agg)) if (!add(entry)) break;
          }
          own.end(rows);
          if (performance.now() - since > STRETCH_MS) {
            await othersTurn();
            since = performance.now();
          }
          if (rows.length < ROWS) continue;
          yield rows;
          rows = [];
        }
      }
    } finally {
      await stored.close();
    }
    if (rows.length > 0) yield rows;
  }

  /**
   * The position of the last event recorded at or before a time (microseconds since 1970); 0 if none. Always asks for
   * the same positions first, and what was recorded when never changes, so most of it is known after a few times.
   */
  async positionAt(time: bigint): Promise<bigint> {
    const { position, recordedAt } = this.loop.state.progress;
    if (BigInt(recordedAt) <= time) return BigInt(position);
    let found = 0;
    for (let step = 2 ** Math.floor(Math.log2(Math.max(1, position))); step >= 1; step /= 2) {
      if (found + step <= position && BigInt(await this.recordedAt(found + step)) <= time) found += step;
    }
    return BigInt(found);
  }

  private async recordedAt(position: number): Promise<number> {
    const known = this.times.get(position);
    if (known !== undefined) return known;
    const entry = await this.repository.positions.at(position);
    if (entry === null) throw new DatabaseError(SqlState.dataCorrupted, `position ${position} is missing`);
    this.times.set(position, entry.recordedAt);
    return entry.recordedAt;
  }
}

/** Folds one aggregate's events, each version becoming a row once it is known what replaced it. */
class OwnVersions {
  private state: PlainState;

  constructor(
    private readonly head: Head,
    private readonly last: number,
  ) {
    this.state = stateBefore(head);
  }

  /** False for an event beyond the last position: it tells only that there are no more. */
  add(event: StoredEvent, rows: VersionRow[]): boolean {
    if (event.position > this.last) return false;
    if (event.version !== this.state.version + 1)
      throw missing(this.head.type, BigInt(this.state.version + 1));
    if (this.state.version > 0) rows.push({ ...toStateRow(this.state), until: BigInt(event.position) });
    this.state = foldEvent(this.state, event);
    return true;
  }

  end(rows: VersionRow[]): void {
    const { version, position } = this.state;
    if (version < this.head.version && this.head.position <= this.last)
      throw missing(this.head.type, BigInt(version + 1));
    // The newest state may say more than its events (archived).
    const newest = version === this.head.version ? this.head : this.state;
    if (version > 0 && position <= this.last) rows.push({ ...toStateRow(newest), until: null });
  }
}

function missing(type: string, version: bigint): DatabaseError {
  return new DatabaseError(SqlState.dataCorrupted, 'an event is missing', {
    detail: `aggregate "${type}": version ${version} is not stored.`,
  });
}
