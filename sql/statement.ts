import type { ColumnUse } from './columnUse.js';
import type { AggregateDefinition, Expectation, FieldDefinition } from '../engine/types.js';

/** A value in a dialect statement: a literal, or `$n`. Literals are text, as PostgreSQL would print them. */
export type Operand =
  | { readonly kind: 'literal'; readonly value: string | null }
  | { readonly kind: 'parameter'; readonly number: number };

/** Columns of INSERT … EVENTS that are not fields. */
export const RESERVED_COLUMNS = [
  'aggregate_id',
  'event_type',
  'payload',
  'event_id',
  'metadata',
  'expected_version',
] as const;

/** Columns RETURNING may name. */
export const RETURNING_COLUMNS = [
  'aggregate_id',
  'version',
  'position',
  'event_id',
  'event_hash',
  'event_type',
  'actor',
  'recorded_at',
] as const;
export type ReturningColumn = (typeof RETURNING_COLUMNS)[number];

export interface ReturningItem {
  /** The last two, and a field, only of the relations in schema `events`. */
  readonly column: ReturningColumn | 'metadata' | 'expected_version' | FieldDefinition;
  /** The name the client sees. */
  readonly label: string;
}

/** A value of VALUES; `default` leaves the column out of its row. */
export type AppendValue = Operand | { readonly kind: 'default' };

/** Where an append's rows come from: constants and parameters, or any query PostgreSQL can run. */
export type AppendSource =
  | { readonly kind: 'values'; readonly rows: readonly (readonly AppendValue[])[] }
  /** The SQL text of a SELECT or VALUES; `$n` keep their numbers. */
  | { readonly kind: 'query'; readonly read: ReadStatement };

export interface AppendStatement {
  readonly kind: 'append';
  readonly aggregateType: string;
  /** null: each row names its own event type in the column `event_type`. */
  readonly eventType: string | null;
  readonly columns: readonly string[];
  /** The statement has no column list: a row may end before the columns do. */
  readonly rowsMayBeShort: boolean;
  readonly source: AppendSource;
  readonly expected: Expectation | { readonly kind: 'operand'; readonly version: Operand };
  readonly ignoreDuplicate: boolean;
  readonly returning: readonly ReturningItem[];
}

/** COPY aggregate EVENTS [event] (columns) FROM STDIN. */
export interface CopyAppendStatement {
  readonly kind: 'copy';
  readonly aggregateType: string;
  /** null: each row names its own event type in the column `event_type`. */
  readonly eventType: string | null;
  readonly columns: readonly string[];
  readonly format: 'text' | 'csv';
  readonly header: boolean;
  readonly delimiter: string;
  /** What stands for NULL. */
  readonly nullText: string;
  readonly quote: string;
  readonly escape: string;
}

export interface CreateAggregateStatement {
  readonly kind: 'createAggregate';
  readonly definition: AggregateDefinition;
  readonly ifNotExists: boolean;
}

export interface CommentStatement {
  readonly kind: 'comment';
  readonly aggregateType: string;
  readonly comment: string | null;
}

/** CREATE [OR REPLACE] VIEW, CREATE MATERIALIZED VIEW: what the text says, bound to no schema but the aggregates'. */
export interface CreateViewStatement {
  readonly kind: 'createView';
  readonly name: string;
  readonly materialized: boolean;
  readonly orReplace: boolean;
  readonly ifNotExists: boolean;
  /** The names of its columns as far as they are given. */
  readonly columns: readonly string[];
  readonly query: string;
  /** Characters of the client's text before `query`. */
  readonly queryOffset: number;
  /** The aggregate types the query reads, and what must be views. */
  readonly types: readonly string[];
  readonly views: readonly { readonly name: string; readonly position: number }[];
  /** The functions it calls, by name: none may be volatile. */
  readonly functions: readonly string[];
  /** A materialized view is filled at once: not WITH NO DATA. */
  readonly populate: boolean;
}

export interface RefreshViewStatement {
  readonly kind: 'refreshView';
  readonly name: string;
  readonly withData: boolean;
}

export interface DropViewStatement {
  readonly kind: 'dropView';
  readonly names: readonly string[];
  readonly materialized: boolean;
  readonly ifExists: boolean;
  readonly cascade: boolean;
}

export interface CallStatement {
  readonly kind: 'call';
  readonly procedure: string;
  readonly args: readonly Operand[];
  /** For each argument its name where it was given as `name => value`, else null. */
  readonly names: readonly (string | null)[];
}

/** A condition on an engine relation that the engine may apply itself; PostgreSQL still applies the whole WHERE. */
export interface Condition {
  readonly column: 'aggregate_id' | 'version' | 'position' | 'recorded_at' | 'event_type';
  /** `in`: any of the values (also `= ANY`, whose one operand may be an array literal or parameter, see `array`). */
  readonly operator: '=' | 'in' | '<' | '<=' | '>' | '>=';
  readonly values: readonly Operand[];
  /** true: the single operand is a PostgreSQL array (`= ANY($1)`). */
  readonly array: boolean;
}

export type AsOfClause = {
  readonly kind: 'version' | 'timestamp' | 'position';
  readonly operand: Operand;
};

/** A reference, inside a relayed SELECT, to rows only the engine has. */
export interface EngineRelation {
  readonly source:
    | { readonly kind: 'state'; readonly aggregateType: string; readonly asOf: AsOfClause }
    | {
        readonly kind: 'events';
        /** null: eventful.events, all types. */ readonly aggregateType: string | null;
      }
    | { readonly kind: 'history'; readonly aggregateType: string }
    /** A relation of schema `events`: the events of one type with their fields as columns. */
    | { readonly kind: 'event'; readonly aggregateType: string; readonly eventType: string }
    | { readonly kind: 'system'; readonly name: string };
  /** Byte range (UTF-8) of the name and its AS OF clause in the statement's text. */
  readonly start: number;
  readonly end: number;
  /** The name the relation is known by where the statement gives no alias of its own; null if it does. */
  readonly implicitAlias: string | null;
  /** All of them hold together (AND). A parameter's value must be ignored where it does not read as the column's type. */
  readonly conditions: readonly Condition[];
  readonly frame: RelationFrame;
  /** What the statement calls it. */
  readonly alias: string;
  /** Which of its columns can be read; null: all of them. */
  readonly use: ColumnUse | null;
}

/** What a replaced relation needs around it besides its alias. */
export interface RelationFrame {
  /** SQL in front of and behind the subquery, where a bare one cannot stand (TABLE name, COPY name TO). */
  readonly before: string;
  readonly after: string;
  /** Byte ranges of schema qualifiers (`public.` in `public.patient.status`) that must go with the replacement. */
  readonly qualifiers: readonly { readonly start: number; readonly end: number }[];
}

/** A plain reference to current state, replaced only when the transaction has uncommitted appends to show. */
export interface StateReference {
  readonly aggregateType: string;
  readonly start: number;
  readonly end: number;
  readonly implicitAlias: string | null;
  readonly frame: RelationFrame;
  /** What the statement calls it. */
  readonly alias: string;
}

export type ExplainFormat = 'text' | 'json' | 'yaml' | 'xml';

export interface ExplainOptions {
  /** The statement is run, and what it did is told. */
  readonly analyze: boolean;
  /** How long each part took is told. */
  readonly timing: boolean;
  /** How long the whole took is told. */
  readonly summary: boolean;
  readonly format: ExplainFormat;
}

/** EXPLAIN of a statement of the dialect. EXPLAIN of a read is a read. */
export interface ExplainStatement {
  readonly kind: 'explain';
  readonly statement: AppendStatement | CallStatement;
  readonly options: ExplainOptions;
  /** The options besides ANALYZE and FORMAT, as PostgreSQL reads them (`costs off`). */
  readonly flags: readonly string[];
}

/** A read of one aggregate by its id that needs nothing of PostgreSQL but its way of writing values. */
export interface PointRead {
  readonly aggregateType: string;
  readonly id: Operand;
  /** null: all of them, in the table's order. */
  readonly columns: readonly string[] | null;
  readonly asOf: AsOfClause | null;
  /** How many rows are wanted at most, and how many are left out in front; null: not said. */
  readonly limit: Operand | null;
  readonly offset: Operand | null;
}

/** Anything relayed to the read model that returns rows: SELECT, VALUES, DECLARE, FETCH, EXPLAIN, COPY … TO, PREPARE. */
export interface ReadStatement {
  readonly kind: 'read';
  /**
   * `copy` takes no parameters (give `rewriteRead` the rows as a literal); `prepare` holds no engine relations;
   * `fetch` and `execute` run what was declared or prepared before.
   */
  readonly form: 'select' | 'explain' | 'declare' | 'fetch' | 'copy' | 'prepare' | 'execute';
  readonly sql: string;
  /** Characters of the client's text before `sql`: what error positions of the read model must be moved by. */
  readonly offset: number;
  readonly engineRelations: readonly EngineRelation[];
  readonly stateReferences: readonly StateReference[];
  /** A `*` stands for columns somewhere, so what it returns may change with the columns that there are. */
  readonly hasStar: boolean;
  /** Highest `$n` in the text, 0 if none. */
  readonly parameterCount: number;
  /** For EXPLAIN its options; null for every other form. */
  readonly explain: ExplainOptions | null;
  /** Types of parameters that stand only in an AS OF clause, which PostgreSQL never sees: number → type OID. */
  readonly asOfParameterTypes: ReadonlyMap<number, number>;
  /** Set where the engine can answer it alone. */
  readonly point: PointRead | null;
  /** It looks one aggregate up by its id, computes on its columns, and needs nothing of the session it runs in. */
  readonly isLookup: boolean;
}

export interface TransactionStatement {
  readonly kind: 'transaction';
  readonly action: 'begin' | 'commit' | 'rollback' | 'savepoint' | 'release' | 'rollbackTo';
  /** The savepoint's name. */
  readonly name: string | null;
  readonly chain: boolean;
  /** As the client wrote it, to be relayed. */
  readonly sql: string;
  readonly offset: number;
}

/** SET, SHOW, RESET, DISCARD, DEALLOCATE, LISTEN, …: relayed as it is; keeps state in the relay connection. */
export interface SessionStatement {
  readonly kind: 'session';
  readonly tag:
    'set' | 'show' | 'reset' | 'discard' | 'deallocate' | 'listen' | 'unlisten' | 'close' | 'other';
  readonly sql: string;
  readonly offset: number;
  /** The setting's name in lower case, for set, show and reset; null otherwise or for ALL. */
  readonly setting: string | null;
  /** For SET: the new value as text; null for DEFAULT. */
  readonly value: string | null;
  /**
   * For deallocate: the statement's name, null for ALL. For discard: 'all', 'plans', 'temp', 'sequences'. For listen,
   * unlisten and close: the channel's or cursor's name, null for all.
   */
  readonly target: string | null;
  readonly local: boolean;
}

export interface EmptyStatement {
  readonly kind: 'empty';
}

export type Statement =
  | EmptyStatement
  | AppendStatement
  | CopyAppendStatement
  | CreateAggregateStatement
  | CommentStatement
  | CreateViewStatement
  | RefreshViewStatement
  | DropViewStatement
  | CallStatement
  | ExplainStatement
  | ReadStatement
  | TransactionStatement
  | SessionStatement;
