/** Aggregates with very many fields: what PostgreSQL's table has no room for is refused, and the rest is shown. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type pg from 'pg';
import { startTestServer, type TestServer } from '../harness.js';

const FIELDS = 990;
let server: TestServer;
let client: pg.Client;

beforeAll(async () => {
  server = await startTestServer();
  client = await server.connect();
});
afterAll(async () => {
  await client.end();
  await server.destroy();
});

test.each([
  ['text', 'x'.repeat(47), 54],
  ['text', 'é'.repeat(11), 54],
  ['text', 'x'.repeat(22), 54],
  ['text', 'x', 0],
  ['numeric', '9'.repeat(40), 54],
  ['uuid', '7c9e6679-7425-40de-944b-e07fc1f90ae7', 54],
  ['timestamptz', '2026-01-31T17:05:00.123456Z', 54],
  ['bigint', '9223372036854775807', 54],
  ['bigint', '7', 0],
  ['boolean', 'true', 0],
  ['jsonb', '{"a":[1,2,3,4,5,6,7,8]}', 54],
])('of type %s', async (type, value, refused) => {
  const name = `wide_${Math.random().toString(36).slice(2)}`;
  const names = Array.from({ length: FIELDS }, (_, i) => `f${i}`);
  await client.query(
    `CREATE AGGREGATE ${name} (${names.map((f) => `${f} ${type}`).join(', ')}, EVENT ${name}_set)`,
  );
  const set = (count: number): Promise<unknown> =>
    client.query(`INSERT INTO ${name} EVENTS ${name}_set (aggregate_id, payload) VALUES ('a', $1)`, [
      JSON.stringify(Object.fromEntries(names.slice(0, count).map((field) => [field, value]))),
    ]);
  const shown = async (): Promise<unknown> =>
    (
      await client.query<{ n: string }>(
        `SELECT max(num_nonnulls(${names.slice(0, 90).join(', ')})) AS n FROM ${name} WHERE version > 0`,
      )
    ).rows[0]?.n;
  await set(300);
  // As much as fits, and not one more.
  let [fits, fails] = [300, FIELDS + 1];
  while (fails - fits > 1) {
    const middle = (fits + fails) >> 1;
    const error = await set(middle).then(
      () => null,
      (thrown: unknown) => thrown as { code: string },
    );
    if (error === null) fits = middle;
    else {
      expect(error.code).toBe('54000');
      fails = middle;
    }
    expect(await shown()).toBe(90);
  }
  expect(fails <= FIELDS).toBe(refused > 0);
});
