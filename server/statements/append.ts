import type { Appended } from '../../engine/commit/appended.js';
import { DatabaseError, SqlState } from '../../engine/errors.js';
import { fieldOf } from '../../engine/fold.js';
import { requireAggregate } from '../../engine/schema/validate.js';
import type { Expectation, NewEvent, Schema } from '../../engine/types.js';
import type { AppendStatement, Operand, ReturningItem } from '../../sql/statement.js';
import { typeOid } from '../values/types.js';
import { printedText } from '../values/values.js';
import { payloadFields } from './payload.js';
import { timestampText, type Column, type Result } from './result.js';

/** Parameter values as text, by number from 1. */
export type Parameters = (number: number) => string | null;

const COLUMN_TYPES: Readonly<Record<string, string>> = {
  aggregate_id: 'text',
  event_type: 'text',
  payload: 'jsonb',
  event_id: 'uuid',
  metadata: 'jsonb',
  expected_version: 'bigint',
};

const RETURNING_TYPES: Readonly<Record<Exclude<ReturningItem['column'], object>, string>> = {
  aggregate_id: 'text',
  version: 'bigint',
  position: 'bigint',
  event_id: 'uuid',
  event_hash: 'text',
  event_type: 'text',
  actor: 'text',
  recorded_at: 'timestamp with time zone',
  metadata: 'jsonb',
  expected_version: 'bigint',
};

/** The type of each column of the statement, canonical. */
export function columnTypes(statement: AppendStatement, schema: Schema): string[] {
  const definition = requireAggregate(schema, statement.aggregateType);
  return statement.columns.map(
    (column) =>
      COLUMN_TYPES[column] ?? definition.fields.find((field) => field.name === column)?.type ?? 'text',
  );
}

/** Parameter number → type OID, as the columns they stand for say. */
export function appendParameterTypes(statement: AppendStatement, schema: Schema): Map<number, number> {
  const types = new Map<number, number>();
  if (statement.source.kind === 'values') {
    const columns = columnTypes(statement, schema).map(typeOid);
    for (const row of statement.source.rows) {
      row.forEach((operand, i) => {
        if (operand.kind === 'parameter' && !types.has(operand.number))
          types.set(operand.number, columns[i] ?? 25);
      });
    }
  }
  const { expected } = statement;
  if (expected.kind === 'operand' && expected.version.kind === 'parameter')
    types.set(expected.version.number, 20);
  return types;
}

export function operandValue(operand: Operand, parameters: Parameters): string | null {
  return operand.kind === 'literal' ? operand.value : parameters(operand.number);
}

/** A row's values as text, in the order of the columns; undefined leaves the column out. */
type AppendRow = readonly (string | null | undefined)[];

/** The rows of VALUES as text. */
export function valueRows(statement: AppendStatement, parameters: Parameters): AppendRow[] {
  if (statement.source.kind !== 'values') throw new Error('the rows come from a query');
  return statement.source.rows.map((row) =>
    row.map((value) => (value.kind === 'default' ? undefined : operandValue(value, parameters))),
  );
}

function version(text: string | null): bigint {
  if (text === null || !/^\d{1,18}$/.test(text))
    throw new DatabaseError(SqlState.invalidParameterValue, 'an expected version is a number from 0', {
      hint: 'EXPECT VERSION 0 means that the aggregate must not exist yet.',
    });
  return BigInt(text);
}

/** What a row's event is made by: an INSERT … EVENTS, or a COPY, which expects nothing. */
type AppendTarget = Pick<AppendStatement, 'aggregateType' | 'eventType' | 'columns'> &
  Partial<Pick<AppendStatement, 'expected' | 'ignoreDuplicate'>>;

function expectation(statement: AppendTarget, parameters: Parameters): Expectation {
  const expected = statement.expected ?? { kind: 'any' };
  if (expected.kind !== 'operand') return expected;
  return { kind: 'version', version: version(operandValue(expected.version, parameters)) };
}

function uuid(text: string): string {
  const hex = text.replaceAll(/[-{}]/g, '').toLowerCase();
  if (!/^[0-9a-f]{32}$/.test(hex))
    throw new DatabaseError(SqlState.invalidTextRepresentation, 'invalid input syntax for type uuid');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/**
 * The events an INSERT … EVENTS appends.
 * @param rows as long as the columns, or shorter where the rest is left out
 * @throws DatabaseError 23502 for a missing id or event type, 22P02 for malformed JSON or UUID
 */
export function buildEvents(
  statement: AppendTarget,
  rows: readonly AppendRow[],
  parameters: Parameters,
): NewEvent[] {
  const expected = expectation(statement, parameters);
  const { columns } = statement;
  return rows.map((row) => {
    let payload: Record<string, string | null> = {};
    const given: Record<string, string | null> = {};
    columns.forEach((column, i) => {
      const value = row[i];
      if (value === undefined) return;
      if (column === 'payload') payload = { ...payloadFields(value), ...payload };
      else if (Object.hasOwn(COLUMN_TYPES, column)) given[column] = value;
      else payload[column] = value;
    });
    const aggregateId = given['aggregate_id'] ?? null;
    const eventType = statement.eventType ?? given['event_type'] ?? null;
    if (aggregateId === null)
      throw new DatabaseError(SqlState.notNullViolation, 'aggregate_id must not be null');
    if (eventType === null) throw new DatabaseError(SqlState.notNullViolation, 'event_type must not be null');
    const eventId = given['event_id'] ?? null;
    const rowExpectation = given['expected_version'] ?? null;
    return {
      aggregateType: statement.aggregateType,
      aggregateId,
      eventType,
      payload,
      metadata: given['metadata'] ?? null,
      eventId: eventId === null ? null : uuid(eventId),
      expected: rowExpectation === null ? expected : { kind: 'version', version: version(rowExpectation) },
      ignoreDuplicate: statement.ignoreDuplicate ?? false,
    };
  });
}

/** By statement, which is parsed once for all sessions that prepare the same text. */
const returned = new WeakMap<AppendStatement, readonly Column[]>();

export function returningColumns(statement: AppendStatement): readonly Column[] {
  const known = returned.get(statement);
  if (known !== undefined) return known;
  const columns = statement.returning.map(({ column, label }) => ({
    name: label,
    type: typeof column === 'object' ? column.type : RETURNING_TYPES[column],
  }));
  returned.set(statement, columns);
  return columns;
}

/**
 * What an append answers.
 * @param events what was appended, in the order of the rows: these are not told again what was in it
 * @param final false before COMMIT: position, time and hash do not exist yet and are NULL
 */
export function appendResult(
  statement: AppendStatement,
  events: readonly NewEvent[],
  rows: readonly Appended[],
  final: boolean,
): Result {
  const inserted = rows.filter((row) => !row.duplicate).length;
  return {
    columns: returningColumns(statement),
    rows:
      statement.returning.length === 0
        ? []
        : rows.map((row, i) =>
            statement.returning.map(({ column }) => returnedValue(row, events[i], column, final)),
          ),
    tag: `INSERT 0 ${inserted}`,
  };
}

function returnedValue(
  row: Appended,
  event: NewEvent | undefined,
  column: ReturningItem['column'],
  final: boolean,
): string | null {
  if (typeof column === 'object') {
    const value = event === undefined ? null : fieldOf(event.payload, column.name);
    return printedText(value, typeOid(column.type));
  }
  const known = final || row.duplicate;
  switch (column) {
    case 'aggregate_id':
      return row.aggregateId;
    case 'version':
      return row.version.toString();
    case 'event_id':
      return row.eventId;
    case 'event_type':
      return row.eventType;
    case 'actor':
      return row.actor;
    case 'metadata':
      return event?.metadata ?? null;
    case 'expected_version':
      return event?.expected.kind === 'version' ? event.expected.version.toString() : null;
    case 'position':
      return known ? row.position.toString() : null;
    case 'event_hash':
      return known ? row.eventHash : null;
    case 'recorded_at':
      return known ? timestampText(row.recordedAt) : null;
  }
}
