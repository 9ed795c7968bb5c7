/**
 * The past of one aggregate type in PostgreSQL: a row for each version, with the position that made it and the one that
 * replaced it, so that looking back is one range condition. Latest and replaced versions are partitions of their own:
 * replaced ones are stored in the order in which they were replaced, and a BRIN index passes over those that a look
 * back is too late for.
 */
import type pg from 'pg';
import { fieldOf } from '../engine/fold.js';
import type { VersionRow } from '../engine/versions.js';
import type { EventRow, FieldDefinition } from '../engine/types.js';
import { ALL_TYPES, READER } from './bootstrap.js';
import { ByteWriter } from './byteWriter.js';
import { copyIn } from './copyIn.js';
import { typeGroup } from './roles.js';
import { policies } from './schemaMirror.js';
import { quoteIdentifier, quoteLiteral } from './session.js';

export interface HistoryTable {
  readonly type: string;
  /** Part of its name; never used twice. */
  readonly number: number;
  readonly fields: readonly FieldDefinition[];
  /** It holds every version up to this position. */
  readonly through: bigint;
}

const SCHEMA = 'eventful_history';
/** `valid_to_position` of a latest version. */
const NEVER = '9223372036854775807';
const FROM = 'valid_from_position';
const TO = 'valid_to_position';
/** Behind the fields: what look-backs group and filter by is then found soonest in a row. */
const STANDARD = {
  aggregate_id: 'text',
  version: 'bigint',
  created_at: 'timestamp with time zone',
  updated_at: 'timestamp with time zone',
  archived: 'boolean',
} as const;
const STANDARD_NAMES = Object.keys(STANDARD);
const TAB = 9;
/** A row is guessed to have so many bytes. */
const ROW_BYTES = 160;
const LOCK_TIMEOUT = '500ms';

/** Unlogged: a PostgreSQL that died has emptied both the tables and the list of what they hold. */
export const HISTORY_SETUP = `
  CREATE UNLOGGED TABLE IF NOT EXISTS eventful_internal.histories (
    type text PRIMARY KEY, number int NOT NULL, store_id text NOT NULL, through bigint NOT NULL, fields jsonb NOT NULL);`;

const SCHEMA_SETUP = `
  CREATE SCHEMA IF NOT EXISTS ${SCHEMA};
  GRANT USAGE ON SCHEMA ${SCHEMA} TO PUBLIC;
  COMMENT ON SCHEMA ${SCHEMA} IS 'EventfulDB: what AS OF reads, made and dropped by the server as it needs them';`;

export function relation({ number }: Pick<HistoryTable, 'number'>, part = ''): string {
  return `${SCHEMA}.h${number}${part}`;
}

/** The rows that show the state at a position, or at a version. */
export function validAt(position: bigint): string {
  return `${FROM} <= ${position} AND ${TO} > ${position}`;
}

/** False when the fields leave no room for our own columns. */
export function canHold(fields: readonly FieldDefinition[]): boolean {
  return fields.every(({ name }) => name !== FROM && name !== TO);
}

function columnList(fields: readonly FieldDefinition[]): string {
  return [FROM, TO, ...fields.map(({ name }) => quoteIdentifier(name)), ...STANDARD_NAMES].join(', ');
}

export function columnNames({ fields }: HistoryTable): string[] {
  return [...fields.map(({ name }) => name), ...STANDARD_NAMES];
}

/** An empty table for rows in any order. */
export async function createLoading(client: pg.Client, table: HistoryTable): Promise<void> {
  const columns = [
    `${FROM} bigint NOT NULL`,
    `${TO} bigint NOT NULL`,
    ...table.fields.map(({ name, type }) => `${quoteIdentifier(name)} ${type}`),
    ...Object.entries(STANDARD).map(([name, type]) => `${name} ${type} NOT NULL`),
  ];
  const create = `CREATE UNLOGGED TABLE ${relation(table, '_loading')} (${columns.join(', ')})`;
  await client.query(`${SCHEMA_SETUP} ${create}`);
}

export async function load(
  client: pg.Client,
  table: HistoryTable,
  rows: readonly VersionRow[],
): Promise<void> {
  const writer = new ByteWriter(rows.length * ROW_BYTES);
  const value = (text: string | null): void => {
    if (text === null) writer.text('\\N');
    else writer.copyText(text);
    writer.byte(TAB);
  };
  for (const row of rows) {
    writer.text(`${row.position}\t${row.until ?? NEVER}\t`);
    for (const { name } of table.fields) value(fieldOf(row.fields, name));
    value(row.aggregateId);
    writer.text(`${row.version}\t`);
    writer.timestamp(Number(row.createdAt));
    writer.byte(TAB);
    writer.timestamp(Number(row.updatedAt));
    writer.text(row.archived ? '\tt\n' : '\tf\n');
  }
  const list = columnList(table.fields);
  await copyIn(client, `COPY ${relation(table, '_loading')} (${list}) FROM STDIN`, writer.bytes());
}

/** Makes the table of what was loaded, in the right order, and lets readers at it. Inside the caller's transaction. */
export async function publish(client: pg.Client, table: HistoryTable, storeId: string): Promise<void> {
  const [whole, loading] = [relation(table), relation(table, '_loading')];
  const [closed, open] = [relation(table, '_replaced'), relation(table, '_latest')];
  const list = columnList(table.fields);
  await client.query(`
    SET LOCAL work_mem = '64MB';
    CREATE TABLE ${whole} (LIKE ${loading}) PARTITION BY RANGE (${TO});
    CREATE UNLOGGED TABLE ${closed} PARTITION OF ${whole} FOR VALUES FROM (MINVALUE) TO (${NEVER});
    CREATE UNLOGGED TABLE ${open} PARTITION OF ${whole} FOR VALUES FROM (${NEVER}) TO (MAXVALUE);
    INSERT INTO ${closed} (${list}) SELECT ${list} FROM ${loading} WHERE ${TO} < ${NEVER} ORDER BY ${TO};
    INSERT INTO ${open} (${list}) SELECT ${list} FROM ${loading} WHERE ${TO} = ${NEVER} ORDER BY ${FROM};
    DROP TABLE ${loading};
    CREATE INDEX ON ${closed} USING brin (${TO}) WITH (pages_per_range = 16, autosummarize = on);
    CREATE INDEX ON ${open} USING brin (${FROM}) WITH (pages_per_range = 16, autosummarize = on);
    CREATE INDEX ON ${open} (aggregate_id);
    ${security(table)}`);
  await client.query('INSERT INTO eventful_internal.histories VALUES ($1, $2, $3, $4, $5)', [
    table.type,
    table.number,
    storeId,
    String(table.through),
    JSON.stringify(table.fields),
  ]);
}

/** As for the table of current state. */
function security(table: HistoryTable): string {
  const [name, group] = [relation(table), typeGroup(table.type)];
  return `
    GRANT SELECT ON ${name} TO ${READER}, ${ALL_TYPES}, ${group};
    ALTER TABLE ${name} ENABLE ROW LEVEL SECURITY;
    ${policies(name, table.type).join(';')};`;
}

/** Fields the schema has got meanwhile. @throws 55P03 when a reader holds the table for longer than we wait */
export async function addFields(
  client: pg.Client,
  table: HistoryTable,
  fields: readonly FieldDefinition[],
): Promise<void> {
  const columns = fields.map(({ name, type }) => `ADD COLUMN ${quoteIdentifier(name)} ${type}`);
  await client.query(
    `SET LOCAL lock_timeout = '${LOCK_TIMEOUT}'; ALTER TABLE ${relation(table)} ${columns.join(', ')}`,
  );
  await client.query('UPDATE eventful_internal.histories SET fields = $2 WHERE type = $1', [
    table.type,
    JSON.stringify([...table.fields, ...fields]),
  ]);
}

/**
 * Adds the versions that these events made, those behind `table.through` up to `through`. Inside the caller's
 * transaction. The fields an event leaves out come from the version before, which is in the table.
 */
export async function advance(
  client: pg.Client,
  table: HistoryTable,
  events: readonly EventRow[],
  through: bigint,
): Promise<void> {
  const { rows } = await client.query<{ replaced: string }>(advanceStatement(table), [
    JSON.stringify(changes(events)),
    String(through),
    table.type,
  ]);
  const known = new Set(events.map(({ aggregateId }) => aggregateId)).size;
  const created = events.filter(({ version }) => version === 1n).length;
  if (Number(rows[0]?.replaced) !== known - created)
    throw new Error(
      `the history of a type does not fit its events (${rows[0]?.replaced} of ${known - created})`,
    );
}

/** Exact to the microsecond. */
function timestamp(micros: bigint): string {
  const writer = new ByteWriter(32);
  writer.timestamp(Number(micros));
  return writer.bytes().toString();
}

/** Each event with all that changed since the versions in the table. */
function changes(events: readonly EventRow[]): unknown[] {
  const latest = new Map<string, { until: string | null; delta: object; created: string }>();
  return events.map((event) => {
    const before = latest.get(event.aggregateId);
    const updated = timestamp(event.recordedAt);
    const change = {
      id: event.aggregateId,
      version: String(event.version),
      position: String(event.position),
      until: null as string | null,
      first: before === undefined,
      created: before?.created ?? updated,
      updated,
      delta: { ...before?.delta, ...event.payload },
    };
    if (before !== undefined) before.until = change.position;
    latest.set(event.aggregateId, change);
    return change;
  });
}

function advanceStatement(table: HistoryTable): string {
  const list = columnList(table.fields);
  const [open, closed] = [relation(table, '_latest'), relation(table, '_replaced')];
  const old = table.fields.map(({ name }, i) => `, o.${quoteIdentifier(name)} AS f${i}`).join('');
  const kept = table.fields.map((_, i) => `f${i}, `).join('');
  const values = table.fields.map(({ name, type }, i) => {
    const key = quoteLiteral(name);
    const value = type === 'text' ? `e.delta ->> ${key}` : `(e.delta ->> ${key})::${type}`;
    return `CASE WHEN (e.delta -> ${key}) IS NULL THEN o.f${i} ELSE ${value} END, `;
  });
  return `WITH e AS MATERIALIZED (SELECT * FROM json_to_recordset($1::json) AS e (id text, version bigint, position bigint,
      until bigint, first boolean, created timestamptz, updated timestamptz, delta json)),
    o AS (DELETE FROM ${open} AS o USING e WHERE e.first AND o.aggregate_id = e.id
      RETURNING o.${FROM} AS since, e.position AS until, o.aggregate_id AS id, o.version AS version, o.created_at AS created,
        o.updated_at AS updated, o.archived AS archived${old}),
    kept AS (INSERT INTO ${closed} (${list})
      SELECT since, until, ${kept}id, version, created, updated, archived FROM o ORDER BY until),
    added AS (INSERT INTO ${relation(table)} (${list})
      SELECT e.position, coalesce(e.until, ${NEVER}), ${values.join('')}e.id, e.version, coalesce(o.created, e.created),
        e.updated, coalesce(o.archived, false) FROM e LEFT JOIN o ON o.id = e.id ORDER BY e.position),
    covered AS (UPDATE eventful_internal.histories SET through = $2::bigint WHERE type = $3)
    SELECT count(*)::text AS replaced FROM o`;
}

/** Bytes of the rows and their indexes. */
export async function sizeOf(client: pg.Client, table: HistoryTable, loading: boolean): Promise<number> {
  const parts = loading ? ['_loading'] : ['_latest', '_replaced'];
  const sizes = parts.map((part) => `pg_total_relation_size('${relation(table, part)}')`);
  const { rows } = await client.query<{ bytes: string }>(`SELECT (${sizes.join(' + ')})::text AS bytes`);
  return Number(rows[0]?.bytes ?? 0);
}

/** @throws 55P03 when a reader holds the table for longer than we wait */
export async function drop(client: pg.Client, number: number): Promise<void> {
  await client.query('DELETE FROM eventful_internal.histories WHERE number = $1', [number]);
  const names = ['', '_loading'].map((part) => relation({ number }, part));
  await client.query(`SET LOCAL lock_timeout = '${LOCK_TIMEOUT}'; DROP TABLE IF EXISTS ${names.join(', ')}`);
}

/** What is there: the tables that can be used, and the numbers of all. */
export async function stored(
  client: pg.Client,
  storeId: string,
): Promise<{ readonly tables: readonly HistoryTable[]; readonly numbers: readonly number[] }> {
  const { rows } = await client.query<{
    type: string;
    number: number;
    through: string;
    fields: FieldDefinition[];
  }>('SELECT type, number, through, fields FROM eventful_internal.histories WHERE store_id = $1', [storeId]);
  const names = await client.query<{ number: string }>(
    `SELECT DISTINCT substring(relname from '^h(\\d+)') AS number FROM pg_class
     WHERE relnamespace = to_regnamespace('${SCHEMA}') AND relname ~ '^h\\d+(_loading)?$'`,
  );
  return {
    tables: rows.map((row) => ({ ...row, through: BigInt(row.through) })),
    numbers: names.rows.map(({ number }) => Number(number)),
  };
}
