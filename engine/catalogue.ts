/**
 * The aggregate types, themselves aggregates: every schema change is an event of the internal type
 * `eventful.schema`, and for views `eventful.view`, so it has a position, a hash and an actor like any other change.
 */
import { TYPE_NUMBER_MAX } from './codec/keys.js';
import { DatabaseError, SqlState } from './errors.js';
import { fieldOf } from './fold.js';
import { checkRelationNames, checkViewChange, VIEW_TYPE, viewOf } from './schema/views.js';
import type { AggregateDefinition, Fields, NewEvent, Schema, ViewDefinition } from './types.js';

export const SCHEMA_TYPE = 'eventful.schema';
export const TOKEN_TYPE = 'eventful.token';

/** Type numbers below this belong to internal types. */
const FIRST_USER_TYPE = 16;
const INTERNAL: ReadonlyMap<string, number> = new Map([
  [SCHEMA_TYPE, 1],
  [TOKEN_TYPE, 2],
  [VIEW_TYPE, 3],
]);

export function isInternalType(type: string): boolean {
  return INTERNAL.has(type);
}

export function isInternalTypeNumber(number: number): boolean {
  return number < FIRST_USER_TYPE;
}

export function internalTypeNumber(type: string): number {
  const number = INTERNAL.get(type);
  if (number === undefined) throw new Error(`"${type}" is not an internal type`);
  return number;
}

interface Described {
  readonly definition: AggregateDefinition;
  readonly number: number;
}

/** Of the internal types. */
const DEFAULT_THRESHOLD = 25;

/** Immutable: a change gives a new catalogue, so a failed request leaves no trace. */
export class Catalogue {
  readonly schema: Schema;

  private constructor(
    private readonly types: ReadonlyMap<string, Described>,
    views: ReadonlyMap<string, ViewDefinition>,
    revision: number,
  ) {
    const aggregates = new Map([...types].map(([name, { definition }]) => [name, definition]));
    this.schema = { revision, aggregates, views };
  }

  static readonly empty = new Catalogue(new Map(), new Map(), 0);

  /** The number in keys of a type, null if there is no such type. */
  typeNumber(type: string): number | null {
    return INTERNAL.get(type) ?? this.types.get(type)?.number ?? null;
  }

  /** The numbers in keys of all types, ascending. */
  typeNumbers(): number[] {
    const own = [...this.types.values()].map(({ number }) => number);
    return [...INTERNAL.values(), ...own].sort((a, b) => a - b);
  }

  /** The type with a number in keys, null if there is none. */
  typeAt(number: number): string | null {
    for (const [type, described] of this.types) if (described.number === number) return type;
    for (const [type, internal] of INTERNAL) if (internal === number) return type;
    return null;
  }

  /** A snapshot is kept every so many versions; it is part of a type's declaration and never changes. */
  snapshotThreshold(type: string): number {
    return this.schema.aggregates.get(type)?.snapshotThreshold ?? DEFAULT_THRESHOLD;
  }

  /** The catalogue with a type as the state of its `eventful.schema` aggregate describes it. */
  with(type: string, state: Fields): Catalogue {
    const definition = JSON.parse(state['definition'] ?? '') as AggregateDefinition;
    const number = Number(state['number']);
    for (const [name, other] of this.types) {
      if (other.number === number && name !== type)
        throw new DatabaseError(
          SqlState.serializationFailure,
          'another aggregate was created at the same time',
          {
            hint: 'Retry the transaction.',
          },
        );
    }
    if (!this.types.has(type)) checkRelationNames(type, this.schema);
    const types = new Map(this.types);
    types.set(type, { definition, number });
    return new Catalogue(types, this.schema.views, this.schema.revision + 1);
  }

  /**
   * The catalogue with a view as the state of its `eventful.view` aggregate describes it.
   * @throws DatabaseError 42P07, 42P01, 2BP01, 42P17 when the view does not fit what else there is
   */
  withView(event: NewEvent, state: Fields): Catalogue {
    checkViewChange(this.schema, event, viewOf(state));
    return this.withLoadedView(event.aggregateId, state);
  }

  /** The same for a state that was checked when it was committed. */
  withLoadedView(name: string, state: Fields): Catalogue {
    const views = new Map(this.schema.views);
    const definition = viewOf(state);
    if (definition === null) views.delete(name);
    else views.set(name, definition);
    return new Catalogue(this.types, views, this.schema.revision + 1);
  }

  /**
   * The event that makes a new aggregate type.
   * @param also the schema as an open transaction sees it
   * @throws DatabaseError 42P07 when there is one of that name
   */
  createEvent(definition: AggregateDefinition, also: Schema = this.schema): NewEvent {
    if (
      also.aggregates.has(definition.type) ||
      this.types.has(definition.type) ||
      INTERNAL.has(definition.type)
    )
      throw new DatabaseError(SqlState.duplicateTable, `aggregate "${definition.type}" already exists`);
    checkRelationNames(definition.type, also);
    // Aggregates an open transaction has made are not in `types` yet; each still needs a number of its own.
    const uncommitted = [...also.aggregates.keys()].filter((name) => !this.types.has(name)).length;
    const highest =
      Math.max(FIRST_USER_TYPE - 1, ...[...this.types.values()].map((t) => t.number)) + uncommitted;
    if (highest >= TYPE_NUMBER_MAX)
      throw new DatabaseError(
        SqlState.programLimitExceeded,
        `a store is limited to ${TYPE_NUMBER_MAX - FIRST_USER_TYPE + 1} aggregate types`,
        { hint: 'Make what differs a field of one aggregate type, or use another store.' },
      );
    return {
      ...schemaEvent('aggregate_created', definition),
      payload: { definition: JSON.stringify(definition), number: String(highest + 1) },
      expected: { kind: 'version', version: 0n },
    };
  }

  /**
   * A comment says nothing of fields, though its event holds the definition whole: an open aggregate may have met new
   * ones since it was made.
   */
  rebased(event: NewEvent): NewEvent {
    const found = this.types.get(event.aggregateId);
    if (event.eventType !== 'comment_set' || found === undefined) return event;
    const { comment } = JSON.parse(fieldOf(event.payload, 'definition') ?? '') as AggregateDefinition;
    return { ...event, payload: { definition: JSON.stringify({ ...found.definition, comment }) } };
  }

  /** The event that changes an aggregate type. */
  changeEvent(eventType: string, definition: AggregateDefinition): NewEvent {
    return schemaEvent(eventType, definition);
  }

  /** The definition with text fields an open aggregate has just met. */
  withFields(type: string, fields: readonly string[]): AggregateDefinition {
    const found = this.types.get(type);
    if (found === undefined) throw new Error(`no aggregate ${type}`);
    const added = fields.map((name) => ({ name, type: 'text' }));
    return { ...found.definition, fields: [...found.definition.fields, ...added] };
  }
}

function schemaEvent(eventType: string, definition: AggregateDefinition): NewEvent {
  return {
    aggregateType: SCHEMA_TYPE,
    aggregateId: definition.type,
    eventType,
    payload: { definition: JSON.stringify(definition) },
    metadata: null,
    eventId: null,
    expected: { kind: 'any' },
    ignoreDuplicate: false,
  };
}
