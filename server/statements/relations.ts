/** The rows of relations that only the engine has, as the JSON their rewritten reference expands. */
import { DatabaseError, SqlState } from '../../engine/errors.js';
import type { ReadCounts } from '../../engine/lookBack.js';
import type { EventFilter } from '../../engine/eventReader.js';
import { eventColumns } from '../../engine/schema/eventRelations.js';
import { requireAggregate, requireEventType } from '../../engine/schema/validate.js';
import type { AsOf, EventRow, Schema } from '../../engine/types.js';
import { wantedColumns } from '../../sql/columns.js';
import type { AsOfClause, Condition, EngineRelation } from '../../sql/statement.js';
import type { SessionEngine } from '../ports.js';
import type { Access } from '../session/access.js';
import { parseTextArray } from '../values/arrays.js';
import { operandValue, type Parameters } from './append.js';
import { JsonRows } from './jsonRows.js';
import { eventEncoder, historyEncoder, stateEncoder, typedEventEncoder } from './rowJson.js';
import { systemRows } from './system.js';

export interface RelationContext {
  readonly engine: SessionEngine;
  readonly access: Access;
  readonly schema: Schema;
  readonly parameters: Parameters;
  /** Reads a timestamp as the session's TimeZone and DateStyle do; microseconds since 1970. */
  readonly timestamp: (text: string) => Promise<bigint>;
  readonly signal: AbortSignal;
}

/** What the conditions leave to read. */
export interface Narrowed {
  readonly ids: readonly string[] | null;
  readonly filter: EventFilter;
}

function values(condition: Condition, parameters: Parameters): string[] | null {
  const texts = condition.values.map((operand) => operandValue(operand, parameters));
  if (!condition.array) return texts.filter((text) => text !== null);
  try {
    return parseTextArray(texts[0] ?? '{}').filter((text) => text !== null);
  } catch {
    return null;
  }
}

type Bounds = { -readonly [K in keyof EventFilter]: EventFilter[K] };

function narrowBound(bounds: Bounds, condition: Condition, text: string | undefined): void {
  // A value that is no plain number is PostgreSQL's to judge, not ours to narrow by.
  if (text === undefined || !/^-?\d{1,18}$/.test(text)) return;
  const n = BigInt(text);
  const [from, to] =
    condition.column === 'version'
      ? (['fromVersion', 'toVersion'] as const)
      : (['fromPosition', 'toPosition'] as const);
  const low = { '=': n, '>=': n, '>': n + 1n, '<': null, '<=': null, in: null }[condition.operator];
  const high = { '=': n, '<=': n, '<': n - 1n, '>': null, '>=': null, in: null }[condition.operator];
  const [oldLow, oldHigh] = [bounds[from] ?? null, bounds[to] ?? null];
  if (low !== null) bounds[from] = oldLow !== null && oldLow > low ? oldLow : low;
  if (high !== null) bounds[to] = oldHigh !== null && oldHigh < high ? oldHigh : high;
}

function intersect(a: readonly string[] | null, b: readonly string[]): readonly string[] {
  return a === null ? b : a.filter((item) => b.includes(item));
}

export function narrow(conditions: readonly Condition[], parameters: Parameters): Narrowed {
  let ids: readonly string[] | null = null;
  let eventTypes: readonly string[] | null = null;
  const bounds: Bounds = {};
  for (const condition of conditions) {
    const texts = values(condition, parameters);
    if (texts === null) continue;
    if (condition.operator === '=' || condition.operator === 'in') {
      if (condition.column === 'aggregate_id') ids = intersect(ids, texts);
      if (condition.column === 'event_type') eventTypes = intersect(eventTypes, texts);
    }
    if (condition.column === 'version' || condition.column === 'position')
      narrowBound(bounds, condition, texts[0]);
  }
  return { ids, filter: { ...bounds, aggregateIds: ids, eventTypes } };
}

export async function resolveAsOf(clause: AsOfClause, context: RelationContext): Promise<AsOf> {
  const text = operandValue(clause.operand, context.parameters);
  if (text === null)
    throw new DatabaseError(
      SqlState.invalidParameterValue,
      `AS OF ${clause.kind.toUpperCase()} must not be null`,
    );
  if (clause.kind === 'timestamp') return { kind: 'timestamp', timestamp: await context.timestamp(text) };
  if (!/^\+?\d{1,18}$/.test(text.trim()))
    throw new DatabaseError(
      SqlState.invalidParameterValue,
      `AS OF ${clause.kind.toUpperCase()} takes a number from 0`,
    );
  const n = BigInt(text.trim());
  return clause.kind === 'version' ? { kind: 'version', version: n } : { kind: 'position', position: n };
}

/**
 * The rows of one engine relation as a JSON array of objects, restricted to what the token may read; events in the order of
 * their positions, unless aggregates are named.
 * @param counts grows by what is read
 */
export async function relationJson(
  relation: EngineRelation,
  context: RelationContext,
  counts?: ReadCounts & { rows: number },
): Promise<Buffer> {
  const { source, conditions } = relation;
  const { engine, access, signal } = context;
  const { ids, filter } = narrow(conditions, context.parameters);
  const out = new JsonRows();
  const add = (row: string, position?: bigint): void => {
    if (counts !== undefined) counts.rows++;
    out.add(row, position);
  };
  const wanted = wantedColumns(relation, context.schema);
  const allowed = (row: { readonly aggregateType: string; readonly aggregateId: string }): boolean =>
    access.canRead(row.aggregateType, row.aggregateId);
  const addEvents = async (more: EventFilter, encode: (row: EventRow) => string): Promise<void> => {
    const anyOrder = ids === null;
    const noHash = wanted?.has('event_hash') === false;
    for await (const batch of engine.events({ ...filter, ...more, anyOrder, noHash }, signal, counts))
      for (const row of batch) if (allowed(row)) add(encode(row), anyOrder ? row.position : undefined);
  };
  switch (source.kind) {
    case 'state': {
      access.requireReadSome(source.aggregateType);
      const asOf = await resolveAsOf(source.asOf, context);
      const encode = stateEncoder(wanted);
      for await (const batch of engine.states(source.aggregateType, ids, asOf, signal, counts))
        for (const row of batch) if (allowed(row)) add(encode(row));
      break;
    }
    case 'history': {
      access.requireReadSome(source.aggregateType);
      const encode = historyEncoder(wanted);
      for await (const batch of engine.history(source.aggregateType, ids, signal, counts))
        for (const row of batch) if (allowed(row)) add(encode(row));
      break;
    }
    case 'events': {
      const { aggregateType } = source;
      if (aggregateType !== null) access.requireReadSome(aggregateType);
      await addEvents(
        { aggregateType, internal: access.admin && aggregateType === null },
        eventEncoder(wanted),
      );
      break;
    }
    case 'event': {
      const { aggregateType, eventType } = source;
      access.requireReadSome(aggregateType);
      const aggregate = requireAggregate(context.schema, aggregateType);
      const columns = eventColumns({ aggregate, event: requireEventType(aggregate, eventType) });
      const fields = new Set(columns.filter(({ kind }) => kind === 'field').map(({ name }) => name));
      await addEvents({ aggregateType, eventTypes: [eventType] }, typedEventEncoder(wanted, fields));
      break;
    }
    case 'system':
      for (const row of await systemRows(source.name, engine, access)) add(JSON.stringify(row));
  }
  return out.bytes(signal);
}
