import type { AggregateDefinition, Schema } from '../engine/types.js';
import { SqlState } from '../engine/errors.js';
import { eventRelations, type EventRelation } from '../engine/schema/eventRelations.js';
import { nearestHint } from './names.js';
import type { SqlText } from './text.js';

/** What the parser must know of the schema. */
export interface Catalogue {
  aggregate(type: string): AggregateDefinition | undefined;
  aggregateTypes(): Iterable<string>;
  /** The events that a name of schema `events` could mean: a relation where it is exactly one. */
  eventRelations(name: string): readonly EventRelation[];
  eventRelationNames(): Iterable<string>;
}

export function catalogueOf(schema: Schema): Catalogue {
  return {
    aggregate: (type) => schema.aggregates.get(type),
    aggregateTypes: () => schema.aggregates.keys(),
    eventRelations: (name) => eventRelations(schema.aggregates).get(name) ?? [],
    eventRelationNames: () => eventRelations(schema.aggregates).keys(),
  };
}

/** A catalogue that also sees the aggregates created earlier in the same text. */
export class OverlayCatalogue implements Catalogue {
  readonly #created = new Map<string, AggregateDefinition>();

  constructor(readonly base: Catalogue) {}

  add(definition: AggregateDefinition): void {
    if (this.aggregate(definition.type) === undefined) this.#created.set(definition.type, definition);
  }

  aggregate(type: string): AggregateDefinition | undefined {
    return this.base.aggregate(type) ?? this.#created.get(type);
  }

  *aggregateTypes(): Iterable<string> {
    yield* this.base.aggregateTypes();
    yield* this.#created.keys();
  }

  eventRelations(name: string): readonly EventRelation[] {
    return this.#created.size === 0 ? this.base.eventRelations(name) : (this.#relations().get(name) ?? []);
  }

  eventRelationNames(): Iterable<string> {
    return this.#created.size === 0 ? this.base.eventRelationNames() : this.#relations().keys();
  }

  #relations(): ReturnType<typeof eventRelations> {
    const aggregates = new Map<string, AggregateDefinition>();
    for (const type of this.aggregateTypes()) {
      const aggregate = this.aggregate(type);
      if (aggregate !== undefined) aggregates.set(type, aggregate);
    }
    return eventRelations(aggregates);
  }
}

/** The aggregate of that name, or 42P01 with the nearest name. */
export function requireAggregate(
  text: SqlText,
  catalogue: Catalogue,
  type: string,
  byte: number | undefined,
): AggregateDefinition {
  const aggregate = catalogue.aggregate(type);
  if (aggregate !== undefined) return aggregate;
  const hint = nearestHint(type, catalogue.aggregateTypes(), 'aggregate') ?? 'CREATE AGGREGATE makes one.';
  throw text.error(SqlState.undefinedTable, `aggregate "${type}" does not exist`, byte, { hint });
}
