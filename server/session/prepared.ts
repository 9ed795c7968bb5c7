import { DatabaseError, SqlState } from '../../engine/errors.js';
import type { Schema } from '../../engine/types.js';
import type { PositionMap } from './errors.js';
import type { Statement } from '../../sql/statement.js';
import type { Format } from '../protocol/bytes.js';
import type { PlanNotes } from '../statements/explain/annotate.js';
import type { Result, Suspended } from '../statements/result.js';

/** Of one session. */
export const MAX_PREPARED = 10_000;

/** No connection has this number. */
export const NOWHERE = -1;

/** A prepared statement, ours or relayed. */
export interface Prepared {
  readonly name: string;
  readonly statement: Statement;
  /** Type OIDs the client gave in Parse; 0 or absent: inferred. */
  readonly givenTypes: readonly number[];
  /** All parameters' types, once known: of our own statements at Parse, of relayed ones from the read model. */
  types: readonly number[] | null;
  /** Of a relayed statement: the connection it is prepared on. */
  generation: number;
  /** Of a relayed statement: the text the read model was given, and how its positions map back. */
  readonly backend: { readonly sql: string; readonly map: PositionMap } | null;
  /** Of a relayed statement: the schema it was prepared under, which says what its `*` stands for. */
  readonly schema: Schema | null;
}

/**
 * Refuses what returns other columns by now than the client was told, as PostgreSQL does: it may be new to the connection
 * where it is about to run. Fields are only ever added.
 * @throws DatabaseError 0A000
 */
export function requireSameColumns(prepared: Prepared, now: Schema): void {
  if (hasSameColumns(prepared, now)) return;
  throw new DatabaseError(SqlState.featureNotSupported, 'cached plan must not change result type');
}

export function hasSameColumns(prepared: Prepared, now: Schema): boolean {
  const { statement } = prepared;
  return (
    statement.kind !== 'read' ||
    !statement.hasStar ||
    statement.stateReferences.every(({ aggregateType }) => hasSameFields(prepared, aggregateType, now))
  );
}

/** Whether a type has the fields that it had when the statement was prepared. */
export function hasSameFields({ schema: before }: Prepared, type: string, now: Schema): boolean {
  if (before === null || before.revision === now.revision) return true;
  return before.aggregates.get(type)?.fields.length === now.aggregates.get(type)?.fields.length;
}

export interface LocalPortal {
  readonly kind: 'local';
  readonly prepared: Prepared;
  /** Parameters as text. */
  readonly parameters: readonly (string | null)[];
  readonly resultFormats: readonly Format[];
  executed: boolean;
  /** A read that the engine answered at Bind. */
  readonly direct: { readonly description: Buffer; readonly result: Result } | null;
  /** After an Execute with a row limit: the result and how many of its rows are sent. */
  suspended: Suspended | null;
}

export interface RelayedPortal {
  readonly kind: 'relayed';
  readonly prepared: Prepared;
  /** Of an EXPLAIN: what is to be said of its engine relations. */
  readonly notes: PlanNotes | null;
}
