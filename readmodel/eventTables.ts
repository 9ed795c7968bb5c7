import type pg from 'pg';
import {
  EVENTS_SCHEMA,
  eventColumns,
  eventRelations,
  type EventColumn,
  type EventRelation,
} from '../engine/schema/eventRelations.js';
import type { Schema } from '../engine/types.js';
import { ALL_TYPES, READER } from './bootstrap.js';
import { giveWay } from './indexNames.js';
import { typeGroup } from './roles.js';
import { quoteIdentifier, quoteLiteral } from './session.js';

/** What a table was made from. */
interface Mirrored {
  readonly aggregateType: string;
  readonly eventType: string;
  readonly columns: readonly EventColumn[];
}

const COMMENTS: Readonly<Record<string, string>> = {
  aggregate_id: 'The aggregate the event belongs to; must be given',
  event_id: 'Drawn by the server where it is left out; the same one is never appended twice',
  metadata: 'A JSON object about the event',
  expected_version: 'The version the aggregate must be at; 0: it must not exist. Only given, never read',
  version: 'The aggregate’s version that the event makes',
  position: 'The place of the event in the store',
};

/**
 * The tables of schema `events`, one for each event type. They are there for the catalogue alone: the server takes what
 * is inserted and gives what is read, and the tables hold no event.
 */
export class EventTables {
  private tables = new Map<string, Mirrored>();

  async load(client: pg.Client): Promise<void> {
    const { rows } = await client.query<{ name: string; definition: Mirrored }>(
      'SELECT name, definition FROM eventful_internal.mirror_events',
    );
    this.tables = new Map(rows.map((row) => [row.name, row.definition]));
  }

  differs(schema: Schema): boolean {
    const { dropped, made } = this.changes(schema);
    return dropped.length > 0 || made.length > 0;
  }

  /** Inside the caller's transaction, in which the groups of all types exist. */
  async apply(client: pg.Client, schema: Schema): Promise<void> {
    const { dropped, made } = this.changes(schema);
    const gone = [...dropped, ...made.map(({ name }) => name).filter((name) => this.tables.has(name))];
    if (gone.length > 0) await this.drop(client, gone);
    if (made.length === 0) return;
    const tables = made.map((relation) => [relation.name, mirroredOf(relation)] as const);
    // In one go: a field that an open aggregate meets can change hundreds of them.
    await client.query(tables.map(([name, mirrored]) => createTable(name, mirrored)).join(';\n'));
    await client.query(
      'INSERT INTO eventful_internal.mirror_events SELECT * FROM unnest($1::text[], $2::jsonb[])',
      [tables.map(([name]) => name), tables.map(([, mirrored]) => JSON.stringify(mirrored))],
    );
    for (const [name, mirrored] of tables) this.tables.set(name, mirrored);
  }

  async dropAll(client: pg.Client): Promise<void> {
    if (this.tables.size > 0) await this.drop(client, [...this.tables.keys()]);
  }

  private changes(schema: Schema): { dropped: string[]; made: EventRelation[] } {
    const wanted = eventRelations(schema.aggregates);
    const dropped = [...this.tables.keys()].filter((name) => wanted.get(name)?.length !== 1);
    const made: EventRelation[] = [];
    for (const [name, [relation, other]] of wanted) {
      if (relation === undefined || other !== undefined) continue;
      const found = this.tables.get(name);
      if (found === undefined || !isSame(found, mirroredOf(relation))) made.push(relation);
    }
    return { dropped, made };
  }

  private async drop(client: pg.Client, names: readonly string[]): Promise<void> {
    await client.query(`DROP TABLE IF EXISTS ${names.map(eventTable).join(', ')}`);
    await client.query('DELETE FROM eventful_internal.mirror_events WHERE name = ANY ($1)', [names]);
    for (const name of names) this.tables.delete(name);
  }
}

function mirroredOf(relation: EventRelation): Mirrored {
  const { aggregate, event } = relation;
  return { aggregateType: aggregate.type, eventType: event.name, columns: eventColumns(relation) };
}

function isSame(found: Mirrored, wanted: Mirrored): boolean {
  return (
    found.aggregateType === wanted.aggregateType &&
    found.eventType === wanted.eventType &&
    found.columns.length === wanted.columns.length &&
    wanted.columns.every(({ name, type, kind }, i) => {
      const column = found.columns[i];
      return column?.name === name && column.type === type && column.kind === kind;
    })
  );
}

function eventTable(name: string): string {
  return `${EVENTS_SCHEMA}.${quoteIdentifier(name)}`;
}

function createTable(name: string, { aggregateType, eventType, columns }: Mirrored): string {
  const relation = eventTable(name);
  const list = columns.map((column) => `${quoteIdentifier(column.name)} ${column.type}${rules(column)}`);
  const meaning = `${quoteIdentifier(aggregateType)} EVENTS ${quoteIdentifier(eventType)}`;
  const about = `Event ${eventType} of aggregate ${aggregateType}. INSERT appends one, as INSERT INTO ${meaning} does; SELECT shows them all`;
  const comments = columns.flatMap((column) => {
    const text = column.kind === 'field' ? undefined : COMMENTS[column.name];
    return text === undefined
      ? []
      : [`COMMENT ON COLUMN ${relation}.${column.name} IS ${quoteLiteral(text)}`];
  });
  return [
    giveWay(EVENTS_SCHEMA, name),
    `CREATE TABLE ${relation} (${list.join(', ')})`,
    `COMMENT ON TABLE ${relation} IS ${quoteLiteral(about)}`,
    ...comments,
    // REFERENCES lets the information schema list it to every token, and lets nobody do anything.
    `GRANT REFERENCES ON ${relation} TO PUBLIC`,
    `GRANT SELECT ON ${relation} TO ${READER}, ${ALL_TYPES}, ${typeGroup(aggregateType)}`,
    // A read that the server did not see must fail rather than find the table empty: at this row.
    `INSERT INTO ${relation} (aggregate_id) VALUES ('')`,
    `ALTER TABLE ${relation} ENABLE ROW LEVEL SECURITY`,
    `CREATE POLICY answered_by_engine ON ${relation} FOR SELECT
       USING (eventful_internal.answered_by_engine(${quoteLiteral(`${EVENTS_SCHEMA}.${name}`)}))`,
  ].join(';\n');
}

/**
 * Defaults and generated columns are what object mappers go by: a column with a default is left out of their INSERT
 * instead of being given NULL, which would clear the field; one that is generated is read back and never given.
 */
function rules({ name, type, kind }: EventColumn): string {
  // Out-of-line storage would cost each table a second one.
  const plain = PLAIN_STORAGE.test(type) ? ' STORAGE PLAIN' : '';
  if (kind === 'id') return `${plain} NOT NULL`;
  if (kind === 'server') return `${plain} GENERATED ALWAYS AS (NULL::${type}) STORED`;
  if (kind === 'field') return `${plain} DEFAULT eventful.unchanged(NULL::${type})`;
  return name === 'event_id' ? `${plain} DEFAULT gen_random_uuid() PRIMARY KEY` : plain;
}

const PLAIN_STORAGE = /^(text|json|jsonb|numeric|bytea|character)/;
