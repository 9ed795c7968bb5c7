/** Statements that were prepared and described before an open aggregate took a new field. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../harness.js';
import { m, RawClient } from './raw.js';

const COUNT = "SELECT count(*) AS n FROM device WHERE aggregate_id = $1 OR name = 'x'";
/** By who answers them: the engine, a shared connection, the session's own; what shows no `*` goes on. */
const STARS = [
  'SELECT * FROM device WHERE aggregate_id = $1',
  'SELECT *, version + 1 AS next FROM device WHERE aggregate_id = $1 AND version > 0',
  'SELECT d.*, length(d.name) FROM device d WHERE d.aggregate_id = $1',
];
const HIDDEN = 'SELECT o.* FROM other o WHERE aggregate_id = $1 AND EXISTS (SELECT * FROM device)';
const PLAIN = [
  'SELECT version FROM device WHERE aggregate_id = $1',
  'SELECT version + 1 AS next FROM device WHERE aggregate_id = $1 AND version > 0',
  COUNT,
  'SELECT * FROM other WHERE aggregate_id = $1',
  'SELECT * FROM device AS OF VERSION 1 WHERE aggregate_id = $1',
];

let server: TestServer;
let fields = 0;

async function newField(): Promise<void> {
  const client = await server.connect();
  await client.query(
    `INSERT INTO device EVENTS read (aggregate_id, name, f${++fields}) VALUES ('d', 'n', 'x')`,
  );
  await client.end();
}

beforeAll(async () => {
  server = await startTestServer();
  const client = await server.connect();
  await client.query('CREATE AGGREGATE device (EVENT read)');
  await client.query('CREATE AGGREGATE other (name text, EVENT seen)');
  await client.query("INSERT INTO other EVENTS seen (aggregate_id, name) VALUES ('d', 'n')");
  await client.end();
  await newField();
});
afterAll(() => server.destroy());

const read = (client: RawClient): Promise<string[]> =>
  client.run(m.bind(['d'], { statement: 's' }), m.execute(), m.sync());
const columns = (row: string | undefined): number => row?.split('|').length ?? 0;

/** Prepares, describes and reads on one session; then another one does, so that the server knows the statement. */
async function prepared(sql: string): Promise<{ sql: string; client: RawClient; width: number }> {
  const clients = [await RawClient.ready(server.port, server.token)];
  clients.push(await RawClient.ready(server.port, server.token));
  for (const client of clients) await client.run(m.parse(sql, 's'), m.describe('s'), m.sync());
  const [first, second] = clients;
  if (first === undefined || second === undefined) throw new Error('no clients');
  first.close();
  return { sql, client: second, width: columns((await read(second))[1]) };
}

it.each(['at once', 'after somebody else prepared it anew', 'after its connection was given back'])(
  'a * that stands for more by now is refused, %s, and what shows none goes on',
  async (when) => {
    const stars = await Promise.all(STARS.map(prepared));
    const plain = await Promise.all(PLAIN.map(prepared));
    await newField();
    if (when.includes('somebody else'))
      for (const { client } of await Promise.all([...STARS, ...PLAIN].map(prepared))) client.close();
    // Two seconds idle.
    if (when.includes('given back')) await new Promise((resolve) => setTimeout(resolve, 2600));
    for (const { sql, client } of stars) {
      // As often as it is tried, until it is prepared anew.
      for (let i = 0; i < 2; i++) expect([sql, await read(client)]).toEqual([sql, ['E:0A000', 'Z:I']]);
      await client.run(m.close('s'), m.parse(sql, 's'), m.sync());
      expect((await read(client)).slice(-2)).toEqual(['C:SELECT 1', 'Z:I']);
      client.close();
    }
    for (const { sql, client, width } of plain) {
      const answer = await read(client);
      expect([sql, ...answer.slice(-2)]).toEqual([sql, 'C:SELECT 1', 'Z:I']);
      expect([sql, columns(answer[1])]).toEqual([sql, width]);
      client.close();
    }
  },
);

it('a star that does not show what has changed may be refused, but is never told wrongly', async () => {
  const { client, width } = await prepared(HIDDEN);
  await newField();
  const answer = await read(client);
  expect(answer.at(-1)).toBe('Z:I');
  if (answer[0] !== 'E:0A000') expect(columns(answer[1])).toBe(width);
  client.close();
});
