import type { Change } from './codec/records.js';
import { DatabaseError, SqlState } from './errors.js';
import { applyEvent } from './fold.js';
import type { Head, Placed, PlainState, Repository } from './repository.js';
import { RecentMap } from './cache/recent.js';
import type { Fields } from './types.js';

/** What a look back has read, counted as it goes. */
export interface ReadCounts {
  aggregates: number;
  snapshots: number;
  /** Events folded, or handed out. */
  events: number;
  /** States that were still in memory. */
  cached: number;
}

/** Estimated bytes of the states that are kept, in all and of one segment. */
const CACHE_BYTES = 32 * 1024 * 1024;
const SEGMENT_BYTES_MAX = 1024 * 1024;
/** Above this a segment is too long to keep. */
const THRESHOLD_MAX = 256;
/** A state that so many events tell is folded from them each time. */
const FEW_EVENTS = 8;
/** Of such states one in so many is kept with its segment: what is read again and again soon is. */
const READS_PER_KEPT = 16;

/** The states from one snapshot (or from nothing) towards the next: `states[k]` is version `base + k`. */
interface Segment {
  readonly states: PlainState[];
  readonly bytes: number;
}

/**
 * States as they were. Between two snapshots an aggregate's past is a segment of at most `threshold` versions, read in
 * one batch and folded once. Events never change, so a folded segment stays right for ever; those used last are kept.
 */
export class LookBack {
  private readonly segments = new RecentMap<string, Segment>(CACHE_BYTES, ({ bytes }) => bytes);
  private reads = 0;

  /** @param types the snapshot threshold of a type, and how many fields it has by now */
  constructor(
    private readonly repository: Repository,
    private readonly types: {
      readonly threshold: (aggregateType: string) => number;
      readonly fieldCount: (aggregateType: string) => number;
    },
  ) {}

  /** As `atVersion`, if that needs nothing of the store; undefined otherwise. */
  known(latest: Placed, version: number): PlainState | null | undefined {
    const { agg, state } = latest;
    if (version < 1 || version > state.version) return null;
    if (version === state.version) return state;
    const threshold = this.types.threshold(state.type);
    if (threshold > THRESHOLD_MAX) return undefined;
    const base = version - (version % threshold);
    const known = this.segments.get(segmentName(agg, base));
    return (
      known?.states[version - base] ??
      this.fromFew(latest, base, version) ??
      this.fromRecent(latest, base, version, known)?.states[version - base]
    );
  }

  /**
   * From the last few events alone, if they are in memory, and older ones cannot show behind them: because these set
   * every field there is, or because there are none. Nothing is kept, since in a large store the next read is mostly of
   * another aggregate.
   */
  private fromFew({ agg, state }: Placed, base: number, version: number): PlainState | undefined {
    const fieldCount = this.types.fieldCount(state.type);
    const changes: Change[] = [];
    const set = new Set<string>();
    const lowest = Math.max(base + 1, version - FEW_EVENTS + 1);
    this.repository.recentBack(agg, version, lowest, (change) => {
      changes.push(change);
      for (const name of Object.keys(change.fields)) set.add(name);
      return set.size < fieldCount;
    });
    const oldest = changes.at(-1);
    if (oldest === undefined || (set.size < fieldCount && oldest.version > 1)) return undefined;
    if (changes.length > 1 && ++this.reads % READS_PER_KEPT === 0) return undefined;
    return changes.reverse().reduce(foldEvent, stateBefore(state));
  }

  /** Folds on from what is known, or from nothing, if the events are in memory. */
  private fromRecent(
    { agg, state }: Placed,
    base: number,
    version: number,
    known: Segment | undefined,
  ): Segment | null {
    // A segment behind the first begins with a snapshot.
    if (known === undefined && base > 0) return null;
    const changes = this.repository.recentChanges(agg, base + (known?.states.length ?? 1), version);
    if (changes === null) return null;
    const segment = grown(state.type, base, known ?? segmentFrom(stateBefore(state)), changes);
    this.keep(segmentName(agg, base), segment);
    return segment;
  }

  private keep(name: string, segment: Segment): void {
    if (segment.bytes <= SEGMENT_BYTES_MAX) this.segments.set(name, segment);
  }

  /** null when the aggregate had no such version. @throws DatabaseError XX001 when an event is missing */
  async atVersion(head: Head, version: number, counts?: ReadCounts): Promise<PlainState | null> {
    if (version < 1 || version > head.version) return null;
    if (version === head.version) return head;
    const threshold = this.types.threshold(head.type);
    if (threshold > THRESHOLD_MAX) return this.fromNearest(head, version, counts);
    const base = version - (version % threshold);
    const known = this.segments.get(segmentName(head.agg, base));
    const cached = known?.states[version - base];
    if (cached !== undefined) {
      if (counts !== undefined) counts.cached++;
      return cached;
    }
    const segment = await this.extend(head, base, version, known, counts);
    return segment?.states[version - base] ?? this.fromNearest(head, version, counts);
  }

  /** The last version at or before a position; null when there was none yet. */
  async atPosition(head: Head, position: number, counts?: ReadCounts): Promise<PlainState | null> {
    if (head.position <= position) return head;
    const threshold = Math.min(this.types.threshold(head.type), THRESHOLD_MAX);
    // First the segment, by the positions of the events that begin one, then the version in it.
    let low = 0;
    let high = Math.floor((head.version - 1) / threshold);
    while (low < high) {
      const middle = Math.floor((low + high + 1) / 2);
      if ((await this.positionOf(head, middle * threshold)) <= position) low = middle;
      else high = middle - 1;
    }
    let found: PlainState | null = null;
    const last = Math.min(head.version - 1, low * threshold + threshold - 1);
    for (let version = Math.max(1, low * threshold); version <= last; version++) {
      const state = await this.atVersion(head, version, counts);
      if (state === null || state.position > position) break;
      found = state;
    }
    return found;
  }

  /** What `known` lacks up to `version`; null when the snapshot it begins with is not there. */
  private async extend(
    head: Head,
    base: number,
    version: number,
    known: Segment | undefined,
    counts: ReadCounts | undefined,
  ): Promise<Segment | null> {
    const from = base + (known?.states.length ?? 1);
    const wanted = known === undefined && base > 0 ? base : null;
    const { snapshot, changes } = await this.repository.segment(head, wanted, from, version);
    if (wanted !== null && snapshot === null) return null;
    if (counts !== undefined) {
      counts.snapshots += snapshot === null ? 0 : 1;
      counts.events += changes.length;
    }
    const segment = grown(head.type, base, known ?? segmentFrom(firstState(head, base, snapshot)), changes);
    this.keep(segmentName(head.agg, base), segment);
    return segment;
  }

  /** By scanning from whatever snapshot is the nearest. */
  private async fromNearest(
    head: Head,
    version: number,
    counts: ReadCounts | undefined,
  ): Promise<PlainState> {
    const snapshot = await this.repository.snapshotAt(head, version);
    if (counts !== undefined) {
      counts.snapshots += snapshot === null ? 0 : 1;
      counts.events += version - (snapshot?.version ?? 0);
    }
    let state = firstState(head, snapshot?.version ?? 0, snapshot);
    if (state.version < version) {
      for await (const event of this.repository.scanEvents(head, state.version + 1, version))
        state = foldEvent(state, event);
    }
    if (state.version !== version) throw missing(head.type, state.version + 1);
    return state;
  }

  private async positionOf(head: Head, version: number): Promise<number> {
    const position = await this.repository.positionOf(head, version);
    if (position === null) throw missing(head.type, version);
    return position;
  }
}

function segmentFrom(first: PlainState): Segment {
  return { states: [first], bytes: JSON.stringify(first.state).length };
}

/** @throws DatabaseError XX001 when a change is missing */
function grown(type: string, base: number, known: Segment, changes: readonly (Change | null)[]): Segment {
  const states = [...known.states];
  let { bytes } = known;
  for (const change of changes) {
    const before = states.at(-1);
    if (change?.version !== base + states.length || before === undefined)
      throw missing(type, base + states.length);
    states.push(foldEvent(before, change));
    bytes += 200 + 2 * sizeOf(change.fields);
  }
  return { states, bytes };
}

function sizeOf(fields: Fields): number {
  let size = 0;
  for (const name of Object.keys(fields)) size += name.length + (fields[name]?.length ?? 0);
  return size;
}

function segmentName(agg: Buffer, base: number): string {
  return `${base} ${agg.toString('latin1')}`;
}

function missing(type: string, version: number): DatabaseError {
  return new DatabaseError(SqlState.dataCorrupted, 'an event is missing', {
    detail: `aggregate "${type}": version ${version} is not stored.`,
  });
}

function firstState(
  { type, id, createdAt }: PlainState,
  version: number,
  snapshot: { readonly position: number; readonly updatedAt: number; readonly state: Fields } | null,
): PlainState {
  return {
    type,
    id,
    createdAt,
    version,
    position: snapshot?.position ?? 0,
    updatedAt: snapshot?.updatedAt ?? 0,
    archived: false,
    state: snapshot?.state ?? {},
  };
}

/** The state before an aggregate's first event. */
export function stateBefore(state: PlainState): PlainState {
  return firstState(state, 0, null);
}

export function foldEvent(
  { type, id, createdAt, archived, state }: PlainState,
  { version, position, recordedAt, fields }: Change,
): PlainState {
  // Written out: a spread is several times slower.
  return {
    type,
    id,
    createdAt,
    version,
    position,
    updatedAt: recordedAt,
    archived,
    state: applyEvent(state, fields),
  };
}
