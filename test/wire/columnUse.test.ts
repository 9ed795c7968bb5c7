/**
 * Of relations that the engine reads, a statement is given the columns it can read. Whatever it says, it must not notice:
 * each is run over the relation and over all of its columns.
 */
import type pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../harness.js';
import { asText } from '../durability/support.js';
import { psql } from '../golden/psql.js';

let server: TestServer;
let client: pg.Client;

beforeAll(async () => {
  server = await startTestServer();
  client = await server.connect(undefined, asText);
  await client.query(
    'CREATE AGGREGATE patient (name text, ward integer, position_x text, EVENT named (name), EVENT moved (ward, position_x))',
  );
  await client.query(
    "INSERT INTO patient EVENTS named (aggregate_id, name, metadata) VALUES ('p-1', 'Ann', '{\"a\": 1}'), ('p-2', 'Bob', NULL)",
  );
  await client.query(
    "INSERT INTO patient EVENTS moved (aggregate_id, ward, position_x) VALUES ('p-1', 3, 'x'), ('p-2', NULL, NULL), ('p-1', 4, 'y')",
  );
});
afterAll(async () => {
  await client.end();
  await server.destroy();
});

const RELATIONS = ['patient_events', 'patient_history', 'events.moved', 'eventful.events'] as const;

/** R is the relation's name, as it is known where nothing else is said. */
const STATEMENTS = [
  'SELECT count(*) FROM R',
  'SELECT 1 AS one FROM R',
  'SELECT aggregate_id, version FROM R ORDER BY position',
  'SELECT e.aggregate_id FROM R e WHERE e.version > 1 ORDER BY e.position',
  'SELECT * FROM R ORDER BY position',
  'TABLE R',
  'SELECT R FROM R ORDER BY R.position',
  'SELECT e FROM R e ORDER BY e.position',
  'SELECT row_to_json(e) AS j FROM R e ORDER BY position',
  'SELECT e.row_to_json AS j FROM R e ORDER BY position',
  'SELECT (e).version, count(e) FROM R e GROUP BY 1 ORDER BY 1',
  'SELECT (e.*)::text AS t FROM R e ORDER BY position',
  'SELECT count(*) FROM R a NATURAL JOIN R b',
  'SELECT a.version FROM R a JOIN R b USING (position, aggregate_id) ORDER BY position',
  'SELECT x, y FROM R AS e (x, y) ORDER BY 1, 2',
  'SELECT s.version FROM (SELECT * FROM R) s ORDER BY 1',
  'SELECT s FROM (SELECT version, aggregate_id FROM R) s ORDER BY 1',
  'SELECT l.v FROM R e, LATERAL (SELECT e.version + 1 AS v) l ORDER BY 1',
  'SELECT l.r FROM R e, LATERAL (SELECT e AS r) l ORDER BY e.position',
  'SELECT version FROM R UNION ALL SELECT position FROM R ORDER BY 1',
  'SELECT DISTINCT ON (aggregate_id) aggregate_id, version FROM R ORDER BY aggregate_id, version DESC',
  'SELECT rank() OVER w AS r FROM R WINDOW w AS (PARTITION BY aggregate_id ORDER BY version) ORDER BY 1',
  'SELECT count(*) FROM R WHERE NOT (R IS NULL)',
  'SELECT array_agg(version ORDER BY position) FROM R',
  'SELECT "version" AS "Version" FROM R ORDER BY "Version"',
  'SELECT (SELECT max(version) FROM R i WHERE i.aggregate_id = o.aggregate_id) FROM R o ORDER BY position',
] as const;

async function answer(sql: string): Promise<unknown> {
  try {
    const { rows, fields } = await client.query<object>(sql);
    return { rows, fields: fields.map(({ name, dataTypeID }) => [name, dataTypeID]) };
  } catch (error) {
    return (error as Error).message;
  }
}

it.each(RELATIONS)('%s', async (relation) => {
  const name = relation.split('.').at(-1) ?? relation;
  for (const statement of STATEMENTS) {
    const over = statement.replaceAll(/\bFROM R\b|\bJOIN R\b|\bTABLE R\b/g, (match) =>
      match.replace(/R$/, relation),
    );
    const own = await answer(over.replaceAll(/\bR\b/g, name));
    const all = `WITH ${name} AS MATERIALIZED (SELECT * FROM ${relation}) ${statement.replaceAll(/\bR\b/g, name)}`;
    expect([over, own]).toEqual([over, await answer(all)]);
    expect(typeof own, `${over}: ${String(own)}`).toBe('object');
  }
});

it('states of the past, their own fields and named parameters', async () => {
  const past = 'patient AS OF VERSION 2';
  const [all] = (await client.query<Record<string, unknown>>(`SELECT * FROM ${past} WHERE ward = 3`)).rows;
  expect(all).toMatchObject({ aggregate_id: 'p-1', name: 'Ann', ward: '3', position_x: 'x' });
  expect((await client.query(`SELECT position_x FROM ${past} WHERE ward = $1`, [3])).rows).toEqual([
    { position_x: 'x' },
  ]);
  expect((await client.query(`SELECT count(*) AS n FROM ${past} p WHERE p.name = 'Ann'`)).rows).toEqual([
    { n: '1' },
  ]);
});

it('an unknown column is told as before, with what may have been meant', async () => {
  await expect(client.query('SELECT recorded_att FROM patient_events')).rejects.toMatchObject({
    code: '42703',
    hint: 'Perhaps you meant to reference the column "patient_events.recorded_at".',
  });
});

it('COPY of a relation has all of its columns, or those it names', async () => {
  const [whole, query, some] = await Promise.all(
    ['patient_history', '(SELECT * FROM patient_history)', 'patient_history (name, version)'].map((what) =>
      psql(server, `COPY ${what} TO STDOUT;`),
    ),
  );
  expect(whole).toBe(query);
  expect(whole).toMatch(/^p-1\t2\t.*\tAnn\t3\tx\t.*\tmoved\t/m);
  expect(some).toContain('Ann\t2\n');
});
