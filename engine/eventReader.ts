/** Events as they were appended: of some aggregates, of a range of positions, or of all there are. */
import { isInternalType, isInternalTypeNumber, type Catalogue } from './catalogue.js';
import { typeNumberOf } from './codec/keys.js';
import type { CommitLoop } from './commit/loop.js';
import { DatabaseError, SqlState } from './errors.js';
import { scanTypeEvents, type EventVisitor } from './eventScan.js';
import type { ReadCounts } from './lookBack.js';
import type { Repository, StoredEvent } from './repository.js';
import { toEventRow, toUnhashedRow } from './rows.js';
import type { EventRow } from './types.js';

/** Rows handed over at a time. */
const BATCH = 256;
/** From so many events on, if they are at least one of so many, all are read instead of looking each one up. */
const SCANNED_EVENTS_MIN = 1000;
const SCANNED_SHARE = 4;

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
  /** They may come in any order: then many are read several times as fast. */
  readonly anyOrder?: boolean;
  /** Nobody looks at their hashes, which are then empty. */
  readonly noHash?: boolean;
}

export class EventReader {
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

  /**
   * Events in position order, unless the filter says that any order will do; with aggregate ids given, in version order
   * per aggregate.
   */
  async *events(filter: EventFilter, signal?: AbortSignal, counts?: ReadCounts): AsyncGenerator<EventRow[]> {
    const ids = filter.aggregateIds ?? null;
    const type = filter.aggregateType ?? null;
    const source =
      ids !== null && type !== null
        ? this.byAggregate(type, ids, filter)
        : this.isWorthScanningAll(filter)
          ? this.byScan(filter, signal)
          : this.byPosition(filter);
    for await (const events of source) {
      signal?.throwIfAborted();
      if (counts !== undefined) counts.events += events.length;
      const rows = events
        .filter((event) => matches(event, filter))
        .map(filter.noHash === true ? toUnhashedRow : toEventRow);
      if (rows.length > 0) yield rows;
    }
  }

  private async *byAggregate(
    type: string,
    ids: readonly string[],
    filter: EventFilter,
  ): AsyncGenerator<StoredEvent[]> {
    const from = Math.max(1, Number(filter.fromVersion ?? 1n));
    for (const id of new Set(ids)) {
      const head = await this.loop.head(type, id);
      if (head === null) continue;
      const to = Math.min(head.version, Number(filter.toVersion ?? BigInt(head.version)));
      if (from > to) continue;
      let batch: StoredEvent[] = [];
      for await (const event of this.repository.scanEvents(head, from, to)) {
        batch.push(event);
        if (batch.length >= BATCH) {
          yield batch;
          batch = [];
        }
      }
      if (batch.length > 0) yield batch;
    }
  }

  /** Most of what there is, or many: then reading all of the type is cheaper than looking up each one. */
  private isWorthScanningAll(filter: EventFilter): boolean {
    if (filter.anyOrder !== true) return false;
    const [from, to] = this.span(filter);
    const wanted = to - from + 1;
    return wanted >= SCANNED_EVENTS_MIN && wanted * SCANNED_SHARE >= this.position;
  }

  /** The first and the last position that are wanted. */
  private span({ fromPosition, toPosition }: EventFilter): [from: number, to: number] {
    const from = Math.max(1, Number(fromPosition ?? 1n));
    return [from, Math.min(this.position, Number(toPosition ?? BigInt(this.position)))];
  }

  private async *byScan(filter: EventFilter, signal?: AbortSignal): AsyncGenerator<StoredEvent[]> {
    const { catalogue } = this;
    const own = filter.aggregateType ?? null;
    const numbers = own === null ? catalogue.typeNumbers() : [catalogue.typeNumber(own)];
    const [, to] = this.span(filter);
    for (const number of numbers) {
      if (number === null || (isInternalTypeNumber(number) && filter.internal !== true)) continue;
      yield* scanTypeEvents(this.repository, number, to, GATHERED, signal);
    }
  }

  private async *byPosition(filter: EventFilter): AsyncGenerator<StoredEvent[]> {
    const type = filter.aggregateType ?? null;
    const number = type === null ? null : this.catalogue.typeNumber(type);
    if (type !== null && number === null) return;
    const [from, to] = this.span(filter);
    if (from > to) return;
    let places: { agg: Buffer; version: number }[] = [];
    for await (const entry of this.repository.positions.scan(from, to)) {
      if (number !== null && typeNumberOf(entry.agg) !== number) continue;
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

/** Events as they come. */
const GATHERED: EventVisitor<StoredEvent> = { batch: BATCH, add: (event, rows) => void rows.push(event) };

function matches(event: StoredEvent, filter: EventFilter): boolean {
  if (filter.internal !== true && isInternalType(event.type)) return false;
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
