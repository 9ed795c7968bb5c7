/**
 * The relations of schema `events`: one for each event type, under the event's own name. Event types belong to
 * aggregates, so that two may have the same name; an append to the wrong aggregate could never be taken back, therefore
 * a name that could mean two events means neither, and both are found under `<aggregate>_<event>` instead.
 */
import type { AggregateDefinition, EventTypeDefinition, FieldDefinition } from '../types.js';

export const EVENTS_SCHEMA = 'events';

export interface EventRelation {
  readonly name: string;
  readonly aggregate: AggregateDefinition;
  readonly event: EventTypeDefinition;
}

export type EventRelations = ReadonlyMap<string, readonly EventRelation[]>;

/** A longer name would be cut off by PostgreSQL. */
const MAX_NAME_BYTES = 63;

const cache = new WeakMap<ReadonlyMap<string, AggregateDefinition>, EventRelations>();

/** Every name with the events it could mean. A name is a relation where it means exactly one. */
export function eventRelations(aggregates: ReadonlyMap<string, AggregateDefinition>): EventRelations {
  const known = cache.get(aggregates);
  if (known !== undefined) return known;
  const names = claims(aggregates);
  cache.set(aggregates, names);
  return names;
}

function claims(aggregates: ReadonlyMap<string, AggregateDefinition>): EventRelations {
  const names = new Map<string, EventRelation[]>();
  const claim = (name: string, aggregate: AggregateDefinition, event: EventTypeDefinition): void => {
    const relation = { name, aggregate, event };
    const others = names.get(name);
    if (others === undefined) names.set(name, [relation]);
    else others.push(relation);
  };
  for (const aggregate of aggregates.values())
    for (const event of aggregate.events) claim(event.name, aggregate, event);
  for (const shared of [...names.values()].filter((events) => events.length > 1)) {
    for (const { aggregate, event } of shared) {
      const name = `${aggregate.type}_${event.name}`;
      if (Buffer.byteLength(name) <= MAX_NAME_BYTES) claim(name, aggregate, event);
    }
  }
  return names;
}

export interface EventColumn {
  readonly name: string;
  /** Canonical PostgreSQL type text. */
  readonly type: string;
  /** `id` must be given, `field` and `option` may be, `server` is set by the server. */
  readonly kind: 'id' | 'field' | 'option' | 'server';
}

const ID: EventColumn = { name: 'aggregate_id', type: 'text', kind: 'id' };
const OPTIONS: readonly EventColumn[] = [
  { name: 'event_id', type: 'uuid', kind: 'option' },
  { name: 'metadata', type: 'jsonb', kind: 'option' },
  { name: 'expected_version', type: 'bigint', kind: 'option' },
];
const SERVER: readonly EventColumn[] = [
  { name: 'version', type: 'bigint', kind: 'server' },
  { name: 'position', type: 'bigint', kind: 'server' },
  { name: 'recorded_at', type: 'timestamp with time zone', kind: 'server' },
  { name: 'actor', type: 'text', kind: 'server' },
  { name: 'event_hash', type: 'text', kind: 'server' },
];

/** The columns of an event's relation, in the order in which `*` and a column list left out have them. */
export function eventColumns({
  aggregate,
  event,
}: Pick<EventRelation, 'aggregate' | 'event'>): readonly EventColumn[] {
  const fields = eventFields(aggregate, event);
  const names = new Set(fields.map(({ name }) => name));
  const columns = fields.map(({ name, type }): EventColumn => ({ name, type, kind: 'field' }));
  // A field may have the name of a column that is only ever read; the field is what the event carries.
  return [ID, ...columns, ...OPTIONS, ...SERVER.filter(({ name }) => !names.has(name))];
}

function eventFields(aggregate: AggregateDefinition, event: EventTypeDefinition): readonly FieldDefinition[] {
  const { fields } = event;
  // Any event of an open aggregate may carry any field.
  if (fields === null || aggregate.open) return aggregate.fields;
  return fields.flatMap((name) => aggregate.fields.find((field) => field.name === name) ?? []);
}
