import pg from 'pg';
import { DatabaseError, SqlState } from '../engine/errors.js';
import { VIEWS_SCHEMA, dependents } from '../engine/schema/views.js';
import type { FieldDefinition, Schema, ViewDefinition } from '../engine/types.js';
import type { Logger } from './logger.js';
import { SchemaMirror } from './schemaMirror.js';
import type { Session } from './session.js';
import { createView, runAsOwner, userView } from './userViews.js';

/** A view that is to be made, as its statement says. */
export interface ViewDraft extends Pick<ViewDefinition, 'name' | 'kind' | 'query'> {
  readonly columns: readonly string[];
  readonly functions: readonly string[];
}

interface Schemas {
  /** As the transaction that makes the view sees it; it may have begun a while ago. */
  readonly own: Schema;
  readonly committed: Schema;
}

/** What PostgreSQL makes of it. */
export type ViewShape = Pick<ViewDefinition, 'query' | 'columns'>;

/**
 * Makes the view in a transaction that is rolled back, to learn whether PostgreSQL takes it, what its query is with every
 * name qualified and every star written out, and which columns it has.
 * @throws DatabaseError as PostgreSQL says; its position counts from the beginning of the query
 */
export async function tryView(
  session: Session,
  logger: Logger,
  schemas: Schemas,
  draft: ViewDraft,
): Promise<ViewShape> {
  return session.run(async (client) => {
    await client.query('BEGIN');
    try {
      await client.query("SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '30s'");
      // What the open transaction has made is not in the tables yet.
      const mirror = new SchemaMirror(logger);
      await mirror.load(client);
      const wanted = merged(schemas, draft);
      if (mirror.differs(wanted)) await mirror.apply(client, wanted);
      await refuseVolatile(client, draft.functions);
      return await makeView(client, schemas.own, draft);
    } finally {
      await client.query('ROLLBACK');
    }
  });
}

/** What is committed and what the transaction adds to it. Nothing is dropped for a trial, but for the view's own name. */
function merged({ own, committed }: Schemas, { name }: ViewDraft): Schema {
  const aggregates = new Map(committed.aggregates);
  for (const [type, definition] of own.aggregates) {
    const known = aggregates.get(type)?.fields.length ?? -1;
    if (definition.fields.length > known) aggregates.set(type, definition);
  }
  const views = new Map(committed.views);
  if (!own.views.has(name)) for (const gone of [...dependents(views, [name]), name]) views.delete(gone);
  for (const [other, definition] of own.views) views.set(other, definition);
  return { revision: committed.revision, aggregates, views };
}

async function makeView(client: pg.Client, schema: Schema, draft: ViewDraft): Promise<ViewShape> {
  await client.query(`SET LOCAL search_path = public, ${VIEWS_SCHEMA}`);
  const { head, text } = createView(draft, draft.columns, schema.views.has(draft.name));
  await runAsOwner(client, text).catch((error: unknown) => {
    throw refused(error, [...head].length);
  });
  // Names are left unqualified where the search path finds them.
  await client.query('SET LOCAL search_path = pg_catalog');
  const { rows } = await client.query<{ query: string; columns: FieldDefinition[] }>(
    `SELECT pg_get_viewdef($1::regclass) AS query,
       (SELECT json_agg(json_build_object('name', attname, 'type', format_type(atttypid, atttypmod)) ORDER BY attnum)
        FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0) AS columns`,
    [userView(draft.name)],
  );
  const [row] = rows;
  if (row === undefined) throw new Error('the view was not made');
  return { query: row.query.replace(/;\s*$/, ''), columns: row.columns ?? [] };
}

/** A view must give the same rows for the same state, and must change nothing. */
/** They are not volatile, but read tables that no analysis of the query finds. */
const READS_BY_NAME = '^(table|query|cursor|schema|database)_to_xml';

async function refuseVolatile(client: pg.Client, names: readonly string[]): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT proname AS name FROM pg_proc
     WHERE proname = ANY ($1) AND (provolatile = 'v' OR proname ~ '${READS_BY_NAME}') LIMIT 1`,
    [names],
  );
  const [volatile] = rows;
  if (volatile === undefined) return;
  throw new DatabaseError(
    SqlState.featureNotSupported,
    `a view with the function "${volatile.name}" is not supported`,
    {
      detail: 'It is volatile, or reads tables that are given to it by name.',
      hint: 'Call it in the query that reads the view.',
    },
  );
}

function refused(error: unknown, head: number): unknown {
  if (!(error instanceof pg.DatabaseError)) return error;
  const { code = SqlState.internalError, message, detail, hint, position } = error;
  if (code === SqlState.lockNotAvailable)
    return new DatabaseError(code, 'a transaction that reads the view is still open', {
      hint: 'Define it anew once that has ended, and not in a transaction that has read it.',
    });
  const at = Number(position ?? 0) - head;
  return new DatabaseError(code, message, {
    ...(detail === undefined ? {} : { detail }),
    ...(hint === undefined ? {} : { hint }),
    ...(at > 0 ? { position: at } : {}),
  });
}
