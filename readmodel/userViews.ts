import { createHash } from 'node:crypto';
import pg from 'pg';
import { VIEWS_SCHEMA, dependents, typesRead } from '../engine/schema/views.js';
import type { Schema, ViewDefinition } from '../engine/types.js';
import { READER, VIEW_OWNER } from './bootstrap.js';
import type { Logger } from './logger.js';
import { quoteIdentifier, quoteLiteral } from './session.js';

/** What a view was made from. */
interface Mirrored {
  /** The definition as JSON. */
  readonly made: string;
  readonly definition: ViewDefinition;
  /** Why PostgreSQL did not take it; null for a view that works. */
  readonly failure: string | null;
}

export function userView(name: string): string {
  return `${VIEWS_SCHEMA}.${quoteIdentifier(name)}`;
}

/** The group whose members may read a materialized view: those who may read all of every type that it reads. */
function viewGroup(name: string): string {
  return `eventful_view_${createHash('sha256').update(name).digest('hex').slice(0, 32)}`;
}

/** The statement that makes a view. Its text goes alone, in the extended protocol, and as the views' owner. */
export function createView(
  view: Pick<ViewDefinition, 'name' | 'kind' | 'query'>,
  columns: readonly string[],
  replace: boolean,
): { readonly head: string; readonly text: string } {
  const list = columns.length === 0 ? '' : ` (${columns.map(quoteIdentifier).join(', ')})`;
  const [kind, options] =
    view.kind === 'view' ? ['VIEW', ' WITH (security_invoker = true)'] : ['MATERIALIZED VIEW', ''];
  const head = `CREATE ${replace ? 'OR REPLACE ' : ''}${kind} ${userView(view.name)}${list}${options} AS `;
  return { head, text: `${head}${view.query}\n${view.kind === 'view' ? '' : 'WITH NO DATA'}` };
}

export async function runAsOwner(client: pg.Client, text: string): Promise<void> {
  await client.query(`SET LOCAL ROLE ${VIEW_OWNER}`);
  const alone = { text, queryMode: 'extended' };
  await client.query(alone);
  await client.query('RESET ROLE');
}

/** Keeps the views of schema `views` equal to the engine's. */
export class UserViews {
  private views = new Map<string, Mirrored>();

  constructor(private readonly logger: Logger) {}

  async load(client: pg.Client): Promise<void> {
    const { rows } = await client.query<{ name: string; made: string; failure: string | null }>(
      'SELECT name, made, failure FROM eventful_internal.mirror_views',
    );
    this.views = new Map(
      rows.map(({ name, made, failure }) => {
        return [name, { made, failure, definition: JSON.parse(made) as ViewDefinition }];
      }),
    );
  }

  differs(schema: Schema): boolean {
    return this.gone(schema).length > 0 || this.changed(schema).length > 0;
  }

  /** Inside the caller's transaction, in which the tables of all types exist. */
  async apply(client: pg.Client, schema: Schema): Promise<void> {
    if (!this.differs(schema)) return;
    // New roles are made under the same lock: they see the new view, or it sees them.
    await client.query('LOCK TABLE eventful_internal.role_grants IN EXCLUSIVE MODE');
    for (const name of this.gone(schema)) await this.drop(client, name);
    for (const view of this.changed(schema)) {
      if (this.views.has(view.name) && !(await this.replace(client, schema, view)))
        await this.drop(client, view.name);
    }
    let waiting = this.changed(schema);
    while (waiting.length > 0) {
      const ready = waiting.filter((view) => view.views.every((name) => this.views.has(name)));
      // What is left reads what is not there; PostgreSQL says so.
      for (const view of ready.length > 0 ? ready : waiting) await this.make(client, schema, view);
      waiting = this.changed(schema);
    }
  }

  async dropAll(client: pg.Client): Promise<void> {
    for (const name of [...this.views.keys()]) await this.drop(client, name);
  }

  private gone(schema: Schema): string[] {
    return [...this.views.keys()].filter((name) => !schema.views.has(name));
  }

  private changed(schema: Schema): ViewDefinition[] {
    return [...schema.views.values()].filter(
      (view) => this.views.get(view.name)?.made !== JSON.stringify(view),
    );
  }

  /** Drops a view and those that read it, which the schema may still have: they are made again. */
  private async drop(client: pg.Client, name: string): Promise<void> {
    const definitions = new Map([...this.views].map(([key, { definition }]) => [key, definition]));
    const names = [...dependents(definitions, [name]), name].filter((other) => this.views.has(other));
    for (const other of names) {
      const relation = userView(other);
      const { rows } = await client.query<{ kind: string }>(
        'SELECT relkind AS kind FROM pg_class WHERE oid = to_regclass($1)',
        [relation],
      );
      const kind = rows[0]?.kind === 'm' ? 'MATERIALIZED VIEW' : 'VIEW';
      await client.query(
        `DROP ${kind} IF EXISTS ${relation} CASCADE; DROP ROLE IF EXISTS ${viewGroup(other)}`,
      );
      this.views.delete(other);
    }
    await client.query('DELETE FROM eventful_internal.mirror_views WHERE name = ANY ($1)', [names]);
  }

  /** Changes a view in place, so that those which read it stay; false when PostgreSQL does not let it. */
  private async replace(client: pg.Client, schema: Schema, view: ViewDefinition): Promise<boolean> {
    const before = this.views.get(view.name);
    if (view.kind !== 'view' || before?.definition.kind !== 'view' || before.failure !== null) return false;
    if (!view.views.every((name) => this.views.has(name))) return false;
    const failure = await this.attempt(client, createView(view, [], true).text);
    if (failure === null) await this.note(client, schema, view, null);
    return failure === null;
  }

  private async make(client: pg.Client, schema: Schema, view: ViewDefinition): Promise<void> {
    const failure = await this.attempt(client, createView(view, [], false).text);
    if (failure !== null) {
      this.logger.error(
        { view: view.name, reason: failure },
        'a view cannot be made; reading it will say why',
      );
      await client.query(placeholder(view, failure));
    }
    if (failure === null && view.kind === 'materialized')
      await client.query(materializedGrants(view, schema));
    else await client.query(`GRANT SELECT ON ${userView(view.name)} TO PUBLIC`);
    await this.note(client, schema, view, failure);
  }

  /** Runs a statement as the views' owner; why it failed, null when it did not. */
  private async attempt(client: pg.Client, text: string): Promise<string | null> {
    await client.query('SAVEPOINT view');
    try {
      await runAsOwner(client, text);
    } catch (error) {
      if (!(error instanceof pg.DatabaseError)) throw error;
      await client.query('ROLLBACK TO SAVEPOINT view; RELEASE SAVEPOINT view');
      return error.message;
    }
    await client.query('RELEASE SAVEPOINT view');
    return null;
  }

  private async note(
    client: pg.Client,
    schema: Schema,
    view: ViewDefinition,
    failure: string | null,
  ): Promise<void> {
    const made = JSON.stringify(view);
    const group = view.kind === 'materialized' && failure === null ? viewGroup(view.name) : null;
    const filled = group !== null && view.populate;
    await client.query(
      `INSERT INTO eventful_internal.mirror_views (name, made, failure, group_role, types, filled)
       VALUES ($1, $2, $3, $4, $5, $6)
       ON CONFLICT (name) DO UPDATE SET made = $2, failure = $3, group_role = $4, types = $5, filled = $6`,
      [view.name, made, failure, group, typesRead(schema.views, view), filled],
    );
    this.views.set(view.name, { made, definition: view, failure });
  }
}

/** The rows of a materialized view are its owner's, not its reader's: only who may read all of them may read it. */
function materializedGrants(view: ViewDefinition, schema: Schema): string {
  const group = viewGroup(view.name);
  const types = typesRead(schema.views, view).map((type) => quoteLiteral(type));
  return `
    CREATE ROLE ${group} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT;
    GRANT SELECT ON ${userView(view.name)} TO ${READER}, ${group};
    SELECT eventful_internal.join_view_group('${group}', role, ARRAY[${types.join(', ')}]::text[])
      FROM (SELECT DISTINCT role FROM eventful_internal.role_grants) AS roles`;
}

/** A view with the right columns whose reading says what is wrong. */
function placeholder(view: ViewDefinition, failure: string): string {
  const columns = view.columns.map(({ name, type }) => `NULL::${type} AS ${quoteIdentifier(name)}`);
  const list = columns.length > 0 ? columns.join(', ') : 'NULL::text AS unavailable';
  const guard = `eventful_internal.view_failed(${quoteLiteral(view.name)}, ${quoteLiteral(failure)})`;
  return `CREATE VIEW ${userView(view.name)} AS SELECT ${list} WHERE ${guard}`;
}
