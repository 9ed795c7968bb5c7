/** JSON in fields: whoever reads it, and by whatever way, is shown the same. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type pg from 'pg';
import { startTestServer, type TestServer } from '../harness.js';
import { callVerify } from '../durability/support.js';

let server: TestServer;
let client: pg.Client;

beforeAll(async () => {
  server = await startTestServer();
  client = await server.connect(undefined, { types: { getTypeParser: () => String } });
  await client.query('CREATE AGGREGATE doc (j json, b jsonb, EVENT doc_set)');
});
afterAll(async () => {
  await client.end();
  await server.destroy();
});

const READS = ['doc', 'doc AS OF VERSION 1', 'doc AS OF POSITION 1000000', 'doc_history', 'events.doc_set'];

test.each(['null', '"text"', '{"a": null}', '[1, "\\u00e9", {"b": "\\"\\\\"}]', '1e400', 'true'])(
  'the value %s',
  async (value) => {
    const id = Buffer.from(value).toString('hex');
    await client.query('INSERT INTO doc EVENTS doc_set (aggregate_id, j, b) VALUES ($1, $2, $2)', [
      id,
      value,
    ]);
    const read = async (relation: string): Promise<object | undefined> => {
      const sql = `SELECT j, b, j IS NULL AS jn, b IS NULL AS bn FROM ${relation} WHERE aggregate_id = $1`;
      return (await client.query<object>(sql, [id])).rows[0];
    };
    const shown = await read('doc');
    expect(shown).toMatchObject({ j: value, jn: 'f', bn: 'f' });
    for (const relation of READS) expect([relation, await read(relation)]).toEqual([relation, shown]);
    const direct = await client.query<object>(
      'SELECT j, b FROM doc AS OF VERSION 1 WHERE aggregate_id = $1',
      [id],
    );
    expect(shown).toMatchObject(direct.rows[0] ?? {});
    await client.query('BEGIN');
    await client.query('INSERT INTO doc EVENTS doc_set (aggregate_id, j, b) VALUES ($1, $2, $2)', [
      id,
      value,
    ]);
    expect(await read('doc')).toEqual(shown);
    await client.query('ROLLBACK');
  },
);

test('verifies', async () => {
  await callVerify(client);
});
