import type { AggregateDefinition } from '../engine/types.js';

/**
 * The columns of every relation a client sees, in catalogue order. The mirror creates tables and views from these
 * lists, and whoever answers such a relation describes its rows from them, so that both always agree.
 */
export interface RelationColumn {
  readonly name: string;
  /** Canonical PostgreSQL type text. */
  readonly type: string;
}

export type TypeRelation = 'state' | 'events' | 'history';
export type SystemRelation = 'events' | 'aggregates' | 'event_types' | 'fields' | 'checkpoints' | 'tokens';

const TIMESTAMPTZ = 'timestamp with time zone';

const columns = (list: Readonly<Record<string, string>>): readonly RelationColumn[] =>
  Object.entries(list).map(([name, type]) => ({ name, type }));

const STANDARD = columns({
  aggregate_id: 'text',
  version: 'bigint',
  created_at: TIMESTAMPTZ,
  updated_at: TIMESTAMPTZ,
  archived: 'boolean',
});

const HISTORY_TAIL = columns({
  valid_from: TIMESTAMPTZ,
  valid_to: TIMESTAMPTZ,
  event_type: 'text',
  position: 'bigint',
});

const EVENTS = columns({
  position: 'bigint',
  aggregate_type: 'text',
  aggregate_id: 'text',
  version: 'bigint',
  event_type: 'text',
  payload: 'jsonb',
  metadata: 'jsonb',
  actor: 'text',
  recorded_at: TIMESTAMPTZ,
  event_id: 'uuid',
  event_hash: 'text',
});

/** The relations of schema `eventful`. */
export const SYSTEM_RELATIONS: Readonly<Record<SystemRelation, readonly RelationColumn[]>> = {
  events: EVENTS,
  aggregates: columns({
    aggregate_type: 'text',
    aggregates: 'bigint',
    comment: 'text',
    snapshot_threshold: 'integer',
    open: 'boolean',
    fields: 'integer',
    event_types: 'integer',
  }),
  event_types: columns({ aggregate_type: 'text', event_type: 'text', fields: 'text[]' }),
  fields: columns({ aggregate_type: 'text', field: 'text', type: 'text', ordinal: 'integer' }),
  checkpoints: columns({
    origin: 'text',
    size: 'bigint',
    root: 'text',
    note: 'text',
  }),
  tokens: columns({
    token_id: 'text',
    identifier_type: 'text',
    identifier_id: 'text',
    grants: 'text[]',
    not_before: TIMESTAMPTZ,
    expires_at: TIMESTAMPTZ,
    write_limit: 'bigint',
    writes_used: 'bigint',
    revoked: 'boolean',
    issued_at: TIMESTAMPTZ,
  }),
};

/** What the five standard columns of a state table mean; shown by `\d+` and BI tools. */
export const STANDARD_COMMENTS: Readonly<Record<string, string>> = {
  aggregate_id: 'Identifies the aggregate',
  version: 'Number of events of this aggregate so far',
  created_at: 'When its first event was recorded',
  updated_at: 'When its latest event was recorded',
  archived: 'True while the aggregate is archived and takes no events',
};

/** The columns of `<type>`, `<type>_events` or `<type>_history`. */
export function relationColumns(
  kind: TypeRelation,
  definition: Pick<AggregateDefinition, 'fields'>,
): readonly RelationColumn[] {
  if (kind === 'events') return EVENTS;
  const state = [...STANDARD, ...definition.fields.map(({ name, type }) => ({ name, type }))];
  return kind === 'state' ? state : [...state, ...HISTORY_TAIL];
}

/** The name of a relation of one aggregate type, unquoted. */
export function relationName(kind: TypeRelation, type: string): string {
  return kind === 'state' ? type : `${type}_${kind}`;
}
