/**
 * The words the rooms share: plain data that crosses between engine, sql, readmodel and server. No behaviour here.
 * Versions and positions are bigint; times are microseconds since 1970 (UTC) as bigint.
 */

/** An event's fields or an aggregate's state: field → value as text; null means cleared. */
export type Fields = Readonly<Record<string, string | null>>;

export interface FieldDefinition {
  readonly name: string;
  /** Canonical PostgreSQL type text, e.g. `text`, `numeric(10,2)`, `timestamp with time zone`. */
  readonly type: string;
}

export interface EventTypeDefinition {
  readonly name: string;
  /** null: every field of the aggregate. */
  readonly fields: readonly string[] | null;
}

export interface AggregateDefinition {
  /** The aggregate type's name, e.g. `patient`. */
  readonly type: string;
  readonly fields: readonly FieldDefinition[];
  readonly events: readonly EventTypeDefinition[];
  /** true: a field seen for the first time becomes a text field. */
  readonly open: boolean;
  /** A snapshot is kept every so many versions; AS OF folds at most this many events. */
  readonly snapshotThreshold: number;
  readonly comment: string | null;
}

/** A view of the users' own, in schema `views`. */
export interface ViewDefinition {
  readonly name: string;
  readonly kind: 'view' | 'materialized';
  /** One SELECT with every name qualified and every star written out, so that it means the same for ever. */
  readonly query: string;
  readonly columns: readonly FieldDefinition[];
  /** The aggregate types and the views it reads directly. */
  readonly types: readonly string[];
  readonly views: readonly string[];
  /** A materialized view is filled when it is made; otherwise only REFRESH fills it. */
  readonly populate: boolean;
}

/** All aggregate types and views at one moment. `revision` grows by one with every schema change. */
export interface Schema {
  readonly revision: number;
  readonly aggregates: ReadonlyMap<string, AggregateDefinition>;
  readonly views: ReadonlyMap<string, ViewDefinition>;
}

export type Expectation =
  | { readonly kind: 'any' }
  | { readonly kind: 'exists' }
  /** Version 0 means the aggregate must not exist yet. */
  | { readonly kind: 'version'; readonly version: bigint };

/** One event to append. */
export interface NewEvent {
  readonly aggregateType: string;
  readonly aggregateId: string;
  readonly eventType: string;
  readonly payload: Fields;
  /** A JSON object as text, or null. */
  readonly metadata: string | null;
  /** A UUID in its canonical text form; null lets the engine draw one. */
  readonly eventId: string | null;
  readonly expected: Expectation;
  /** ON CONFLICT (event_id) DO NOTHING: a repeated append answers with its first result instead of 23505. */
  readonly ignoreDuplicate: boolean;
}

/** Who writes: recorded in every event, and what the write limit is counted against. */
export interface Writer {
  /** `identifierType:identifierId` of the token. */
  readonly actor: string;
  readonly tokenId: string | null;
  /** Number of events this token may append in all; null means no limit. */
  readonly writeLimit: bigint | null;
}

/** An event as it was committed. */
export interface EventRow {
  readonly position: bigint;
  readonly aggregateType: string;
  readonly aggregateId: string;
  readonly version: bigint;
  readonly eventType: string;
  readonly payload: Fields;
  readonly metadata: string | null;
  readonly actor: string;
  readonly recordedAt: bigint;
  readonly eventId: string;
  /** Leaf hash, lower-case hex. */
  readonly eventHash: string;
}

/** An aggregate's state at one version. */
export interface StateRow {
  readonly aggregateType: string;
  readonly aggregateId: string;
  readonly version: bigint;
  /** Position of the event that made this version. */
  readonly position: bigint;
  readonly createdAt: bigint;
  readonly updatedAt: bigint;
  readonly archived: boolean;
  readonly fields: Fields;
}

export interface HistoryRow extends StateRow {
  readonly validFrom: bigint;
  /** null for the current version. */
  readonly validTo: bigint | null;
  readonly eventType: string;
}

export type AsOf =
  | { readonly kind: 'version'; readonly version: bigint }
  | { readonly kind: 'position'; readonly position: bigint }
  /** Microseconds since 1970. */
  | { readonly kind: 'timestamp'; readonly timestamp: bigint };

/** An event as far as followers are told of it. */
export type CommittedEvent = Pick<
  EventRow,
  'position' | 'aggregateType' | 'aggregateId' | 'version' | 'eventType'
>;

/** What followers are told about one commit, in commit order, once it is durable and visible. */
export interface CommittedGroup {
  readonly firstPosition: bigint;
  readonly lastPosition: bigint;
  /** The leaf of the store tree at the last position, hex: what came before is the same where it is. */
  readonly leaf: string;
  /** The state of every aggregate the group changed, after the group. */
  readonly states: readonly StateRow[];
  readonly events: readonly CommittedEvent[];
  /** The schema after the group, when the group changed it. */
  readonly schema: Schema | null;
}

/** What a follower such as the projector needs of the engine. */
export interface ProjectionSource {
  readonly storeId: string;
  committedPosition(): bigint;
  schema(): Schema;
  /** Calls the listener once per commit, in order; returns the function that ends it. */
  onCommit(listener: (group: CommittedGroup) => void): () => void;
  /**
   * The current state of every aggregate changed after `position`, in batches, each aggregate at least once.
   * `through` is the position the batches hold up to once all were read.
   */
  changedSince(position: bigint): {
    readonly through: bigint;
    readonly batches: AsyncIterable<readonly StateRow[]>;
  };
  /** The leaf of the store tree at a position, hex; empty where there is none that can be read. */
  leafAt(position: bigint): Promise<string>;
  /** The events behind `after` up to `through`, in order, in batches. */
  eventsBetween(after: bigint, through: bigint): AsyncIterable<readonly CommittedEvent[]>;
  /** The current state of every aggregate of one type, in batches. */
  allStates(aggregateType: string): AsyncIterable<readonly StateRow[]>;
}

/** `append:patient:*`, `read:patient:p-17`, `admin`. A pattern is exact unless it ends in `*`. */
export interface Grant {
  readonly action: 'append' | 'read' | 'admin';
  /** Aggregate type or `*`. Empty for admin. */
  readonly aggregateType: string;
  /** Aggregate id, a prefix followed by `*`, or `*`. Empty for admin. */
  readonly aggregateId: string;
}
