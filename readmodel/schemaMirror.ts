import type pg from 'pg';
import type { AggregateDefinition, FieldDefinition, Schema, StateRow } from '../engine/types.js';
import { typeGroup } from './roles.js';
import { ALL_TYPES, READER } from './bootstrap.js';
import { EventTables } from './eventTables.js';
import { giveWay } from './indexNames.js';
import type { Logger } from './logger.js';
import { createPublication, dropPublication } from './publications.js';
import { relationColumns, relationName, STANDARD_COMMENTS, type TypeRelation } from './relations.js';
import { quoteIdentifier, quoteLiteral } from './session.js';
import { UserViews } from './userViews.js';
import { guardView } from './views.js';
import type { TypeRows } from './writer.js';

/** What a table was made from: all of a definition the mirror shows. */
interface Mirrored {
  readonly fields: readonly FieldDefinition[];
  readonly comment: string | null;
}

const MAX_NAME_BYTES = 63;

/** Keeps the tables and views of schema `public` equal to the engine's schema, by additions only. */
export class SchemaMirror {
  private types = new Map<string, Mirrored>();
  private readonly events = new EventTables();
  private readonly views: UserViews;
  /** Schema revision the tables stand at, set by the projector; not stored, so −1 until a schema was applied. */
  revision = -1;

  constructor(private readonly logger: Logger) {
    this.views = new UserViews(logger);
  }

  /** Reads what is there. Also after a failed transaction, whose changes are in memory but not in the database. */
  async load(client: pg.Client): Promise<void> {
    const { rows } = await client.query<{ type: string; definition: Mirrored }>(
      'SELECT type, definition FROM eventful_internal.mirror',
    );
    this.types = new Map(rows.map((row) => [row.type, row.definition]));
    await this.events.load(client);
    await this.views.load(client);
    this.revision = -1;
  }

  fields(type: string): readonly FieldDefinition[] | null {
    return this.types.get(type)?.fields ?? null;
  }

  /** Rows with the columns their table has; null when the schema no longer has the type. */
  typed(type: string, rows: readonly StateRow[]): TypeRows | null {
    const fields = this.fields(type);
    return fields === null ? null : { type, fields, rows };
  }

  /** Reading runs ahead of the commits we were told about, so a state may have fields we were not told about yet. */
  lacksColumns(type: string, rows: readonly StateRow[], newest: Schema): boolean {
    // No state has a field before the schema has it, so with the newest schema there is nothing to look for.
    if (this.revision === newest.revision) return false;
    const fields = this.fields(type);
    if (fields === null) return true;
    const names = new Set(fields.map((field) => field.name));
    return rows.some((row) => {
      for (const name in row.fields) if (!names.has(name)) return true;
      return false;
    });
  }

  /** False when a table would have to lose or retype a column: then everything is rebuilt. */
  isCompatible(schema: Schema): boolean {
    return [...this.types].every(([type, mirrored]) => {
      const wanted = new Map(schema.aggregates.get(type)?.fields.map((field) => [field.name, field.type]));
      return !schema.aggregates.has(type) || mirrored.fields.every((f) => wanted.get(f.name) === f.type);
    });
  }

  /** Does `apply` have anything to do? */
  differs(schema: Schema): boolean {
    return (
      [...this.types.keys()].some((type) => !schema.aggregates.has(type)) ||
      [...schema.aggregates.values()].some((wanted) => {
        const found = this.types.get(wanted.type);
        return found === undefined || found.comment !== wanted.comment || missing(found, wanted).length > 0;
      }) ||
      this.events.differs(schema) ||
      this.views.differs(schema)
    );
  }

  /** Applies a schema inside the caller's transaction. */
  async apply(client: pg.Client, schema: Schema): Promise<void> {
    const gone = [...this.types.keys()].filter((type) => !schema.aggregates.has(type));
    if (gone.length > 0) await this.views.dropAll(client);
    for (const type of gone) await this.drop(client, type);
    for (const wanted of schema.aggregates.values()) await this.applyType(client, wanted);
    await this.events.apply(client, schema);
    await this.views.apply(client, schema);
  }

  async dropAll(client: pg.Client): Promise<void> {
    await this.views.dropAll(client);
    await this.events.dropAll(client);
    for (const type of this.types.keys()) await this.drop(client, type);
  }

  private async drop(client: pg.Client, type: string): Promise<void> {
    await client.query(
      `${this.dropViews(type)} ${dropPublication(type)} DROP TABLE IF EXISTS ${table(type)}`,
    );
    await client.query('DELETE FROM eventful_internal.mirror WHERE type = $1', [type]);
    this.types.delete(type);
  }

  private async applyType(client: pg.Client, wanted: AggregateDefinition): Promise<void> {
    const found = this.types.get(wanted.type);
    const added = found === undefined ? wanted.fields : missing(found, wanted);
    const statements: string[] = [];
    if (found === undefined)
      statements.push(createTable(wanted), ...security(wanted.type), ...createPublication(wanted.type));
    else if (added.length > 0) {
      const columns = added.map((f) => `ADD COLUMN ${quoteIdentifier(f.name)} ${f.type}`);
      statements.push(`ALTER TABLE ${table(wanted.type)} ${columns.join(', ')}`);
    }
    // A column list of a view cannot grow in its middle: made anew.
    if (found === undefined) statements.push(...this.guards(wanted, ['events', 'history']));
    else if (added.length > 0)
      statements.push(this.dropViews(wanted.type, ['history']), ...this.guards(wanted, ['history']));
    if (found?.comment !== wanted.comment) statements.push(comment(wanted));
    if (statements.length === 0) return;
    // Roles are created under the same lock: a new role sees the new type, or the new type sees the new role.
    await client.query(
      `LOCK TABLE eventful_internal.role_grants IN EXCLUSIVE MODE; ${statements.join(';\n')}`,
    );
    const mirrored: Mirrored = { fields: [...(found?.fields ?? []), ...added], comment: wanted.comment };
    await client.query(
      `INSERT INTO eventful_internal.mirror VALUES ($1, $2) ON CONFLICT (type) DO UPDATE SET definition = $2`,
      [wanted.type, JSON.stringify(mirrored)],
    );
    this.types.set(wanted.type, mirrored);
  }

  private guards(wanted: AggregateDefinition, kinds: readonly TypeRelation[]): string[] {
    return kinds.flatMap((kind) => {
      const name = relationName(kind, wanted.type);
      const columns = relationColumns(kind, wanted);
      const clash = new Set(columns.map((column) => column.name)).size < columns.length;
      if (clash || Buffer.byteLength(name) > MAX_NAME_BYTES) {
        this.logger.warn(
          { relation: name },
          'the relation is left out of the catalogue: its names do not fit',
        );
        return [];
      }
      const relation = table(name);
      const about =
        kind === 'events'
          ? `The events of ${wanted.type}, one row each`
          : `Every version of every ${wanted.type}, with the time it was valid`;
      return [
        guardView(relation, columns),
        ...grants(relation, wanted.type),
        commentOn(`VIEW ${relation}`, about),
      ];
    });
  }

  private dropViews(type: string, kinds: readonly TypeRelation[] = ['events', 'history']): string {
    return kinds.map((kind) => `DROP VIEW IF EXISTS ${table(relationName(kind, type))};`).join(' ');
  }
}

export function table(name: string): string {
  return `public.${quoteIdentifier(name)}`;
}

function missing(found: Mirrored, wanted: AggregateDefinition): readonly FieldDefinition[] {
  const names = new Set(found.fields.map((field) => field.name));
  return wanted.fields.filter((field) => !names.has(field.name));
}

function createTable(wanted: AggregateDefinition): string {
  const columns = relationColumns('state', wanted).map(({ name, type }) => {
    const rule =
      name === 'aggregate_id'
        ? ' PRIMARY KEY'
        : name === 'archived'
          ? ' NOT NULL DEFAULT false'
          : ' NOT NULL';
    return `${quoteIdentifier(name)} ${type}${name in STANDARD_COMMENTS ? rule : ''}`;
  });
  const relation = table(wanted.type);
  // Room in each page, so that most updates need no index entry.
  const statements = [
    giveWay('public', wanted.type),
    `CREATE TABLE ${relation} (${columns.join(', ')}) WITH (fillfactor = 80)`,
    comment(wanted),
  ];
  for (const [name, text] of Object.entries(STANDARD_COMMENTS)) {
    statements.push(commentOn(`COLUMN ${relation}.${quoteIdentifier(name)}`, text));
  }
  return statements.join(';\n');
}

function comment(wanted: AggregateDefinition): string {
  const name = quoteIdentifier(wanted.type);
  const bare = /^[a-z_][a-z0-9_]*$/.test(wanted.type) ? wanted.type : name;
  const standard = `Current state of aggregate ${bare}, one row each. Append with INSERT INTO ${bare} EVENTS …`;
  return commentOn(`TABLE ${table(wanted.type)}`, wanted.comment ?? standard);
}

function commentOn(object: string, text: string): string {
  return `COMMENT ON ${object} IS ${quoteLiteral(text)}`;
}

function grants(relation: string, type: string): string[] {
  return [`GRANT SELECT ON ${relation} TO ${READER}, ${ALL_TYPES}, ${typeGroup(type)}`];
}

/** Who may see the rows. Policies for groups, not for each role: a table's access list has to fit in a page. */
function security(type: string): string[] {
  const relation = table(type);
  const group = typeGroup(type);
  return [
    `DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '${group}') THEN
       CREATE ROLE ${group} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT; END IF;
       EXECUTE (SELECT coalesce(string_agg(DISTINCT format('GRANT ${group} TO %I WITH INHERIT TRUE, SET FALSE;', role), ' '), 'SELECT')
                FROM eventful_internal.role_grants WHERE aggregate_type = ${quoteDollarSafe(type)}); END $$`,
    ...grants(relation, type),
    // information_schema.table_constraints, where many tools look for the key, is for those who could change or refer to the table.
    // Nobody here may create the table that would refer.
    `GRANT REFERENCES (aggregate_id) ON ${relation} TO ${READER}, ${ALL_TYPES}, ${group}`,
    `ALTER TABLE ${relation} ENABLE ROW LEVEL SECURITY`,
    ...policies(relation, type),
  ];
}

/** Who may see which rows of a type. */
export function policies(relation: string, type: string): string[] {
  const group = typeGroup(type);
  return [
    `CREATE POLICY everything ON ${relation} FOR SELECT TO ${READER} USING (true)`,
    `CREATE POLICY granted ON ${relation} FOR SELECT TO ${group}, ${ALL_TYPES} USING (
       aggregate_id = ANY ((${ownPatterns(type)} AND NOT is_prefix)::text[])
       OR aggregate_id ^@ ANY ((${ownPatterns(type)} AND is_prefix)::text[]))`,
  ];
}

/** A scalar subquery, so that it runs once per statement, not once per row. */
function ownPatterns(type: string): string {
  return `SELECT array_agg(pattern) FROM eventful_internal.own_grants
          WHERE aggregate_type IN (${quoteLiteral(type)}, '*')`;
}

/** A literal for use inside a $$ body: a dollar sign in the name must not end it. */
function quoteDollarSafe(text: string): string {
  return `convert_from('\\x${Buffer.from(text).toString('hex')}', 'UTF8')`;
}
