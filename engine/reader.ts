/** Looking back: states at a version, position or time, histories and events, each from the nearest snapshot. */
import type { Catalogue } from './catalogue.js';
import { SCHEMA_TYPE, TOKEN_TYPE } from './catalogue.js';
import { Prefix, prefixRange, typePrefix, versionKey } from './codec/keys.js';
import { decodeFields } from './codec/records.js';
import type { CommitLoop } from './commit/loop.js';
import { DatabaseError, SqlState } from './errors.js';
import { applyEvent } from './fold.js';
import type { Head, Repository, StoredEvent } from './repository.js';
import { toEventRow, toStateRow } from './rows.js';
import type { AsOf, EventRow, HistoryRow, StateRow } from './types.js';

/** Rows handed over at a time. */
const BATCH = 256;

/** What to read of the event log; null or absent means no restriction. Bounds are inclusive. */
export interface EventFilter {
  readonly aggregateType?: string | null;
  readonly aggregateIds?: readonly string[] | null;
  readonly eventTypes?: readonly string[] | null;
  readonly fromPosition?: bigint | null;
  readonly toPosition?: bigint | null;
  readonly fromVersion?: bigint | null;
  readonly toVersion?: bigint | null;
  /** Schema and token events too. */
  readonly internal?: boolean;
}

/** Which aggregates of a type; null means all. */
export type Ids = readonly string[] | null;

type PlainState = Omit<Head, 'agg' | 'key' | 'frontier'>;

export class Reader {
  constructor(
    private readonly repository: Repository,
    private readonly loop: CommitLoop,
  ) {}

  private get catalogue(): Catalogue {
    return this.loop.state.catalogue;
  }

  private get position(): number {
    return this.loop.state.progress.position;
  }

  /** The current state of one aggregate, null when there is none. */
  async state(type: string, id: string): Promise<StateRow | null> {
    const head = await this.loop.head(type, id);
    return head === null ? null : toStateRow(head);
  }

  /**
   * The states of a type's aggregates, in batches, as one moment shows them.
   * An aggregate that had not reached the moment (or the version) has no row.
   */
  async *states(type: string, ids: Ids, asOf: AsOf | null, signal?: AbortSignal): AsyncGenerator<StateRow[]> {
    const limit = asOf?.kind === 'version' ? null : await this.positionLimit(asOf);
    for await (const heads of batches(this.heads(type, ids), BATCH)) {
      signal?.throwIfAborted();
      // Side by side, so that one's reading overlaps with another's decrypting.
      const states = await Promise.all(
        heads.map((head) =>
          asOf?.kind === 'version'
            ? this.atVersion(head, Number(asOf.version))
            : this.atPosition(head, limit ?? this.position),
        ),
      );
      const rows = states.filter((state) => state !== null).map(toStateRow);
      if (rows.length > 0) yield rows;
    }
  }

  async count(type: string): Promise<number> {
    const number = this.catalogue.typeNumber(type);
    let count = 0;
    if (number !== null) {
      const counted = this.repository.store.scan(prefixRange(Prefix.head, typePrefix(number)));
      for await (const entry of counted) count += entry.key.length > 0 ? 1 : 0;
    }
    return count;
  }

  /** Every version of the aggregates, oldest first within each. */
  async *history(type: string, ids: Ids, signal?: AbortSignal): AsyncGenerator<HistoryRow[]> {
    const limit = this.position;
    for await (const head of this.heads(type, ids)) {
      let rows: HistoryRow[] = [];
      let state: PlainState = { ...head, version: 0, state: {} };
      let held: HistoryRow | null = null;
      for await (const event of this.repository.scanEvents(head.agg, 1, head.version)) {
        signal?.throwIfAborted();
        if (event.position > limit) break;
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

  /** Events in position order; with aggregate ids given, in version order per aggregate. */
  async *events(filter: EventFilter, signal?: AbortSignal): AsyncGenerator<EventRow[]> {
    const ids = filter.aggregateIds ?? null;
    const type = filter.aggregateType ?? null;
    const source =
      ids !== null && type !== null ? this.byAggregate(type, ids, filter) : this.byPosition(filter);
    for await (const events of source) {
      signal?.throwIfAborted();
      const rows = events.filter((event) => matches(event, filter)).map(toEventRow);
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
      const entry = await this.repository.logAt(middle);
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

  private async *heads(type: string, ids: Ids): AsyncGenerator<Head> {
    const number = this.catalogue.typeNumber(type);
    if (number === null) return;
    if (ids === null) {
      yield* this.repository.scanHeads(typePrefix(number));
      return;
    }
    for (const id of new Set(ids)) {
      const head = await this.loop.head(type, id);
      if (head !== null) yield head;
    }
  }

  private async atVersion(head: Head, version: number): Promise<PlainState | null> {
    if (version < 1 || version > head.version) return null;
    if (version === head.version) return head;
    const snapshot = await this.repository.snapshotAt(head.agg, version);
    let state: PlainState = {
      ...head,
      version: snapshot?.version ?? 0,
      position: snapshot?.position ?? 0,
      updatedAt: snapshot?.updatedAt ?? 0,
      archived: false,
      state: snapshot === null ? {} : decodeFields(snapshot.state),
    };
    if (state.version < version) {
      for await (const event of this.repository.scanEvents(head.agg, state.version + 1, version))
        state = foldEvent(state, event);
    }
    if (state.version !== version)
      throw new DatabaseError(SqlState.dataCorrupted, 'an event is missing', {
        detail: `aggregate "${head.type}": version ${state.version + 1} is not stored.`,
      });
    return state;
  }

  private async atPosition(head: Head, position: number): Promise<PlainState | null> {
    if (head.position <= position) return head;
    // The last version at or before the position, by the positions in the events' headers.
    let low = 0;
    let high = head.version - 1;
    while (low < high) {
      const middle = Math.floor((low + high + 1) / 2);
      if ((await this.positionOf(head, middle)) <= position) low = middle;
      else high = middle - 1;
    }
    if (low === 0 || (await this.positionOf(head, low)) > position) return null;
    return this.atVersion(head, low);
  }

  private async positionOf(head: Head, version: number): Promise<number> {
    const key = versionKey(Prefix.event, head.agg, version);
    const value = await this.repository.store.get(key);
    if (value === null)
      throw new DatabaseError(SqlState.dataCorrupted, 'an event is missing', {
        detail: `aggregate "${head.type}": version ${version} is not stored.`,
      });
    return this.repository.eventHeader(key, value).position;
  }

  private async *byAggregate(
    type: string,
    ids: readonly string[],
    filter: EventFilter,
  ): AsyncGenerator<StoredEvent[]> {
    const from = Math.max(1, Number(filter.fromVersion ?? 1n));
    for await (const head of this.heads(type, ids)) {
      const to = Math.min(head.version, Number(filter.toVersion ?? BigInt(head.version)));
      if (from > to) continue;
      let batch: StoredEvent[] = [];
      for await (const event of this.repository.scanEvents(head.agg, from, to)) {
        batch.push(event);
        if (batch.length >= BATCH) {
          yield batch;
          batch = [];
        }
      }
      if (batch.length > 0) yield batch;
    }
  }

  private async *byPosition(filter: EventFilter): AsyncGenerator<StoredEvent[]> {
    const type = filter.aggregateType ?? null;
    const number = type === null ? null : this.catalogue.typeNumber(type);
    if (type !== null && number === null) return;
    const from = Math.max(1, Number(filter.fromPosition ?? 1n));
    const to = Math.min(this.position, Number(filter.toPosition ?? BigInt(this.position)));
    let places: { agg: Buffer; version: number }[] = [];
    for await (const entry of this.repository.scanLog(from, to)) {
      if (number !== null && entry.agg.readUInt32BE(0) !== number) continue;
      places.push(entry);
      if (places.length >= BATCH) {
        yield await this.fetch(places);
        places = [];
      }
    }
    if (places.length > 0) yield await this.fetch(places);
  }

  private async fetch(places: readonly { agg: Buffer; version: number }[]): Promise<StoredEvent[]> {
    const events = await this.repository.eventsAt(places);
    return events.map((event) => {
      if (event === null) throw new DatabaseError(SqlState.dataCorrupted, 'an event of the log is missing');
      return event;
    });
  }
}

function foldEvent(state: PlainState, event: StoredEvent): PlainState {
  return {
    ...state,
    version: event.version,
    position: event.position,
    updatedAt: event.recordedAt,
    state: applyEvent(state.state, decodeFields(event.body.payload)),
  };
}

function matches(event: StoredEvent, filter: EventFilter): boolean {
  if (filter.internal !== true && (event.type === SCHEMA_TYPE || event.type === TOKEN_TYPE)) return false;
  if (filter.eventTypes && !filter.eventTypes.includes(event.eventType)) return false;
  if (filter.aggregateIds && !filter.aggregateIds.includes(event.id)) return false;
  const position = BigInt(event.position);
  const version = BigInt(event.version);
  return (
    position >= (filter.fromPosition ?? position) &&
    position <= (filter.toPosition ?? position) &&
    version >= (filter.fromVersion ?? version) &&
    version <= (filter.toVersion ?? version)
  );
}

async function* batches<T>(source: AsyncIterable<T>, size: number): AsyncGenerator<T[]> {
  let batch: T[] = [];
  for await (const item of source) {
    batch.push(item);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
