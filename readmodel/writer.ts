import type pg from 'pg';
import { DatabaseError } from '../engine/errors.js';
import { fieldOf } from '../engine/fold.js';
import type { CommittedEvent, FieldDefinition, StateRow } from '../engine/types.js';
import { fieldArray, notificationArrays, standardArrays } from './arrays.js';
import type { ByteWriter } from './byteWriter.js';
import { copyIn } from './copyIn.js';
import type { Logger } from './logger.js';
import { runSteps, stepName, type Step } from './pipeline.js';
import { relationColumns } from './relations.js';
import { quoteIdentifier, sqlstateOf } from './session.js';
import { table } from './schemaMirror.js';
import type { TableLoad } from './tableLoad.js';

/** States of one type, the latest of each aggregate. */
export interface TypeRows {
  readonly type: string;
  readonly fields: readonly FieldDefinition[];
  readonly rows: readonly StateRow[];
}

/** What a batch does besides writing rows, in the same transaction. */
export interface Rest {
  readonly position: bigint;
  /** Of the store tree, at the position. */
  readonly leaf: string;
  /** Those who listen are told of these. */
  readonly events: readonly CommittedEvent[];
}

/** The statements that write a batch: rows, cursor and notifications at once, in one round trip. */
export function batchSteps(types: readonly TypeRows[], rest: Rest): Step[] {
  const last = types.at(-1);
  return [...types.slice(0, -1).map((rows) => upsertStep(rows)), lastStep(last ?? null, rest)];
}

function upsertStep(rows: TypeRows): Step {
  return { ...statementOf('upsert', rows), parameters: rowParameters(rows) };
}

/** Rows, cursor and notifications in one statement: each costs PostgreSQL more than what it does here. */
function lastStep(rows: TypeRows | null, { position, leaf, events }: Rest): Step {
  const parameters = rows === null ? [] : rowParameters(rows);
  parameters.push(
    (writer) => writer.int64(Number(position)),
    (writer) => writer.text(leaf),
  );
  if (events.length > 0) parameters.push(...notificationArrays(events));
  return { ...statementOf(events.length > 0 ? 'notify' : 'last', rows), parameters };
}

type Kind = 'upsert' | 'last' | 'notify';
type Statement = Pick<Step, 'name' | 'text'>;
const NO_FIELDS: readonly FieldDefinition[] = [];
/** The statements of a table, by the list of its columns: a table that gets a column gets a new list. */
const statements = new WeakMap<readonly FieldDefinition[], Map<string, Statement>>();

function statementOf(kind: Kind, rows: Omit<TypeRows, 'rows'> | null): Statement {
  const fields = rows?.fields ?? NO_FIELDS;
  let known = statements.get(fields);
  if (known === undefined) statements.set(fields, (known = new Map<string, Statement>()));
  const about = `${kind} ${rows?.type ?? ''}`;
  let found = known.get(about);
  if (found === undefined) {
    const text = kind === 'upsert' && rows !== null ? upsert(rows) : lastText(kind, rows);
    known.set(about, (found = { name: stepName(kind, rows?.type ?? ''), text }));
  }
  return found;
}

function lastText(kind: Kind, rows: Omit<TypeRows, 'rows'> | null): string {
  let next = rows === null ? 1 : relationColumns('state', rows).length + 1;
  const parts = rows === null ? [] : [`u AS (${upsert(rows)})`];
  parts.push(
    `c AS (UPDATE eventful_internal.cursor SET position = $${next++}::bigint, leaf = $${next++}::text)`,
  );
  // A function scan keeps the order of its arrays, so notifications go out in commit order.
  const tail =
    kind === 'notify'
      ? `SELECT count(pg_notify(channel, payload)::text) FROM unnest($${next++}::text[], $${next++}::text[]) AS n (channel, payload)`
      : 'SELECT';
  return `WITH ${parts.join(', ')} ${tail}`;
}

function rowParameters({ rows, fields }: TypeRows): ((writer: ByteWriter) => void)[] {
  return [...standardArrays(rows), ...fields.map(({ name }) => fieldArray(rows, name))];
}

/** Every field travels as text and is cast here: exactly what its input function makes of it. */
function upsert({ type, fields }: Omit<TypeRows, 'rows'>): string {
  const columns = relationColumns('state', { fields });
  const standard = columns.length - fields.length;
  const names = columns.map((column) => quoteIdentifier(column.name));
  const arrays = columns.map(({ type: to }, i) => `unnest($${i + 1}::${i < standard ? to : 'text'}[])`);
  const casts = columns.map(({ type: to }, i) =>
    i < standard || to === 'text' ? `r.c${i}` : `r.c${i}::${to}`,
  );
  const updates = names.slice(1).map((name) => `${name} = excluded.${name}`);
  return `INSERT INTO ${table(type)} AS t (${names.join(', ')}) SELECT ${casts.join(', ')}
    FROM ROWS FROM (${arrays.join(', ')}) AS r (${columns.map((_, i) => `c${i}`).join(', ')})
    ON CONFLICT (aggregate_id) DO UPDATE SET ${updates.join(', ')} WHERE excluded.version > t.version`;
}

/**
 * Loads rows into a table that is being filled; those COPY refuses go the slow way. Inside the caller's transaction.
 * @param data the rows as COPY takes them
 */
export async function load(
  client: pg.Client,
  rows: TypeRows,
  data: Buffer,
  target: TableLoad,
  logger: Logger,
): Promise<void> {
  const columns = relationColumns('state', rows).map((column) => quoteIdentifier(column.name));
  const text = `COPY ${table(rows.type)} (${columns.join(', ')}) FROM STDIN`;
  const copied = await attempt(client, () => copyIn(client, text, data));
  if (copied) return;
  await target.makeKey();
  await writeIsolating(client, rows, logger);
}

/**
 * Upserts rows of which some cannot be stored: halves them until the bad ones stand alone. Inside the caller's
 * transaction.
 */
export async function writeIsolating(client: pg.Client, batch: TypeRows, logger: Logger): Promise<void> {
  if (batch.rows.length === 0) return;
  const write = (rows: TypeRows): Promise<boolean> =>
    attempt(client, () => runSteps(client, [upsertStep(rows)]));
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
    const value = fieldOf(row.fields, name);
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

/** Class 22 data exception, 23 constraint violation, 54 limits such as "row is too big": no use trying again. */
export function isDataError(error: unknown): boolean {
  const state = error instanceof DatabaseError ? error.sqlstate : sqlstateOf(error);
  return state !== null && /^(22|23|54)/.test(state);
}
