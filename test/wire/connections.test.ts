import type pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../harness.js';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
  const client = await server.connect();
  await client.query('CREATE AGGREGATE patient (name text, EVENT patient_named)');
  await client.end();
});
afterAll(() => server.destroy());

async function backends(): Promise<number> {
  const { rows } = await server.server.readModel.query(
    "SELECT count(*)::int AS n FROM pg_stat_activity WHERE usename LIKE '%reader%'",
  );
  return Number((rows[0] as { n: number }).n);
}

it('300 connected clients read and append through fewer connections, and none once they are idle', async () => {
  const clients: pg.Client[] = [];
  for (let i = 0; i < 300; i++) clients.push(await server.connect());
  expect(await backends()).toBe(0);
  const append = "INSERT INTO patient EVENTS patient_named (aggregate_id, name) VALUES ('p', $1)";
  await Promise.all(clients.map((client, i) => client.query(append, [String(i)])));
  const answers = await Promise.all(clients.map((client) => client.query('SELECT version FROM patient')));
  expect(answers.map(({ rows }) => (rows[0] as { version: string }).version)).toEqual(
    clients.map(() => '300'),
  );
  await expect.poll(backends, { timeout: 10_000 }).toBe(0);
  await Promise.all(clients.map((client) => client.end()));
});

it('a session keeps what it has set, and its prepared statements, over an idle while', async () => {
  const [plain, stateful] = [await server.connect(), await server.connect()];
  const named = { name: 'one', text: 'SELECT $1::int + 1 AS n', values: [1] };
  expect((await plain.query(named)).rows).toEqual([{ n: 2 }]);
  await stateful.query("SET TimeZone = 'Asia/Tokyo'");
  await expect.poll(backends, { timeout: 10_000 }).toBe(1);
  expect((await plain.query({ ...named, values: [2] })).rows).toEqual([{ n: 3 }]);
  expect((await stateful.query('SHOW TimeZone')).rows).toEqual([{ TimeZone: 'Asia/Tokyo' }]);
  await Promise.all([plain.end(), stateful.end()]);
});
