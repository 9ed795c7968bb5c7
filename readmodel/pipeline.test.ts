import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startReadModel, type ReadModel } from './index.js';
import { runSteps, type Step } from './pipeline.js';
import { connectAs, FakeSource } from './testing.js';
import { isDataError } from './writer.js';

let model: ReadModel;
let client: pg.Client;

beforeAll(async () => {
  model = await startReadModel({ source: new FakeSource(randomUUID()) });
  client = await connectAs(model, 'read:*:*');
});
afterAll(async () => {
  await client?.end();
  await model?.stop({ remove: true });
});

/** Keeps the number as a setting of the session; dividing by zero refuses it. */
function keep(value: number, text = `SELECT set_config('my.kept', (12 / $1::bigint)::text, false)`): Step {
  return { name: 'keep', text, parameters: [(writer) => writer.int64(value)] };
}
const kept = async (): Promise<unknown> =>
  (await client.query<{ kept: string }>(`SELECT current_setting('my.kept', true) AS kept`)).rows[0]?.kept;

test('steps run in order, prepared once, and a fault undoes those before it', async () => {
  await runSteps(client, [keep(4), keep(3)]);
  expect(await kept()).toBe('4');
  const prepared = `SELECT count(*)::int AS n, sum(generic_plans + custom_plans)::int AS runs FROM pg_prepared_statements`;
  expect((await client.query(prepared)).rows).toEqual([{ n: 1, runs: 2 }]);
  await expect(runSteps(client, [keep(2), keep(0)])).rejects.toMatchObject({ code: '22012' });
  expect(await kept()).toBe('4');
  await runSteps(client, [keep(6)]);
  expect(await kept()).toBe('2');
});

test('another text takes the place of the one with its name', async () => {
  await runSteps(client, [keep(5, `SELECT set_config('my.kept', $1::bigint::text, false)`)]);
  expect(await kept()).toBe('5');
});

test('what is too large is refused as data before it is sent, and the connection goes on', async () => {
  const error: unknown = await runSteps(client, [keep(1)], 50).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ sqlstate: '54000' });
  expect(isDataError(error)).toBe(true);
  await runSteps(client, [keep(12)]);
  expect(await kept()).toBe('1');
});
