/** Views are events of the schema: they outlive the read model, show no more than their reader may see, and harm nothing. */
import { rmSync } from 'node:fs';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { viewDefined } from '../../engine/schema/views.js';
import type { ViewDefinition } from '../../engine/types.js';
import { startTestServer, type TestServer } from '../harness.js';
import { asText, callVerify } from './support.js';

let server: TestServer;
let admin: pg.Client;

beforeAll(async () => {
  server = await startTestServer();
  admin = await server.connect(undefined, asText);
  await admin.query('CREATE AGGREGATE patient (name text, ward text, EVENT patient_created)');
  await admin.query('CREATE AGGREGATE visit (patient_id text, EVENT visited)');
  await admin.query("INSERT INTO events.patient_created VALUES ('p-1', 'Ada', 'A'), ('q-1', 'Bob', 'B')");
  await admin.query("INSERT INTO events.visited VALUES ('v-1', 'p-1'), ('v-2', 'p-1'), ('v-3', 'q-1')");
  await admin.query('CREATE VIEW names (id, name) AS SELECT aggregate_id, name FROM patient');
  await admin.query(
    'CREATE MATERIALIZED VIEW wards AS SELECT ward, count(*) AS n FROM patient GROUP BY ward',
  );
  await admin.query(
    'CREATE VIEW visits AS SELECT n.name, count(*) AS n FROM names n JOIN visit v ON v.patient_id = n.id GROUP BY 1',
  );
  await admin.query('CREATE MATERIALIZED VIEW busiest AS SELECT name FROM visits ORDER BY n DESC LIMIT 1');
});
afterAll(() => server?.destroy());

async function rows(client: pg.Client, sql: string): Promise<string[]> {
  const result = await client.query<string[]>({ text: sql, rowMode: 'array' });
  return result.rows.map((row) => row.join('|'));
}
const everything = async (client: pg.Client): Promise<string[][]> => [
  await rows(client, 'SELECT * FROM names ORDER BY id'),
  await rows(client, 'SELECT * FROM wards ORDER BY ward'),
  await rows(client, 'SELECT * FROM visits ORDER BY name'),
  await rows(client, 'SELECT * FROM busiest'),
];
const EXPECTED = [['p-1|Ada', 'q-1|Bob'], ['A|1', 'B|1'], ['Ada|2', 'Bob|1'], ['Ada']];

async function codeOf(client: pg.Client, sql: string): Promise<string> {
  try {
    await client.query(sql);
    return 'no error';
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    return `${code}: ${message}`;
  }
}

/** The server again, with or without what it had in memory. */
async function restart(rebuild: boolean): Promise<void> {
  await admin.end();
  await server.stop();
  if (rebuild) rmSync(server.server.readModel.directory, { recursive: true });
  server = await startTestServer({ reopen: server });
  expect(server.server.readModel.report === null).toBe(!rebuild);
  admin = await server.connect(undefined, asText);
}

describe('after a restart', () => {
  test.each([
    ['that catches up', false],
    ['that rebuilds the read model', true],
  ])('%s, views read as before, and materialized ones are filled', async (_, rebuild) => {
    expect(await everything(admin)).toEqual(EXPECTED);
    await restart(rebuild);
    expect(await everything(admin)).toEqual(EXPECTED);
    expect(await callVerify(admin)).toMatchObject({ verified: 't' });
  });

  test('a materialized view keeps its rows over a restart, and a rebuild fills it anew', async () => {
    await admin.query("INSERT INTO events.patient_created VALUES ('p-2', 'Cy', 'C')");
    await restart(false);
    expect(await rows(admin, 'SELECT ward FROM wards ORDER BY 1')).toEqual(['A', 'B']);
    await restart(true);
    expect(await rows(admin, 'SELECT ward FROM wards ORDER BY 1')).toEqual(['A', 'B', 'C']);
  });

  test('a dropped view stays dropped, and one made anew in between is what it was made last', async () => {
    await admin.query('CREATE VIEW gone AS SELECT name FROM names');
    await admin.query('CREATE VIEW other AS SELECT 1 AS a');
    await admin.query('DROP VIEW gone, other');
    await admin.query("CREATE MATERIALIZED VIEW other AS SELECT 'two' AS b");
    await restart(true);
    expect(await codeOf(admin, 'SELECT * FROM gone')).toMatch(/^42P01/);
    expect(await rows(admin, 'SELECT * FROM other')).toEqual(['two']);
    await admin.query('DROP MATERIALIZED VIEW other');
  });

  test('changes that a read model missed, down while they were made, are caught up with', async () => {
    const { readModel } = server.server;
    // A view replaced in a way that PostgreSQL refuses in one step, while the mirror still has the first form.
    await admin.query('CREATE VIEW moving AS SELECT 1 AS a, 2 AS b');
    await admin.query('CREATE MATERIALIZED VIEW upon AS SELECT a FROM moving');
    await readModel.query(
      `UPDATE eventful_internal.mirror_views SET made = replace(made, '"columns"', '"columns" ') WHERE name = 'moving'`,
    );
    await readModel.query('DROP VIEW views.moving CASCADE');
    await readModel.query("CREATE VIEW views.moving AS SELECT 'x' AS other");
    await restart(false);
    expect(await rows(admin, 'SELECT * FROM moving')).toEqual(['1|2']);
    await expect.poll(() => codeOf(admin, 'SELECT * FROM upon')).toBe('no error');
    await admin.query('DROP VIEW moving CASCADE');
  });
});

describe('a definition that PostgreSQL does not take', () => {
  const broken: ViewDefinition = {
    name: 'broken',
    kind: 'materialized',
    query: 'SELECT no_such_function(name) AS name FROM public.patient',
    columns: [{ name: 'name', type: 'text' }],
    types: ['patient'],
    views: [],
    populate: true,
  };

  test('stops nothing; reading the view says what is wrong, and it can be dropped', async () => {
    const writer = { actor: 'system:test', tokenId: null, writeLimit: null };
    const said: unknown[] = [];
    const { error } = console;
    console.error = (...args: unknown[]): void => void said.push(args);
    try {
      const { engine } = server.server;
      await engine.commitTransaction([viewDefined(broken, broken.query, false)], writer);
      const reader: ViewDefinition = {
        ...broken,
        name: 'reader',
        kind: 'view',
        query: 'SELECT name FROM views.broken',
        types: [],
        views: ['broken'],
      };
      await engine.commitTransaction([viewDefined(reader, reader.query, false)], writer);
      for (const rebuild of [false, true]) {
        const failure =
          /^55000: view "broken" could not be made: function no_such_function\(text\) does not exist/;
        expect(await codeOf(admin, 'SELECT * FROM broken')).toMatch(failure);
        expect(await codeOf(admin, 'SELECT count(*) FROM reader')).toMatch(failure);
        expect(await rows(admin, 'SELECT name FROM names ORDER BY 1')).toContain('Ada');
        await restart(rebuild);
      }
      expect(JSON.stringify(said)).toContain('a view cannot be made');
      await admin.query('DROP VIEW reader');
      await admin.query('DROP MATERIALIZED VIEW broken');
      expect(await codeOf(admin, 'SELECT * FROM broken')).toMatch(/^42P01/);
    } finally {
      console.error = error;
    }
  });
});

describe('what a token may see', () => {
  const as = async (...grants: string[]): Promise<pg.Client> =>
    server.connect(await server.tokenFor(grants), asText);

  test('a view shows the rows that its reader may see, and none of a type it may not', async () => {
    const some = await as('read:patient:p-*');
    expect(await rows(some, 'SELECT id FROM names ORDER BY 1')).toEqual(['p-1', 'p-2']);
    expect(await codeOf(some, 'SELECT * FROM visits')).toMatch(/^42501: permission denied for table visit/);
    await some.end();
    const both = await as('read:patient:q-1', 'read:visit:*');
    expect(await rows(both, 'SELECT * FROM visits')).toEqual(['Bob|1']);
    await both.end();
  });

  test('a materialized view is for those who may read all of every type in it, also by way of views', async () => {
    const all = await as('read:patient:*');
    const part = await as('read:patient:p-*', 'read:visit:*');
    const types = await as('read:patient:*', 'read:visit:*');
    const every = await as('read:*:*');
    await admin.query('CREATE MATERIALIZED VIEW newer AS SELECT count(*) FROM patient');
    for (const client of [all, types, every]) {
      expect(await rows(client, 'SELECT count(*) FROM wards')).toEqual(['3']);
      expect(await rows(client, 'SELECT * FROM newer')).toEqual(['3']);
    }
    for (const client of [types, every])
      expect(await codeOf(client, 'SELECT * FROM busiest')).toBe('no error');
    for (const client of [all, part]) expect(await codeOf(client, 'SELECT * FROM busiest')).toMatch(/^42501/);
    expect(await codeOf(part, 'SELECT * FROM wards')).toMatch(/^42501/);
    expect(await codeOf(part, 'SELECT * FROM newer')).toMatch(/^42501/);
    await restart(true);
    for (const client of [all, part, types, every]) await client.end();
    const again = await as('read:patient:*');
    expect(await rows(again, 'SELECT * FROM newer')).toEqual(['3']);
    expect(await codeOf(again, 'SELECT * FROM busiest')).toMatch(/^42501/);
    await again.end();
    await admin.query('DROP MATERIALIZED VIEW newer');
  });

  test('only an admin makes, fills and drops views', async () => {
    const every = await as('read:*:*', 'append:*:*');
    for (const sql of [
      'CREATE VIEW mine AS SELECT 1 AS a',
      'REFRESH MATERIALIZED VIEW wards',
      'DROP VIEW names',
      'DROP VIEW IF EXISTS nothing',
    ])
      expect(await codeOf(every, sql)).toMatch(/^42501/);
    await every.end();
  });
});

describe('at the same time', () => {
  test('two sessions that make the same view: one is refused, at the latest by its commit', async () => {
    const [one, two] = [await server.connect(), await server.connect()];
    await one.query('BEGIN');
    await two.query('BEGIN');
    await one.query('CREATE VIEW twice AS SELECT 1 AS a');
    await two.query('CREATE VIEW twice AS SELECT 2 AS a');
    await one.query('COMMIT');
    expect(await codeOf(two, 'COMMIT')).toMatch(/^42P07/);
    expect(await rows(admin, 'SELECT a FROM twice')).toEqual(['1']);
    await two.query('BEGIN');
    await two.query('CREATE VIEW upon_twice AS SELECT a FROM twice');
    await one.query('DROP VIEW twice');
    expect(await codeOf(two, 'COMMIT')).toMatch(/^42P01/);
    for (const client of [one, two]) await client.end();
  });

  test('a REFRESH can be cancelled, and the connection goes on', async () => {
    await admin.query(
      'CREATE MATERIALIZED VIEW slow AS SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b WITH NO DATA',
    );
    const client = await server.connect();
    const { processID, secretKey } = client as unknown as { processID: number; secretKey: Buffer };
    const answer = codeOf(client, 'REFRESH MATERIALIZED VIEW slow');
    const { readModel } = server.server;
    const running = async (): Promise<unknown> =>
      (
        await readModel.query(
          "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'REFRESH%'",
        )
      ).rows.length;
    await expect.poll(running).toBe(1);
    await cancel(processID, secretKey);
    expect(await answer).toMatch(/^57014/);
    await expect.poll(running).toBe(0);
    expect(await codeOf(client, 'SELECT 1')).toBe('no error');
    await client.end();
    await admin.query('DROP MATERIALIZED VIEW slow');
  });

  test('a reader that keeps its transaction open holds a REFRESH up no longer than 10 s', async () => {
    const client = await server.connect();
    await client.query('BEGIN');
    await client.query('SELECT * FROM wards');
    expect(await codeOf(admin, 'REFRESH MATERIALIZED VIEW wards')).toMatch(
      /^55P03: a transaction that reads/,
    );
    await client.query('COMMIT');
    expect(await codeOf(admin, 'REFRESH MATERIALIZED VIEW wards')).toBe('no error');
    await client.end();
  }, 30_000);
});

/** What libpq sends on a connection of its own. */
async function cancel(processID: number, secretKey: Buffer | number): Promise<void> {
  const { connect } = await import('node:net');
  const key = typeof secretKey === 'number' ? Buffer.alloc(4) : secretKey;
  if (typeof secretKey === 'number') key.writeInt32BE(secretKey);
  const bytes = Buffer.alloc(12);
  bytes.writeUInt32BE(12 + key.length, 0);
  bytes.writeUInt32BE(80877102, 4);
  bytes.writeUInt32BE(processID, 8);
  const socket = connect(server.port, '127.0.0.1');
  socket.end(Buffer.concat([bytes, key]));
  await new Promise((resolve) => socket.on('close', resolve).on('error', resolve));
}
