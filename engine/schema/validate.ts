import { DatabaseError, SqlState } from '../errors.js';
import type { AggregateDefinition, EventTypeDefinition, NewEvent, Schema } from '../types.js';
import { RESERVED_FIELD_NAMES, SYSTEM_COLUMN_NAMES } from './fieldNames.js';
import { checkValue } from './fieldTypes.js';
import { nearestHint } from './nearest.js';

/** Limits on what one event may carry. */
export const Limits = {
  aggregateIdBytes: 1024,
  payloadBytes: 64 * 1024 * 1024,
  metadataBytes: 1024 * 1024,
  fieldNameBytes: 63,
  fieldsPerAggregate: 1000,
} as const;

/** @throws DatabaseError 42P01 with the nearest name */
export function requireAggregate(schema: Schema, type: string): AggregateDefinition {
  const definition = schema.aggregates.get(type);
  if (definition === undefined) {
    throw new DatabaseError(
      SqlState.undefinedTable,
      `aggregate "${type}" does not exist`,
      nearestHint(type, schema.aggregates.keys(), 'aggregate'),
    );
  }
  return definition;
}

/** @throws DatabaseError 42704 with the nearest name */
export function requireEventType(definition: AggregateDefinition, name: string): EventTypeDefinition {
  const found = definition.events.find((event) => event.name === name);
  if (found === undefined) {
    throw new DatabaseError(
      SqlState.undefinedObject,
      `event "${name}" of aggregate "${definition.type}" does not exist`,
      nearestHint(
        name,
        definition.events.map((event) => event.name),
        'event',
      ),
    );
  }
  return found;
}

/** Field → type, of the fields an event of this type may carry; kept for as long as the definition is. */
type CarriedFields = ReadonlyMap<string, string>;
const carried = new WeakMap<EventTypeDefinition, WeakMap<AggregateDefinition, CarriedFields>>();

function carriedFields(definition: AggregateDefinition, eventType: EventTypeDefinition): CarriedFields {
  let ofType = carried.get(eventType);
  if (ofType === undefined) carried.set(eventType, (ofType = new WeakMap()));
  let fields = ofType.get(definition);
  if (fields === undefined) {
    const list = eventType.fields;
    // An open aggregate learns its fields from its events: a list says nothing of those it has met since.
    const some = list === null || definition.open ? null : new Set(list);
    const allowed = definition.fields.filter(({ name }) => some === null || some.has(name));
    ofType.set(definition, (fields = new Map(allowed.map(({ name, type }) => [name, type]))));
  }
  return fields;
}

/** For a field that is not carried: an error, except where the aggregate learns it. */
function requireOpen(definition: AggregateDefinition, eventType: EventTypeDefinition, field: string): void {
  if (definition.open) return;
  if (definition.fields.some((declared) => declared.name === field)) {
    throw new DatabaseError(
      SqlState.undefinedColumn,
      `event "${eventType.name}" does not carry the field "${field}"`,
      { detail: `It carries ${(eventType.fields ?? []).map((f) => `"${f}"`).join(', ')}.` },
    );
  }
  throw new DatabaseError(
    SqlState.undefinedColumn,
    `field "${field}" of aggregate "${definition.type}" does not exist`,
    nearestHint(
      field,
      definition.fields.map((f) => f.name),
      'field',
    ),
  );
}

function checkText(value: string, what: string): void {
  if (value.includes('\0'))
    throw new DatabaseError(SqlState.characterNotInRepertoire, `${what} must not contain a zero byte`);
  if (!value.isWellFormed())
    throw new DatabaseError(SqlState.characterNotInRepertoire, `${what} is not well-formed Unicode`);
}

/** As `checkValue`, and says where the value stands. */
function checkField(aggregateId: string, field: string, type: string, value: string): void {
  try {
    checkValue(type, value);
  } catch (error) {
    throw error instanceof DatabaseError ? error.located(`Field "${field}" of "${aggregateId}".`) : error;
  }
}

function checkMetadata(metadata: string): void {
  if (Buffer.byteLength(metadata) > Limits.metadataBytes)
    throw new DatabaseError(
      SqlState.programLimitExceeded,
      `metadata is limited to ${Limits.metadataBytes} bytes`,
    );
  checkValue('jsonb', metadata);
  const value: unknown = JSON.parse(metadata);
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw new DatabaseError(SqlState.invalidTextRepresentation, 'metadata must be a JSON object');
}

function checkId(id: string): void {
  if (id === '') throw new DatabaseError(SqlState.invalidParameterValue, 'aggregate_id must not be empty');
  if (Buffer.byteLength(id) > Limits.aggregateIdBytes)
    throw new DatabaseError(
      SqlState.programLimitExceeded,
      `aggregate_id is limited to ${Limits.aggregateIdBytes} bytes`,
    );
  checkText(id, 'aggregate_id');
}

/**
 * Checks an event against the schema.
 * @returns the fields an open aggregate has not seen before
 * @throws DatabaseError 42P01, 42704, 42703, 22P02 (or the type's own), 54000
 */
export function validateEvent(schema: Schema, event: NewEvent): readonly string[] {
  const definition = requireAggregate(schema, event.aggregateType);
  const eventType = requireEventType(definition, event.eventType);
  checkId(event.aggregateId);
  if (event.metadata !== null) checkMetadata(event.metadata);
  const unknown: string[] = [];
  const types = carriedFields(definition, eventType);
  const { payload } = event;
  for (const field in payload) {
    const value = payload[field] ?? null;
    const type = types.get(field);
    if (type === undefined) {
      requireOpen(definition, eventType, field);
      checkFieldName(field);
      unknown.push(field);
    }
    if (value === null) continue;
    if (value.includes('\0') || !value.isWellFormed()) checkText(value, `field "${field}"`);
    if (type !== undefined && type !== 'text') checkField(event.aggregateId, field, type, value);
  }
  if (definition.fields.length + unknown.length > Limits.fieldsPerAggregate)
    throw new DatabaseError(
      SqlState.programLimitExceeded,
      `an aggregate is limited to ${Limits.fieldsPerAggregate} fields`,
    );
  return unknown;
}

function checkFieldName(name: string): void {
  if (RESERVED_FIELD_NAMES.has(name) || SYSTEM_COLUMN_NAMES.has(name))
    throw new DatabaseError(SqlState.reservedName, `"${name}" cannot be the name of a field: it is reserved`);
  if (name === '' || Buffer.byteLength(name) > Limits.fieldNameBytes || name.includes('\0'))
    throw new DatabaseError(
      SqlState.invalidObjectDefinition,
      `a field's name has 1 to ${Limits.fieldNameBytes} bytes`,
    );
}
