import { DatabaseError, SqlState } from '../engine/errors.js';
import { eventColumns } from '../engine/schema/eventRelations.js';
import { requireAggregate, requireEventType } from '../engine/schema/validate.js';
import type { Schema } from '../engine/types.js';
import type { EngineRelation } from './statement.js';

export interface ResultColumn {
  readonly name: string;
  /** Canonical PostgreSQL type text. */
  readonly type: string;
}

const ZONED = 'timestamp with time zone';

const list = (columns: Readonly<Record<string, string>>): readonly ResultColumn[] =>
  Object.entries(columns).map(([name, type]) => ({ name, type }));

const STATE = list({
  aggregate_id: 'text',
  version: 'bigint',
  created_at: ZONED,
  updated_at: ZONED,
  archived: 'boolean',
});
const HISTORY = list({ valid_from: ZONED, valid_to: ZONED, event_type: 'text', position: 'bigint' });
const EVENTS = list({
  position: 'bigint',
  aggregate_type: 'text',
  aggregate_id: 'text',
  version: 'bigint',
  event_type: 'text',
  payload: 'jsonb',
  metadata: 'jsonb',
  actor: 'text',
  recorded_at: ZONED,
  event_id: 'uuid',
  event_hash: 'text',
});

const SYSTEM: ReadonlyMap<string, readonly ResultColumn[]> = new Map([
  [
    'aggregates',
    list({
      aggregate_type: 'text',
      aggregates: 'bigint',
      comment: 'text',
      snapshot_threshold: 'integer',
      open: 'boolean',
      fields: 'integer',
      event_types: 'integer',
    }),
  ],
  ['event_types', list({ aggregate_type: 'text', event_type: 'text', fields: 'text[]' })],
  ['fields', list({ aggregate_type: 'text', field: 'text', type: 'text', ordinal: 'integer' })],
  ['checkpoints', list({ origin: 'text', size: 'bigint', root: 'text', note: 'text' })],
  [
    'tokens',
    list({
      token_id: 'text',
      identifier_type: 'text',
      identifier_id: 'text',
      grants: 'text[]',
      not_before: ZONED,
      expires_at: ZONED,
      write_limit: 'bigint',
      writes_used: 'bigint',
      revoked: 'boolean',
      issued_at: ZONED,
    }),
  ],
]);

/** The columns of an aggregate's state: the server's own, then its fields. */
export function stateColumns(aggregateType: string, schema: Schema): readonly ResultColumn[] {
  const aggregate = schema.aggregates.get(aggregateType);
  if (aggregate === undefined) {
    throw new DatabaseError(SqlState.undefinedTable, `aggregate "${aggregateType}" does not exist`);
  }
  return [...STATE, ...aggregate.fields];
}

/** The names of those that a statement can read; null: all of them. */
export function wantedColumns(
  relation: Pick<EngineRelation, 'source' | 'use'>,
  schema: Schema,
): ReadonlySet<string> | null {
  const { source, use } = relation;
  // There are few rows of these.
  if (use === null || source.kind === 'system') return null;
  const all = relationColumns(relation, schema).map(({ name }) => name);
  const isWhole = [...use.own].some((name) => !all.includes(name));
  return isWhole ? null : new Set(all.filter((name) => use.names.has(name)));
}

/** The columns of a relation whose rows the engine gives, in the order in which `*` shows them. */
export function relationColumns(
  relation: Pick<EngineRelation, 'source'>,
  schema: Schema,
): readonly ResultColumn[] {
  const { source } = relation;
  switch (source.kind) {
    case 'state':
      return stateColumns(source.aggregateType, schema);
    case 'events':
      return EVENTS;
    case 'history':
      return [...stateColumns(source.aggregateType, schema), ...HISTORY];
    case 'event': {
      const aggregate = requireAggregate(schema, source.aggregateType);
      return eventColumns({ aggregate, event: requireEventType(aggregate, source.eventType) });
    }
    case 'system':
      return SYSTEM.get(source.name) ?? [];
  }
}
