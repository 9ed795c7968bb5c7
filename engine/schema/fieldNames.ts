/** Names no field can have: columns the server itself keeps, and words of the dialect. */
export const RESERVED_FIELD_NAMES: ReadonlySet<string> = new Set([
  'aggregate_id',
  'event_type',
  'payload',
  'event_id',
  'metadata',
  'expected_version',
  'version',
  'created_at',
  'updated_at',
  'archived',
  'position',
  'valid_from',
  'valid_to',
  'recorded_at',
  'actor',
  // Fields are keys of plain objects; this one would change the object instead.
  '__proto__',
]);

/** Columns PostgreSQL gives every table; a read-model table could not be created with them. */
export const SYSTEM_COLUMN_NAMES: ReadonlySet<string> = new Set([
  'ctid',
  'xmin',
  'cmin',
  'xmax',
  'cmax',
  'tableoid',
]);
