import type { Node } from 'libpg-query';
import { SqlState } from '../engine/errors.js';
import type { AggregateDefinition, EventTypeDefinition } from '../engine/types.js';
import { unwrap } from './ast.js';
import { RESERVED_FIELD_NAMES, SYSTEM_COLUMN_NAMES } from '../engine/schema/fieldNames.js';
import { MAXIMUM_NAME_BYTES, nearestHint } from './names.js';
import { RESERVED_COLUMNS } from './statement.js';
import type { SqlText } from './text.js';

/** What the columns of an INSERT … EVENTS are checked against. */
export interface AppendTarget {
  readonly aggregate: AggregateDefinition;
  /** null: each row names its own. */
  readonly event: EventTypeDefinition | null;
  /** Whether EXPECT stands in the statement. */
  readonly expects: boolean;
}

const RESERVED: readonly string[] = RESERVED_COLUMNS;
const SERVER_SET = [
  'version',
  'position',
  'recorded_at',
  'actor',
  'event_hash',
  'created_at',
  'updated_at',
  'archived',
];

/** Checks the column list and returns its names; locations are kept for arity errors. */
export function appendColumns(
  text: SqlText,
  nodes: readonly Node[],
  target: AppendTarget,
): { name: string; location: number }[] {
  const columns: { name: string; location: number }[] = [];
  for (const node of nodes) {
    const column = unwrap(node, 'ResTarget');
    const name = column?.name ?? '';
    const location = column?.location ?? 0;
    if ((column?.indirection?.length ?? 0) > 0) {
      throw text.error(
        SqlState.featureNotSupported,
        'assigning to a part of a field is not supported',
        location,
      );
    }
    if (columns.some((other) => other.name === name)) {
      throw text.error(SqlState.duplicateColumn, `column "${name}" specified more than once`, location);
    }
    if (RESERVED.includes(name)) checkReserved(text, name, location, target);
    else checkField(text, name, location, target);
    columns.push({ name, location });
  }
  checkComplete(text, columns, target);
  return columns;
}

function checkReserved(text: SqlText, name: string, location: number, target: AppendTarget): void {
  if (name === 'event_type' && target.event !== null) {
    const hint = 'Name the event behind EVENTS, or in the column event_type of each row, not both.';
    throw text.error(SqlState.syntaxError, 'the event type is given twice', location, { hint });
  }
  if (name === 'expected_version' && target.expects) {
    const hint = 'Use either EXPECT for the whole statement or the column expected_version for each row.';
    throw text.error(SqlState.syntaxError, 'the expected version is given twice', location, { hint });
  }
}

function checkField(text: SqlText, name: string, location: number, { aggregate, event }: AppendTarget): void {
  if (SERVER_SET.includes(name)) {
    const hint = name === 'version' ? { hint: 'Use EXPECT VERSION n, or the column expected_version.' } : {};
    throw text.error('428C9', `column "${name}" is set by the server`, location, hint);
  }
  if (RESERVED_FIELD_NAMES.has(name) || SYSTEM_COLUMN_NAMES.has(name)) {
    throw text.error(SqlState.reservedName, `field name "${name}" is reserved`, location);
  }
  const known = aggregate.fields.map((field) => field.name);
  if (!known.includes(name)) {
    if (aggregate.open) return checkNewField(text, name, location);
    const hint = nearestHint(name, [...known, ...RESERVED], 'column') ?? listHint('Its fields are', known);
    throw text.error(
      SqlState.undefinedColumn,
      `column "${name}" of relation "${aggregate.type}" does not exist`,
      location,
      { hint },
    );
  }
  const declared = event?.fields ?? null;
  // An open aggregate learns its fields from its events, so that an event's list says nothing about the next one.
  if (declared === null || declared.includes(name) || aggregate.open) return;
  const others = aggregate.events.filter((other) => other.fields === null || other.fields.includes(name));
  throw text.error(
    SqlState.undefinedColumn,
    `event "${event?.name ?? ''}" has no field "${name}"`,
    location,
    {
      detail: listHint(`Event "${event?.name ?? ''}" declares`, declared),
      hint:
        others.length === 0
          ? 'No event of this aggregate declares it.'
          : listHint(
              'Events that have it:',
              others.map((other) => other.name),
            ),
    },
  );
}

function listHint(what: string, names: readonly string[]): string {
  const shown = names.slice(0, 20).join(', ');
  return names.length === 0 ? `${what} none.` : `${what} ${shown}${names.length > 20 ? ', …' : '.'}`;
}

/** A field that an open aggregate sees for the first time becomes a column, so it must be able to be one. */
function checkNewField(text: SqlText, name: string, location: number): void {
  if (Buffer.byteLength(name) > MAXIMUM_NAME_BYTES) {
    throw text.error('42622', `field name "${name}" is longer than ${MAXIMUM_NAME_BYTES} bytes`, location);
  }
}

function checkComplete(
  text: SqlText,
  columns: readonly { name: string; location: number }[],
  target: AppendTarget,
): void {
  const has = (name: string): boolean => columns.some((column) => column.name === name);
  const first = columns[0]?.location;
  if (!has('aggregate_id')) {
    const hint = 'Every event belongs to one aggregate: add the column aggregate_id.';
    throw text.error(SqlState.syntaxError, 'column "aggregate_id" is missing', first, { hint });
  }
  if (target.event === null && !has('event_type')) {
    const example = target.aggregate.events[0]?.name ?? 'event_type';
    const hint = `Write INSERT INTO ${target.aggregate.type} EVENTS ${example} (…), or add the column event_type.`;
    throw text.error(SqlState.syntaxError, 'the event type is missing', first, { hint });
  }
}
