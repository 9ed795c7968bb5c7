/** Every version there ever was of a type's aggregates: what a follower needs to answer look-backs by itself. */
import type { CommitLoop } from './commit/loop.js';
import { scanTypeEvents, type EventVisitor } from './eventScan.js';
import { DatabaseError, SqlState } from './errors.js';
import { foldEvent, stateBefore } from './lookBack.js';
import { RecentMap } from './cache/recent.js';
import type { Head, PlainState, Repository, StoredEvent } from './repository.js';
import { toStateRow } from './rows.js';
import type { StateRow } from './types.js';

/** A state, and the position of the event that replaced it; null: none did so far. */
export interface VersionRow extends StateRow {
  readonly until: bigint | null;
}

const ROWS = 1000;
const TIMES_KNOWN = 10_000;

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
    yield* scanTypeEvents(this.repository, number, Number(through), new VersionFold(), signal);
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

/** Folds the events, each version becoming a row once it is known what replaced it. */
class VersionFold implements EventVisitor<VersionRow> {
  readonly batch = ROWS;
  private state: PlainState | null = null;

  begin(head: Head): void {
    this.state = stateBefore(head);
  }

  add(event: StoredEvent, rows: VersionRow[]): void {
    const { state } = this;
    if (state === null) return;
    if (state.version > 0) rows.push({ ...toStateRow(state), until: BigInt(event.position) });
    this.state = foldEvent(state, event);
  }

  end(head: Head, rows: VersionRow[]): void {
    const { state } = this;
    if (state === null || state.version === 0) return;
    // The newest state may say more than its events (archived).
    const newest = state.version === head.version ? head : state;
    rows.push({ ...toStateRow(newest), until: null });
  }
}
