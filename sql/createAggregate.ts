import { SqlState } from '../engine/errors.js';
import type { EventTypeDefinition, FieldDefinition } from '../engine/types.js';
import type { Catalogue } from './catalogue.js';
import { RESERVED_FIELD_NAMES, SYSTEM_COLUMN_NAMES } from '../engine/schema/fieldNames.js';
import { parseFieldType } from './fieldTypes.js';
import { nearestHint } from './names.js';
import type { CreateAggregateStatement } from './statement.js';
import type { TokenCursor } from './tokenCursor.js';

const MAXIMUM_FIELDS = 1000;
const MAXIMUM_EVENTS = 1000;
const DEFAULT_SNAPSHOT_THRESHOLD = 25;
const MAXIMUM_SNAPSHOT_THRESHOLD = 100_000;

interface Named {
  readonly name: string;
  readonly start: number;
}

interface Body {
  readonly fields: FieldDefinition[];
  readonly events: { readonly name: Named; readonly fields: readonly Named[] | null }[];
}

/** CREATE AGGREGATE [IF NOT EXISTS] name [( field type, …, EVENT name [(field, …)], … )] [WITH (option = value, …)] */
export function parseCreateAggregate(cursor: TokenCursor, catalogue: Catalogue): CreateAggregateStatement {
  cursor.expect('create', 'aggregate');
  const ifNotExists = cursor.accept('if', 'not', 'exists');
  const name = cursor.aggregateName();
  const body: Body = { fields: [], events: [] };
  if (cursor.accept('(') && !cursor.accept(')')) {
    do parseItem(cursor, body);
    while (cursor.accept(','));
    cursor.expect(')');
  }
  const options = parseOptions(cursor);
  cursor.end();
  checkName(cursor, name, catalogue);
  return {
    kind: 'createAggregate',
    ifNotExists,
    definition: {
      type: name.name,
      fields: body.fields,
      events: body.events.map((event) => checkEvent(cursor, event, body.fields)),
      open: options.open ?? body.fields.length === 0,
      snapshotThreshold: options.snapshotThreshold ?? DEFAULT_SNAPSHOT_THRESHOLD,
      comment: null,
    },
  };
}

/** `EVENT` begins an event unless it is itself a field's name: `event text`, `event,` and `event)`. */
function parseItem(cursor: TokenCursor, body: Body): void {
  if (cursor.at('event') && startsEvent(cursor)) parseEvent(cursor, body);
  else parseField(cursor, body);
}

function startsEvent(cursor: TokenCursor): boolean {
  const next = cursor.tokens[cursor.index + 1];
  return next !== undefined && next.word !== ',' && next.word !== ')';
}

function parseField(cursor: TokenCursor, body: Body): void {
  const { name, start } = cursor.name();
  if (RESERVED_FIELD_NAMES.has(name) || SYSTEM_COLUMN_NAMES.has(name)) {
    const detail = 'The server keeps a column of that name itself.';
    throw cursor.text.error(SqlState.reservedName, `field name "${name}" is reserved`, start, { detail });
  }
  if (body.fields.some((field) => field.name === name)) {
    throw cursor.text.error(SqlState.duplicateColumn, `field "${name}" specified more than once`, start);
  }
  if (body.fields.length >= MAXIMUM_FIELDS) {
    throw cursor.text.error(
      SqlState.programLimitExceeded,
      `aggregates can have at most ${MAXIMUM_FIELDS} fields`,
      start,
    );
  }
  const type = cursor.at(',') || cursor.at(')') ? 'text' : parseFieldType(cursor);
  body.fields.push({ name, type });
}

function parseEvent(cursor: TokenCursor, body: Body): void {
  cursor.expect('event');
  const name = cursor.name();
  if (body.events.some((event) => event.name.name === name.name)) {
    const message = `event "${name.name}" specified more than once`;
    throw cursor.text.error(SqlState.duplicateObject, message, name.start);
  }
  if (body.events.length >= MAXIMUM_EVENTS) {
    const message = `aggregates can have at most ${MAXIMUM_EVENTS} event types`;
    throw cursor.text.error(SqlState.programLimitExceeded, message, name.start);
  }
  body.events.push({ name, fields: cursor.accept('(') ? parseEventFields(cursor) : null });
}

function parseEventFields(cursor: TokenCursor): Named[] {
  const fields: Named[] = [];
  if (cursor.accept(')')) return fields;
  do {
    const field = cursor.name();
    if (fields.some((other) => other.name === field.name)) {
      const message = `field "${field.name}" specified more than once`;
      throw cursor.text.error(SqlState.duplicateColumn, message, field.start);
    }
    fields.push(field);
  } while (cursor.accept(','));
  cursor.expect(')');
  return fields;
}

function checkEvent(
  cursor: TokenCursor,
  event: Body['events'][number],
  fields: readonly FieldDefinition[],
): EventTypeDefinition {
  const known = new Set(fields.map((field) => field.name));
  for (const field of event.fields ?? []) {
    if (known.has(field.name)) continue;
    const message = `field "${field.name}" of event "${event.name.name}" does not exist`;
    const hint = nearestHint(field.name, known, 'field') ?? 'Declare the field in front of the events.';
    throw cursor.text.error(SqlState.undefinedColumn, message, field.start, { hint });
  }
  return { name: event.name.name, fields: event.fields?.map((field) => field.name) ?? null };
}

/** Every aggregate brings two relations of its own, `…_events` and `…_history`, which no other may be named like. */
function checkName(cursor: TokenCursor, { name, start }: Named, catalogue: Catalogue): void {
  for (const suffix of ['_events', '_history']) {
    if (Buffer.byteLength(name + suffix) > 63) {
      const message = `aggregate name "${name}" is too long`;
      const detail = `The relation "${name}${suffix}" that comes with it would have a name longer than 63 bytes.`;
      throw cursor.text.error('42622', message, start, { detail });
    }
    const taken = name.endsWith(suffix) ? name.slice(0, -suffix.length) : name + suffix;
    if (taken !== '' && catalogue.aggregate(taken) !== undefined) {
      const message = `aggregate name "${name}" collides with aggregate "${taken}"`;
      const detail = 'The relations NAME_events and NAME_history belong to the aggregate NAME.';
      throw cursor.text.error(SqlState.duplicateTable, message, start, { detail });
    }
  }
  if (name.startsWith('pg_') || name === '__proto__') {
    const message = `unacceptable aggregate name "${name}"`;
    throw cursor.text.error(SqlState.reservedName, message, start, {
      detail: 'The prefix "pg_" is reserved.',
    });
  }
}

interface Options {
  snapshotThreshold?: number;
  open?: boolean;
}

function parseOptions(cursor: TokenCursor): Options {
  const options: Options = {};
  if (!cursor.accept('with')) return options;
  cursor.expect('(');
  do {
    const { name, start } = cursor.name();
    const repeated = name === 'open' ? options.open : options.snapshotThreshold;
    if (name !== 'snapshot_threshold' && name !== 'open') {
      const hint = 'The options are snapshot_threshold and open.';
      throw cursor.text.error(SqlState.invalidParameterValue, `unrecognized parameter "${name}"`, start, {
        hint,
      });
    }
    if (repeated !== undefined) {
      throw cursor.text.error(SqlState.syntaxError, `parameter "${name}" specified more than once`, start);
    }
    cursor.expect('=');
    if (name === 'open') options.open = parseSwitch(cursor);
    else options.snapshotThreshold = parseThreshold(cursor);
  } while (cursor.accept(','));
  cursor.expect(')');
  return options;
}

function parseThreshold(cursor: TokenCursor): number {
  const start = cursor.token?.start;
  const value = cursor.integer();
  if (value >= 1 && value <= MAXIMUM_SNAPSHOT_THRESHOLD) return value;
  const message = `value ${value} out of bounds for option "snapshot_threshold"`;
  const detail = `Valid values are between "1" and "${MAXIMUM_SNAPSHOT_THRESHOLD}".`;
  throw cursor.text.error(SqlState.invalidParameterValue, message, start, { detail });
}

function parseSwitch(cursor: TokenCursor): boolean {
  const word = cursor.token?.kind === 'string' ? cursor.string().toLowerCase() : cursor.token?.word;
  const previous = cursor.tokens[cursor.index - 1];
  if (previous?.kind !== 'string') cursor.index++;
  if (word === 'on' || word === 'true') return true;
  if (word === 'off' || word === 'false') return false;
  cursor.index--;
  throw cursor.unexpected('The option open is on or off.');
}
