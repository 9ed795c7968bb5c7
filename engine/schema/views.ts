/**
 * Views of the users' own: what is kept of them and what must hold between them. A view is an aggregate of the internal
 * type `eventful.view` under its own name; its state is its definition, none once it was dropped.
 */
import { DatabaseError, SqlState } from '../errors.js';
import type { Fields, NewEvent, Schema, ViewDefinition } from '../types.js';

export const VIEW_TYPE = 'eventful.view';
/** The schema in the read model that they live in. */
export const VIEWS_SCHEMA = 'views';

export const ViewLimits = {
  /** Of a store, materialized ones among them. */
  views: 1000,
  /** Bytes of a query as it is written, and as it is kept with its names qualified. */
  queryBytes: 65_536,
  keptBytes: 1_048_576,
} as const;

/** The definition in a view's state; null once it was dropped. */
export function viewOf(state: Fields): ViewDefinition | null {
  const { definition } = state;
  return definition === undefined || definition === null ? null : (JSON.parse(definition) as ViewDefinition);
}

/** @param statement the query as the user wrote it, for those who read the history */
export function viewDefined(definition: ViewDefinition, statement: string, replaced: boolean): NewEvent {
  if (Buffer.byteLength(definition.query) > ViewLimits.keptBytes)
    throw new DatabaseError(SqlState.programLimitExceeded, 'the definition of the view is too long', {
      detail: `With its names qualified it may have ${ViewLimits.keptBytes} bytes.`,
    });
  const payload = { definition: JSON.stringify(definition), statement };
  return viewEvent(definition.name, replaced ? 'view_replaced' : 'view_created', payload);
}

export function viewDropped(name: string): NewEvent {
  return viewEvent(name, 'view_dropped', { definition: null, statement: null });
}

function viewEvent(name: string, eventType: string, payload: Fields): NewEvent {
  return {
    aggregateType: VIEW_TYPE,
    aggregateId: name,
    eventType,
    payload,
    metadata: null,
    eventId: null,
    expected: { kind: 'any' },
    ignoreDuplicate: false,
  };
}

/** The materialized views that such events make and that are to be filled at once. */
export function viewsToFill(events: readonly NewEvent[]): string[] {
  return events.flatMap((event) => {
    const view = event.aggregateType === VIEW_TYPE ? viewOf(event.payload) : null;
    return view?.kind === 'materialized' && view.populate ? [view.name] : [];
  });
}

/** The views that read one of these views, directly or by way of others, each before those it reads. */
export function dependents(views: ReadonlyMap<string, ViewDefinition>, names: readonly string[]): string[] {
  const found = new Set<string>(names);
  for (let before = -1; before < found.size;) {
    before = found.size;
    for (const view of views.values()) if (view.views.some((name) => found.has(name))) found.add(view.name);
  }
  return readersFirst(
    views,
    [...found].filter((name) => !names.includes(name)),
  );
}

/** The names in an order in which each view stands before those it reads. */
export function readersFirst(views: ReadonlyMap<string, ViewDefinition>, names: readonly string[]): string[] {
  const left = new Set(names);
  const order: string[] = [];
  while (left.size > 0) {
    const isRead = (name: string): boolean =>
      [...left].some((other) => views.get(other)?.views.includes(name));
    const next = [...left].filter((name) => !isRead(name));
    // Nothing reads itself; should it all the same, the rest goes in any order.
    const taken = next.length > 0 ? next : [...left];
    for (const name of taken) left.delete(name);
    order.push(...taken);
  }
  return order;
}

/** Every aggregate type a view reads, directly or by way of other views. */
export function typesRead(
  views: ReadonlyMap<string, ViewDefinition>,
  view: Pick<ViewDefinition, 'types' | 'views'>,
): string[] {
  const types = new Set(view.types);
  const seen = new Set<string>();
  const waiting = [...view.views];
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    const other = seen.has(name) ? undefined : views.get(name);
    seen.add(name);
    for (const type of other?.types ?? []) types.add(type);
    waiting.push(...(other?.views ?? []));
  }
  return [...types].sort();
}

/**
 * Checks a change of a view against everything else in the schema.
 * @param definition null: it is dropped
 * @throws DatabaseError 42P07, 42P01, 2BP01, 42P17, 54000
 */
export function checkViewChange(
  schema: Schema,
  { aggregateId: name, eventType }: Pick<NewEvent, 'aggregateId' | 'eventType'>,
  definition: ViewDefinition | null,
): void {
  const { views } = schema;
  const before = views.get(name);
  if (definition === null) {
    if (before === undefined) throw missing('view', name);
    const [dependent] = dependents(views, [name]);
    if (dependent !== undefined) throw stillNeeded(views, name);
    return;
  }
  if (before !== undefined && eventType === 'view_created')
    throw new DatabaseError(SqlState.duplicateTable, `relation "${name}" already exists`);
  if (before === undefined) {
    checkViewName(schema, name);
    if (views.size >= ViewLimits.views)
      throw new DatabaseError(
        SqlState.programLimitExceeded,
        `a store can have at most ${ViewLimits.views} views`,
      );
  }
  const unknown = definition.views.find((other) => !views.has(other));
  if (unknown !== undefined) throw missing('view', unknown);
  const circular = [name, ...dependents(views, [name])].some((other) => definition.views.includes(other));
  if (circular)
    throw new DatabaseError(SqlState.invalidObjectDefinition, `the view "${name}" would read itself`);
}

/** @throws DatabaseError 42P07 where a relation of an aggregate has the name */
export function checkViewName(schema: Schema, name: string): void {
  for (const suffix of ['', '_events', '_history']) {
    const type = suffix === '' ? name : name.slice(0, -suffix.length);
    if (name.endsWith(suffix) && schema.aggregates.has(type))
      throw new DatabaseError(SqlState.duplicateTable, `relation "${name}" already exists`, {
        detail: `It belongs to the aggregate "${type}".`,
      });
  }
}

/** @throws DatabaseError 42P07 where a view or another aggregate has the name of one of the aggregate's relations */
export function checkRelationNames(type: string, schema: Schema): void {
  for (const suffix of ['_events', '_history']) {
    const other = type.endsWith(suffix) ? type.slice(0, -suffix.length) : type + suffix;
    if (schema.aggregates.has(other))
      throw new DatabaseError(
        SqlState.duplicateTable,
        `aggregate name "${type}" collides with aggregate "${other}"`,
        { detail: 'The relations NAME_events and NAME_history belong to the aggregate NAME.' },
      );
  }
  const taken = [type, `${type}_events`, `${type}_history`].find((name) => schema.views.has(name));
  if (taken !== undefined)
    throw new DatabaseError(SqlState.duplicateTable, `relation "${taken}" already exists`, {
      detail: 'It is a view in schema "views".',
    });
}

export function missing(kind: string, name: string): DatabaseError {
  return new DatabaseError(SqlState.undefinedTable, `${kind} "${name}" does not exist`);
}

function stillNeeded(views: ReadonlyMap<string, ViewDefinition>, name: string): DatabaseError {
  const readers = dependents(views, [name]).reverse();
  return new DatabaseError('2BP01', `cannot drop ${shown(views, name)} because other objects depend on it`, {
    detail: readers.map((reader) => `${shown(views, reader)} depends on ${shown(views, name)}`).join('\n'),
    hint: 'Use DROP ... CASCADE to drop the dependent objects too.',
  });
}

export function shown(views: ReadonlyMap<string, ViewDefinition>, name: string): string {
  return `${views.get(name)?.kind === 'materialized' ? 'materialized view' : 'view'} ${name}`;
}
