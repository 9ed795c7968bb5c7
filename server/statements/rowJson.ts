/** States, histories and events as JSON objects, with the columns that somebody reads. */
import type { EventRow, Fields, HistoryRow, StateRow } from '../../engine/types.js';
import { timestampText } from './result.js';

/** Names of columns; null: all there are. */
export type Wanted = ReadonlySet<string> | null;

type Part<Row> = readonly [column: string, text: (row: Row) => string];

const quote = (text: string): string => JSON.stringify(text);
const time = (at: bigint): string => `"${timestampText(at)}"`;

const STATE: readonly Part<StateRow>[] = [
  ['aggregate_id', (row) => `"aggregate_id":${quote(row.aggregateId)}`],
  ['version', (row) => `"version":${row.version}`],
  ['created_at', (row) => `"created_at":${time(row.createdAt)}`],
  ['updated_at', (row) => `"updated_at":${time(row.updatedAt)}`],
  ['archived', (row) => `"archived":${row.archived}`],
];
const HISTORY: readonly Part<HistoryRow>[] = [
  ['valid_from', (row) => `"valid_from":${time(row.validFrom)}`],
  ['valid_to', (row) => `"valid_to":${row.validTo === null ? 'null' : time(row.validTo)}`],
  ['event_type', (row) => `"event_type":${quote(row.eventType)}`],
  ['position', (row) => `"position":${row.position}`],
];
/** Of an event, whichever relation shows it. */
const EVENT: readonly Part<EventRow>[] = [
  ['aggregate_id', (row) => `"aggregate_id":${quote(row.aggregateId)}`],
  ['position', (row) => `"position":${row.position}`],
  ['version', (row) => `"version":${row.version}`],
  ['metadata', (row) => `"metadata":${row.metadata ?? 'null'}`],
  ['actor', (row) => `"actor":${quote(row.actor)}`],
  ['recorded_at', (row) => `"recorded_at":${time(row.recordedAt)}`],
  ['event_id', (row) => `"event_id":"${row.eventId}"`],
  ['event_hash', (row) => `"event_hash":"${row.eventHash}"`],
];
/** Of one among events of all types. */
const ANY_EVENT: readonly Part<EventRow>[] = [
  ['aggregate_type', (row) => `"aggregate_type":${quote(row.aggregateType)}`],
  ['event_type', (row) => `"event_type":${quote(row.eventType)}`],
  ['payload', (row) => `"payload":${JSON.stringify(row.payload)}`],
  ...EVENT,
];

function wantedOf<Row>(parts: readonly Part<Row>[], wanted: Wanted): readonly ((row: Row) => string)[] {
  return parts.filter(([column]) => wanted === null || wanted.has(column)).map(([, text]) => text);
}

/** @param shows which fields; absent: those that are wanted */
function fieldTexts(fields: Fields, wanted: Wanted, shows?: ReadonlySet<string>): string[] {
  const texts: string[] = [];
  for (const [name, value] of Object.entries(fields))
    if (value !== null && (wanted === null || wanted.has(name)) && shows?.has(name) !== false)
      texts.push(`${quote(name)}:${quote(value)}`);
  return texts;
}

const object = (texts: readonly string[]): string => `{${texts.join(',')}}`;

/** A state; its fields as text. */
export function stateEncoder(wanted: Wanted): (row: StateRow) => string {
  const parts = wantedOf(STATE, wanted);
  return (row) => object([...parts.map((part) => part(row)), ...fieldTexts(row.fields, wanted)]);
}

export function historyEncoder(wanted: Wanted): (row: HistoryRow) => string {
  const parts = wantedOf([...STATE, ...HISTORY], wanted);
  return (row) => object([...parts.map((part) => part(row)), ...fieldTexts(row.fields, wanted)]);
}

/** An event, its payload as an object. */
export function eventEncoder(wanted: Wanted): (row: EventRow) => string {
  const parts = wantedOf(ANY_EVENT, wanted);
  return (row) => object(parts.map((part) => part(row)));
}

/** An event as its relation in schema `events` shows it: with its fields as columns. */
export function typedEventEncoder(wanted: Wanted, fields: ReadonlySet<string>): (row: EventRow) => string {
  const parts = wantedOf(EVENT, wanted);
  // Past events may have carried fields that the event no longer declares.
  return (row) => object([...parts.map((part) => part(row)), ...fieldTexts(row.payload, wanted, fields)]);
}
