import { createHash } from 'node:crypto';
import type pg from 'pg';
import type { FieldDefinition, StateRow } from '../engine/types.js';
import { copyIn, copyText, timestamp } from './copyIn.js';
import type { Logger } from './logger.js';
import { relationColumns } from './relations.js';
import { quoteIdentifier, sqlstateOf } from './session.js';
import { table } from './schemaMirror.js';

/** States of one type, the latest of each aggregate. */
export interface TypeRows {
  readonly type: string;
  readonly fields: readonly FieldDefinition[];
  readonly rows: readonly StateRow[];
}

export interface Notification {
  readonly channel: string;
  readonly payload: string;
}

/** Statement and parameters that write a batch: rows, cursor and notifications at once, in one round trip. */
export function batchStatement(
  types: readonly TypeRows[],
  position: bigint,
  notifications: readonly Notification[],
): pg.QueryConfig<unknown[]> {
  const values: unknown[] = [];
  const parts = types.map((rows, index) => {
    values.push(jsonRows(rows));
    return `u${index} AS (${upsert(rows, `$${values.length}`)})`;
  });
  values.push(String(position));
  parts.push(`c AS (UPDATE eventful_internal.cursor SET position = $${values.length}::bigint)`);
  let tail = 'SELECT';
  if (notifications.length > 0) {
    values.push(
      notifications.map((n) => n.channel),
      notifications.map((n) => n.payload),
    );
    const [channels, payloads] = [`$${values.length - 1}::text[]`, `$${values.length}::text[]`];
    // A function scan keeps the order of its arrays, so notifications go out in commit order.
    tail = `SELECT count(pg_notify(channel, payload)::text) FROM unnest(${channels}, ${payloads}) AS n (channel, payload)`;
  }
  const text = `WITH ${parts.join(', ')} ${tail}`;
  // Planned once where the same text comes again and again; combinations of types are too many to keep.
  return types.length === 1 ? { name: statementName(text), text, values } : { text, values };
}

function statementName(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}

/** Every value travels as text and is cast here: exactly what the field's input function makes of it. */
function upsert({ type, fields }: TypeRows, parameter: string): string {
  const columns = relationColumns('state', { fields });
  const names = columns.map((column) => quoteIdentifier(column.name));
  const casts = columns.map(({ type: to }, i) => (to === 'text' ? `r.c${i}` : `r.c${i}::${to}`));
  const updates = names.slice(1).map((name) => `${name} = excluded.${name}`);
  return `INSERT INTO ${table(type)} AS t (${names.join(', ')}) SELECT ${casts.join(', ')}
    FROM json_to_recordset(${parameter}::json) AS r (${columns.map((_, i) => `c${i} text`).join(', ')})
    ON CONFLICT (aggregate_id) DO UPDATE SET ${updates.join(', ')} WHERE excluded.version > t.version`;
}

function jsonRows({ fields, rows }: TypeRows): string {
  return JSON.stringify(
    rows.map((row) => {
      const object: Record<string, string | null> = {
        c0: row.aggregateId,
        c1: String(row.version),
        c2: timestamp(row.createdAt),
        c3: timestamp(row.updatedAt),
        c4: row.archived ? 't' : 'f',
      };
      // A missing key is NULL to json_to_recordset as well.
      for (const [index, { name }] of fields.entries()) {
        const value = row.fields[name];
        if (value !== undefined && value !== null) object[`c${5 + index}`] = value;
      }
      return object;
    }),
  );
}

/** Loads rows into a fresh table; those COPY refuses go the slow way. Inside the caller's transaction. */
export async function load(client: pg.Client, rows: TypeRows, logger: Logger): Promise<void> {
  const columns = relationColumns('state', rows).map((column) => quoteIdentifier(column.name));
  const text = `COPY ${table(rows.type)} (${columns.join(', ')}) FROM STDIN`;
  const copied = await attempt(client, () => copyIn(client, text, copyText(rows.rows, rows.fields)));
  if (!copied) await writeIsolating(client, rows, logger);
}

/**
 * Upserts rows of which some cannot be stored: halves them until the bad ones stand alone. Inside the caller's
 * transaction.
 */
export async function writeIsolating(client: pg.Client, batch: TypeRows, logger: Logger): Promise<void> {
  if (batch.rows.length === 0) return;
  const write = (rows: TypeRows): Promise<boolean> =>
    attempt(client, () => client.query(`${upsert(rows, '$1')}`, [jsonRows(rows)]));
  if (await write(batch)) return;
  const [first] = batch.rows;
  if (batch.rows.length > 1) {
    const middle = batch.rows.length >> 1;
    await writeIsolating(client, { ...batch, rows: batch.rows.slice(0, middle) }, logger);
    await writeIsolating(client, { ...batch, rows: batch.rows.slice(middle) }, logger);
  } else if (first !== undefined) {
    const repaired = await withoutBadFields(client, first, batch.fields, logger);
    if (await write({ ...batch, rows: [repaired] })) return;
    logger.error(
      { aggregateType: batch.type, position: String(first.position) },
      'a state cannot be stored at all',
    );
  }
}

async function withoutBadFields(
  client: pg.Client,
  row: StateRow,
  fields: readonly FieldDefinition[],
  logger: Logger,
): Promise<StateRow> {
  const kept: Record<string, string | null> = {};
  for (const { name, type } of fields) {
    const value = row.fields[name] ?? null;
    const fits =
      value === null || (await attempt(client, () => client.query(`SELECT $1::text::${type}`, [value])));
    kept[name] = fits ? value : null;
    if (fits) continue;
    const where = {
      aggregateType: row.aggregateType,
      aggregateId: row.aggregateId,
      version: String(row.version),
    };
    logger.error(
      { ...where, field: name, type },
      'PostgreSQL does not accept the value of a field; the read model shows NULL',
    );
  }
  return { ...row, fields: kept };
}

/** True when it worked, false when the data was refused (undone to before it); other errors are thrown. */
async function attempt(client: pg.Client, work: () => Promise<unknown>): Promise<boolean> {
  await client.query('SAVEPOINT attempt');
  try {
    await work();
  } catch (error) {
    if (!isDataError(error)) throw error;
    await client.query('ROLLBACK TO SAVEPOINT attempt; RELEASE SAVEPOINT attempt');
    return false;
  }
  await client.query('RELEASE SAVEPOINT attempt');
  return true;
}

/** Class 22 data exception, 23 constraint violation, and "row is too big" and its like: no use trying again. */
export function isDataError(error: unknown): boolean {
  const state = sqlstateOf(error);
  return state !== null && (/^(22|23)/.test(state) || state === '54000');
}
