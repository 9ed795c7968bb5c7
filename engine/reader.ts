/** Looking back: states at a version, position or time, and histories, each from the nearest snapshot. */
import type { Catalogue } from './catalogue.js';
import { Prefix, prefixRange, typePrefix, versionKey } from './codec/keys.js';
import type { CommitLoop } from './commit/loop.js';
import { DatabaseError, SqlState } from './errors.js';
import { foldEvent, LookBack, stateBefore, type ReadCounts } from './lookBack.js';
import type { Head, PlainState, Repository } from './repository.js';
import { toStateRow } from './rows.js';
import { AggregateCursor } from './store/cursor.js';
import type { StoredEntry } from './store/store.js';
import type { AsOf, HistoryRow, StateRow } from './types.js';

/** Rows handed over at a time. */
const BATCH = 256;
/** Events of one aggregate that are read in a scan; a longer past is looked up from its snapshots. */
const SCANNED_VERSIONS_MAX = 64;

/** Which aggregates of a type; null means all. */
export type Ids = readonly string[] | null;

/** How much a look back would read. */
export interface ReadEstimate extends Readonly<Omit<ReadCounts, 'cached'>> {
  /** There are at least so many aggregates: counting stopped there. */
  readonly atLeast: boolean;
}

/** An estimate counts this many aggregates and looks at that many of them more closely. */
const ESTIMATE_COUNT = 100_000;
const ESTIMATE_SAMPLE = 64;

export class Reader {
  private readonly lookBack: LookBack;

  constructor(
    private readonly repository: Repository,
    private readonly loop: CommitLoop,
  ) {
    this.lookBack = new LookBack(repository, {
      threshold: (type) => this.catalogue.snapshotThreshold(type),
      fieldCount: (type) => this.catalogue.schema.aggregates.get(type)?.fields.length ?? Infinity,
    });
  }

  private get catalogue(): Catalogue {
    return this.loop.state.catalogue;
  }

  private get position(): number {
    return this.loop.state.progress.position;
  }

  /** The state of one aggregate, at a version or now; null when there is none. */
  async state(type: string, id: string, version: bigint | null = null): Promise<StateRow | null> {
    const head = await this.loop.head(type, id);
    const state =
      head === null || version === null ? head : await this.lookBack.atVersion(head, Number(version));
    return state === null ? null : toStateRow(state);
  }

  /** As `state` where everything needed is in memory; undefined where it is not. */
  stateNow(type: string, id: string, version: bigint | null = null): StateRow | null | undefined {
    const known = this.loop.known(type, id);
    if (known === undefined) return undefined;
    const state = version === null ? known.state : this.lookBack.known(known, Number(version));
    return state === null || state === undefined ? state : toStateRow(state);
  }

  /**
   * The states of a type's aggregates, in batches, as one moment shows them.
   * An aggregate that had not reached the moment (or the version) has no row.
   */
  async *states(
    type: string,
    ids: Ids,
    asOf: AsOf | null,
    signal?: AbortSignal,
    counts?: ReadCounts,
  ): AsyncGenerator<StateRow[]> {
    const limit = asOf?.kind === 'version' ? null : await this.positionLimit(asOf);
    const at = (head: Head): Promise<PlainState | null> =>
      asOf?.kind === 'version'
        ? this.lookBack.atVersion(head, Number(asOf.version), counts)
        : this.lookBack.atPosition(head, limit ?? this.position, counts);
    for await (const heads of this.headBatches(type, ids)) {
      signal?.throwIfAborted();
      if (counts !== undefined) counts.aggregates += heads.length;
      const states =
        limit !== null && ids === null && isWorthScanning(heads, limit)
          ? await this.scannedAt(heads, limit, signal, counts)
          : // Side by side, so that one's reading overlaps with another's decrypting.
            await Promise.all(heads.map(at));
      const rows = states.filter((state) => state !== null).map(toStateRow);
      if (rows.length > 0) yield rows;
    }
  }

  /** States at a position, from the events of neighbouring aggregates read in one go. */
  private async scannedAt(
    heads: readonly Head[],
    limit: number,
    signal: AbortSignal | undefined,
    counts: ReadCounts | undefined,
  ): Promise<(PlainState | null)[]> {
    const [first, last] = [heads[0], heads.at(-1)];
    if (first === undefined || last === undefined) return [];
    const events = new AggregateCursor(this.repository.store, {
      gte: versionKey(Prefix.event, first.agg, 0),
      lt: prefixRange(Prefix.event, last.agg).lt,
    });
    const states: (PlainState | null)[] = [];
    try {
      for (const head of heads) {
        if (head.position <= limit) {
          states.push(head);
          continue;
        }
        signal?.throwIfAborted();
        if (head.version > SCANNED_VERSIONS_MAX)
          states.push(await this.lookBack.atPosition(head, limit, counts));
        else {
          const state = this.foldUpTo(head, await events.of(head.agg), limit);
          if (counts !== undefined) counts.events += state?.version ?? 0;
          states.push(state);
        }
      }
    } finally {
      await events.close();
    }
    return states;
  }

  private foldUpTo(head: Head, sealed: readonly StoredEntry[], limit: number): PlainState | null {
    let state = stateBefore(head);
    for (const { key, value } of sealed) {
      const event = this.repository.openEventWith(head, key, value);
      if (event.position > limit) return state.version === 0 ? null : state;
      if (event.version !== state.version + 1) break;
      state = foldEvent(state, event);
    }
    throw new DatabaseError(SqlState.dataCorrupted, 'an event is missing', {
      detail: `aggregate "${head.type}": version ${state.version + 1} is not stored.`,
    });
  }

  async count(type: string, most = Infinity): Promise<number> {
    const number = this.catalogue.typeNumber(type);
    let count = 0;
    if (number === null) return count;
    for await (const entry of this.repository.store.scan(prefixRange(Prefix.head, typePrefix(number)))) {
      count += entry.key.length > 0 ? 1 : 0;
      if (count >= most) break;
    }
    return count;
  }

  /** What `states` (asOf given) or `history` and `events` of the aggregates (null) would have to read. */
  async estimate(type: string, ids: Ids, asOf: AsOf | null): Promise<ReadEstimate> {
    const sample = { aggregates: 0, snapshots: 0, events: 0 };
    const limit = asOf?.kind === 'version' ? null : await this.positionLimit(asOf);
    const threshold = this.catalogue.snapshotThreshold(type);
    for await (const head of this.heads(type, ids)) {
      if (sample.aggregates >= ESTIMATE_SAMPLE) break;
      sample.aggregates++;
      if (asOf === null) sample.events += head.version;
      else {
        const version =
          asOf.kind === 'version'
            ? Number(asOf.version)
            : ((await this.lookBack.atPosition(head, limit ?? this.position))?.version ?? 0);
        // The newest state is kept as it is; an older one is folded from the snapshot before it.
        if (version < 1 || version >= head.version) continue;
        sample.snapshots += version >= threshold ? 1 : 0;
        sample.events += version % threshold;
      }
    }
    const all = sample.aggregates < ESTIMATE_SAMPLE ? sample.aggregates : await this.countOf(type, ids);
    const scale = (n: number): number => Math.round((n * all) / Math.max(1, sample.aggregates));
    return {
      aggregates: all,
      snapshots: scale(sample.snapshots),
      events: scale(sample.events),
      atLeast: ids === null && all >= ESTIMATE_COUNT,
    };
  }

  private countOf(type: string, ids: Ids): number | Promise<number> {
    return ids === null ? this.count(type, ESTIMATE_COUNT) : new Set(ids).size;
  }

  /** Every version of the aggregates, oldest first within each. */
  async *history(
    type: string,
    ids: Ids,
    signal?: AbortSignal,
    counts?: ReadCounts,
  ): AsyncGenerator<HistoryRow[]> {
    const limit = this.position;
    for await (const head of this.heads(type, ids)) {
      if (counts !== undefined) counts.aggregates++;
      let rows: HistoryRow[] = [];
      let state: PlainState = { ...head, version: 0, state: {} };
      let held: HistoryRow | null = null;
      for await (const event of this.repository.scanEvents(head, 1, head.version)) {
        signal?.throwIfAborted();
        if (event.position > limit) break;
        if (counts !== undefined) counts.events++;
        state = foldEvent(state, event);
        if (held !== null) rows.push({ ...held, validTo: BigInt(event.recordedAt) });
        held = {
          ...toStateRow(state),
          validFrom: BigInt(event.recordedAt),
          validTo: null,
          eventType: event.eventType,
        };
        if (rows.length >= BATCH) {
          yield rows;
          rows = [];
        }
      }
      if (held !== null) rows.push(held);
      if (rows.length > 0) yield rows;
    }
  }

  /** The position of the last event recorded at or before `timestamp` (microseconds since 1970); 0 if none. */
  async positionAt(timestamp: bigint): Promise<number> {
    let low = 0;
    let high = this.position;
    if (high === 0 || BigInt(this.loop.state.progress.recordedAt) <= timestamp) return high;
    while (low < high) {
      const middle = Math.floor((low + high + 1) / 2);
      const entry = await this.repository.positions.at(middle);
      if (entry === null) throw new DatabaseError(SqlState.dataCorrupted, `position ${middle} is missing`);
      if (BigInt(entry.recordedAt) <= timestamp) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  private async positionLimit(asOf: AsOf | null): Promise<number> {
    if (asOf?.kind === 'timestamp') return this.positionAt(asOf.timestamp);
    if (asOf?.kind === 'position') return Math.min(this.position, Number(asOf.position));
    return this.position;
  }

  private async *headBatches(type: string, ids: Ids): AsyncGenerator<Head[]> {
    const number = this.catalogue.typeNumber(type);
    if (number === null) return;
    if (ids === null) {
      yield* this.repository.scans.heads(typePrefix(number));
      return;
    }
    let batch: Head[] = [];
    for (const id of new Set(ids)) {
      const head = await this.loop.head(type, id);
      if (head !== null) batch.push(head);
      if (batch.length < BATCH) continue;
      yield batch;
      batch = [];
    }
    if (batch.length > 0) yield batch;
  }

  private async *heads(type: string, ids: Ids): AsyncGenerator<Head> {
    for await (const heads of this.headBatches(type, ids)) yield* heads;
  }
}

/** Reading all events between is cheaper than looking up each aggregate's, if enough of them have to look back. */
function isWorthScanning(heads: readonly Head[], limit: number): boolean {
  const changed = heads.filter(
    ({ position, version }) => position > limit && version <= SCANNED_VERSIONS_MAX,
  );
  const between = heads.reduce((sum, { version }) => sum + version, 0);
  return between <= changed.length * SCANNED_VERSIONS_MAX;
}
