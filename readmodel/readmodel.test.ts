import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Fields } from '../engine/types.js';
import { startReadModel, type ReadModel } from './index.js';
import { relationColumns, SYSTEM_RELATIONS } from './relations.js';
import { connectAs, definition, FakeSource } from './testing.js';

const PATIENT = { first_name: 'text', birthdate: 'date', weight: 'numeric(10,2)', 'Weird "Name"': 'integer' };
const errors: object[] = [];
const logger = { info: () => undefined, warn: () => undefined, error: (o: object) => void errors.push(o) };
const source = new FakeSource(randomUUID());
let model: ReadModel;
let reader: pg.Client;

beforeAll(async () => {
  source.define(definition('patient', PATIENT));
  source.append('patient', [['p-1', { first_name: 'Ann', birthdate: '1980-02-29', weight: '61.5' }]]);
  source.append('patient', [['p-10', { first_name: 'Bob\t\\N\nx', 'Weird "Name"': '7' }]]);
  model = await startReadModel({ source, logger });
  reader = await connectAs(model, 'read:*:*');
});
afterAll(async () => {
  await reader?.end();
  await model?.stop({ remove: true });
});

const rowsOf = async (sql: string, client: pg.Client = reader): Promise<Record<string, unknown>[]> =>
  (await client.query<Record<string, unknown>>(sql)).rows;

async function codeOf(sql: string, client: pg.Client = reader): Promise<string> {
  try {
    await client.query(sql);
    return 'no error';
  } catch (error) {
    if (sql.startsWith('BEGIN')) await client.query('ROLLBACK');
    return (error as pg.DatabaseError).code ?? String(error);
  }
}

async function typesOf(relation: string): Promise<{ name: string; type: string }[]> {
  return (await rowsOf(`SELECT attname AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute
    WHERE attrelid = '${relation}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum`)) as never;
}

test('a rebuild loads every state, typed', async () => {
  expect(model.report?.rebuiltRows).toBe(2);
  expect(model.appliedPosition).toBe(2n);
  const rows =
    await rowsOf(`SELECT aggregate_id, version, first_name, birthdate::text, weight, "Weird ""Name""" AS weird,
    created_at::text, archived FROM patient ORDER BY 1`);
  expect(rows).toEqual([
    {
      aggregate_id: 'p-1',
      version: '1',
      first_name: 'Ann',
      birthdate: '1980-02-29',
      weight: '61.50',
      weird: null,
      created_at: '2026-01-01 00:00:00.000001+00',
      archived: false,
    },
    expect.objectContaining({ aggregate_id: 'p-10', first_name: 'Bob\t\\N\nx', weird: 7 }),
  ]);
});

test('after a rebuild the planner learns how large the tables are', async () => {
  // −1 until someone gathers it; so few rows are too few for autovacuum.
  const tuples = async (): Promise<unknown> =>
    (await model.query(`SELECT reltuples::int AS n FROM pg_class WHERE oid = 'patient'::regclass`)).rows[0]?.[
      'n'
    ];
  await expect.poll(tuples, { timeout: 5000 }).toBe(2);
});

test('tables and views stand in the catalogue as relationColumns says', async () => {
  const patient = source.schema().aggregates.get('patient');
  if (patient === undefined) throw new Error('no patient');
  expect(await typesOf('patient')).toEqual(relationColumns('state', patient));
  expect(await typesOf('patient_events')).toEqual(relationColumns('events', patient));
  expect(await typesOf('patient_history')).toEqual(relationColumns('history', patient));
  for (const [name, columns] of Object.entries(SYSTEM_RELATIONS)) {
    expect(await typesOf(`eventful.${name}`)).toEqual(columns);
  }
  const [comment] = await rowsOf(
    `SELECT obj_description('patient'::regclass) AS text, col_description('patient'::regclass, 2) AS version`,
  );
  expect(comment?.['text']).toContain('INSERT INTO patient EVENTS');
  expect(comment?.['version']).toContain('events');
});

test('a relation the engine answers fails when it is run', async () => {
  expect(await codeOf('SELECT * FROM patient_events')).toBe('55000');
  expect(await codeOf('SELECT count(*) FROM patient_history')).toBe('55000');
  expect(await codeOf(`SELECT query_to_xml('SELECT * FROM eventful.tokens', true, true, '')`)).toBe('55000');
});

test('a type may be called like the index of another', async () => {
  const event = (name: string): { name: string; fields: string[] } => ({ name, fields: [] });
  for (const type of ['clash', 'clash_pkey', 'clash_pkey_pkey'])
    source.define({ ...definition(type, {}), events: [event(`${type}_ev`), event(`${type}_ev_pkey`)] });
  source.append('clash_pkey', [['c-1', {}]]);
  await model.waitFor(source.position);
  const { rows } = await model.query('SELECT aggregate_id FROM clash_pkey');
  expect(rows).toEqual([{ aggregate_id: 'c-1' }]);
});

test('commits are followed; the last state of an aggregate wins', async () => {
  source.append('patient', [['p-2', { first_name: 'C' }]]);
  for (let i = 0; i < 50; i++) source.append('patient', [['p-2', { first_name: `C${i}` }]]);
  await model.waitFor(source.position);
  expect(await rowsOf(`SELECT version, first_name FROM patient WHERE aggregate_id = 'p-2'`)).toEqual([
    { version: '51', first_name: 'C49' },
  ]);
  const { rows } = await model.query('SELECT position FROM eventful_internal.cursor');
  expect(rows).toEqual([{ position: String(source.position) }]);
});

test('waitFor ends with its signal', async () => {
  const abort = new AbortController();
  const waiting = model.waitFor(source.position + 100n, abort.signal);
  abort.abort();
  await expect(waiting).rejects.toMatchObject({ sqlstate: '57014' });
});

test('a schema change in front of the states that need it', async () => {
  const aggregates = new Map(source.current.aggregates).set(
    'patient',
    definition('patient', { ...PATIENT, city: 'text' }, "Somebody's"),
  );
  source.append('patient', [['p-3', { city: 'Ulm' }]], {
    ...source.current,
    revision: source.current.revision + 1,
    aggregates,
  });
  await model.waitFor(source.position);
  expect(await rowsOf(`SELECT city FROM patient WHERE aggregate_id = 'p-3'`)).toEqual([{ city: 'Ulm' }]);
  expect((await typesOf('patient_history')).map((c) => c.name)).toContain('city');
  expect(await rowsOf(`SELECT obj_description('patient'::regclass) AS c`)).toEqual([{ c: "Somebody's" }]);
});

test('a new type is there for roles made before it, also without a position of its own', async () => {
  const limited = await connectAs(model, 'read:visit:v-1');
  expect(await codeOf('SELECT * FROM visit', limited)).toBe('42P01');
  source.define(definition('visit', { at: 'timestamp with time zone', tags: 'text[]', doc: 'jsonb' }));
  await model.waitFor(source.position);
  expect(await rowsOf('SELECT * FROM visit', limited)).toEqual([]);
  source.append('visit', [
    ['v-1', { at: '2026-01-01 12:00+01', tags: '{a,"b c"}', doc: '{"a":[1]}' }],
    ['v-2', {}],
  ]);
  await model.waitFor(source.position);
  expect(await rowsOf('SELECT aggregate_id, tags, doc, at::text FROM visit', limited)).toEqual([
    { aggregate_id: 'v-1', tags: ['a', 'b c'], doc: { a: [1] }, at: '2026-01-01 11:00:00+00' },
  ]);
  expect(await codeOf('SELECT * FROM patient', limited)).toBe('42501');
  await limited.end();
});

test('row-level security: p-1 is not p-10, prefixes, all types', async () => {
  const ids = async (...grants: string[]): Promise<unknown[]> => {
    const client = await connectAs(model, ...grants);
    const rows = await rowsOf('SELECT aggregate_id FROM patient ORDER BY 1', client);
    await client.end();
    return rows.map((row) => row['aggregate_id']);
  };
  expect(await ids('read:patient:p-1')).toEqual(['p-1']);
  expect(await ids('read:patient:p-1*')).toEqual(['p-1', 'p-10']);
  expect(await ids('read:patient:p_*')).toEqual([]);
  expect(await ids('read:patient:p-1', 'read:patient:p-3')).toEqual(['p-1', 'p-3']);
  expect(await ids('read:*:p-2')).toEqual(['p-2']);
  expect(await ids('read:patient:*')).toEqual(['p-1', 'p-10', 'p-2', 'p-3']);
  expect(await ids('admin')).toEqual(['p-1', 'p-10', 'p-2', 'p-3']);
  await expect(ids('append:patient:*')).rejects.toMatchObject({ code: '42501' });
  const first = await model.roleFor([{ action: 'read', aggregateType: 'patient', aggregateId: 'p-1' }]);
  const again = await model.roleFor([{ action: 'read', aggregateType: 'patient', aggregateId: 'p-1' }]);
  expect(again).toEqual(first);
});

test('the key is in information_schema, where tools look for it', async () => {
  const keys = `SELECT constraint_type, column_name FROM information_schema.table_constraints
    JOIN information_schema.key_column_usage USING (constraint_name, table_schema, table_name)
    WHERE table_name = 'patient' AND constraint_type = 'PRIMARY KEY'`;
  const limited = await connectAs(model, 'read:patient:p-1');
  for (const client of [reader, limited])
    expect(await rowsOf(keys, client)).toEqual([
      { constraint_type: 'PRIMARY KEY', column_name: 'aggregate_id' },
    ]);
  await limited.end();
});

test('a client role can only read', async () => {
  const limited = await connectAs(model, 'read:patient:p-1');
  for (const client of [limited, reader]) {
    const forbidden = [
      `SET ROLE ${client === limited ? 'eventful_reader' : 'eventful'}`,
      'SET ROLE eventful_all_types',
      'SET SESSION AUTHORIZATION eventful',
      `INSERT INTO patient (aggregate_id, version, created_at, updated_at) VALUES ('x', 1, now(), now())`,
      `UPDATE patient SET version = 2`,
      'DELETE FROM patient',
      'TRUNCATE patient',
      'BEGIN; LOCK TABLE patient IN SHARE MODE',
      'SELECT * FROM patient FOR UPDATE',
      'CREATE TEMP TABLE t (a int)',
      'CREATE TABLE t (a int)',
      'CREATE TEMP TABLE t (a text REFERENCES patient)',
      'CREATE TABLE t (a text REFERENCES patient)',
      'CREATE SCHEMA s',
      'CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$',
      'SELECT lo_create(0)',
      `SELECT lo_from_bytea(0, 'x')`,
      `SELECT pg_notify('patient', 'x')`,
      `SELECT pg_terminate_backend(1)`,
      `SELECT pg_cancel_backend(1)`,
      `SELECT pg_logical_emit_message(true, 'a', 'b')`,
      `SELECT pg_read_file('postgresql.conf')`,
      `COPY patient TO '/tmp/x'`,
      'DO $$ BEGIN END $$',
      'SELECT * FROM eventful_internal.role_grants',
      'SELECT * FROM eventful_internal.own_grants',
      'SELECT passwd FROM pg_shadow',
    ];
    const codes = [];
    for (const sql of forbidden) codes.push([sql, await codeOf(sql, client)]);
    expect(codes).toEqual(forbidden.map((sql) => [sql, '42501']));
  }
  const found = await rowsOf('SELECT session_user AS name', limited);
  await limited.end();
  expect(
    await rowsOf(
      `SELECT rolsuper, rolinherit, rolcreaterole FROM pg_roles WHERE rolname = '${String(found[0]?.['name'])}'`,
    ),
  ).toEqual([{ rolsuper: false, rolinherit: false, rolcreaterole: false }]);
});

test('LISTEN hears every event in order', async () => {
  const heard: unknown[] = [];
  const listener = await connectAs(model, 'admin');
  listener.on('notification', (message) => heard.push(JSON.parse(message.payload ?? '')));
  await listener.query('LISTEN patient');
  const from = Number(source.position);
  source.append('patient', [
    ['p-1', { first_name: 'N1' }],
    ['p-2', { first_name: 'N2' }],
  ]);
  source.append('patient', [['x'.repeat(2500).padEnd(2600, '"'), { first_name: 'long' }]]);
  source.append('patient', [
    ['y'.repeat(8000).slice(0, 2000) + 'é'.repeat(3000), { first_name: 'too long for NOTIFY' }],
  ]);
  await model.waitFor(source.position);
  await listener.query('SELECT 1');
  await listener.end();
  expect(heard).toHaveLength(4);
  expect(heard[0]).toEqual({
    aggregate_id: 'p-1',
    version: 2,
    position: from + 1,
    event_type: 'patient_changed',
  });
  expect(heard[1]).toMatchObject({ aggregate_id: 'p-2', position: from + 2 });
  expect(heard[3]).toEqual({ version: 1, position: from + 4, event_type: 'patient_changed' });
});

test('LISTEN hears every event once and in order, also when they come faster than they are written', async () => {
  const fast = new FakeSource(randomUUID());
  fast.define(definition('patient', PATIENT));
  const small = await startReadModel({ source: fast, logger, maxWaitingStates: 4 });
  const heard: number[] = [];
  const listener = await connectAs(small, 'admin');
  listener.on('notification', (message) => {
    heard.push((JSON.parse(message.payload ?? '') as { position: number }).position);
  });
  await listener.query('LISTEN patient');
  for (let i = 0; i < 60; i++) {
    fast.append('patient', [[`i-${i % 3}`, { first_name: `N${i}` }]]);
    if (i % 20 === 10) await small.waitFor(fast.position);
  }
  await small.waitFor(fast.position);
  await listener.query('SELECT 1');
  await listener.end();
  await small.stop({ remove: true });
  // Beyond the one at the start: commits were dropped.
  expect(fast.catchUps).toBeGreaterThan(0);
  expect(heard).toEqual(Array.from({ length: 60 }, (_, i) => 1 + i));
});

test('a value PostgreSQL refuses costs only its field', async () => {
  const good = { first_name: 'ok', birthdate: '2000-01-01' };
  const changes: (readonly [string, Fields])[] = Array.from({ length: 100 }, (_, i) => [`b-${i}`, good]);
  changes[37] = ['b-37', { first_name: 'kept', birthdate: '2000-02-31' }];
  changes[63] = ['b-63', { first_name: 'nul\0', birthdate: '2000-01-01' }];
  source.append('patient', changes);
  await model.waitFor(source.position);
  const rows = await rowsOf(
    `SELECT aggregate_id, first_name, birthdate::text FROM patient WHERE aggregate_id IN ('b-37', 'b-63') ORDER BY 1`,
  );
  expect(rows).toEqual([
    { aggregate_id: 'b-37', first_name: 'kept', birthdate: null },
    { aggregate_id: 'b-63', first_name: null, birthdate: '2000-01-01' },
  ]);
  expect(await rowsOf(`SELECT count(*)::int FROM patient WHERE aggregate_id LIKE 'b-%'`)).toEqual([
    { count: 100 },
  ]);
  expect(errors).toHaveLength(2);
  expect(JSON.stringify(errors)).not.toContain('02-31');
});

test('a reader that blocks a schema change is disconnected', async () => {
  const blocker = await connectAs(model, 'admin');
  await blocker.query('BEGIN; SELECT * FROM patient');
  source.define(definition('patient', { ...PATIENT, city: 'text', zip: 'text' }, "Somebody's"));
  await model.waitFor(source.position);
  expect((await typesOf('patient')).at(-1)).toEqual({ name: 'zip', type: 'text' });
  await expect(blocker.query('SELECT 1')).rejects.toThrow();
});

test('a retyped field rebuilds the tables while running', async () => {
  source.define(definition('visit', { at: 'text', tags: 'text[]', doc: 'jsonb' }));
  source.append('visit', [['v-3', { at: 'noon' }]]);
  await model.waitFor(source.position);
  expect(await rowsOf('SELECT aggregate_id, at FROM visit ORDER BY 1')).toEqual([
    { aggregate_id: 'v-1', at: '2026-01-01 12:00+01' },
    { aggregate_id: 'v-2', at: null },
    { aggregate_id: 'v-3', at: 'noon' },
  ]);
});

test('more waits than is kept: the engine is asked what changed', async () => {
  const before = source.catchUps;
  for (let i = 0; i < 201; i++) {
    source.append(
      'patient',
      Array.from({ length: 1000 }, (_, k) => [`o-${k}`, { first_name: `${i}` }] as const),
    );
  }
  await model.waitFor(source.position);
  expect(source.catchUps).toBe(before + 1);
  expect(
    await rowsOf(`SELECT count(*)::int, min(version)::int AS low FROM patient WHERE aggregate_id LIKE 'o-%'`),
  ).toEqual([{ count: 1000, low: 201 }]);
});

test('many commits at once stay in order with the cursor', async () => {
  for (let round = 0; round < 2000; round++)
    source.append('patient', [[`m-${round % 500}`, { first_name: `${round}` }]]);
  await model.waitFor(source.position);
  expect(
    await rowsOf(
      `SELECT count(*)::int, min(version)::int, max(first_name::int) FROM patient WHERE aggregate_id LIKE 'm-%'`,
    ),
  ).toEqual([{ count: 500, min: 4, max: 1999 }]);
});
