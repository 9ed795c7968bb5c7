/** LISTEN through a driver: one notification for each committed event, in commit order. */
import type pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../harness.js';

interface Heard {
  readonly aggregate_id: string;
  readonly version: number;
  readonly position: number;
  readonly event_type: string;
}

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
  const client = await server.connect();
  await client.query('CREATE AGGREGATE patient (n bigint, EVENT patient_seen, EVENT patient_left)');
  await client.query('CREATE AGGREGATE visit (n bigint, EVENT visited)');
  await client.end();
});
afterAll(() => server.destroy());

async function listener(channel: string, heard: Heard[], token?: string): Promise<pg.Client> {
  const client = await server.connect(token);
  client.on('notification', (message) => {
    expect(message.channel).toBe(channel);
    heard.push(JSON.parse(message.payload ?? '') as Heard);
  });
  await client.query(`LISTEN ${channel}`);
  return client;
}

it('hears what many writers commit, in the order of its positions, and nothing of what they roll back', async () => {
  const [patients, visits]: [Heard[], Heard[]] = [[], []];
  const listeners = [await listener('patient', patients), await listener('visit', visits)];
  const writers = await Promise.all(Array.from({ length: 6 }, () => server.connect()));
  const seen = 'INSERT INTO patient EVENTS patient_seen (aggregate_id, n) VALUES ($1, $2)';
  await Promise.all(
    writers.map(async (writer, w) => {
      for (let n = 0; n < 20; n++) {
        await writer.query(seen, [`p-${w % 3}`, n]);
        await writer.query('BEGIN');
        await writer.query(seen, [`p-${w}`, n]);
        await writer.query(`INSERT INTO visit EVENTS visited (aggregate_id, n) VALUES ('v', ${n})`);
        await writer.query(n % 4 === 3 ? 'ROLLBACK' : 'COMMIT');
        if (n % 5 === 0)
          await writer.query(`${seen} EXPECT VERSION 9999`, [`p-${w}`, n]).catch(() => undefined);
      }
    }),
  );
  const { rows } = await writers[0]!.query(
    `SELECT aggregate_id, version::int, position::int, event_type FROM patient_events ORDER BY position`,
  );
  expect(rows.length).toBe(6 * (20 + 15));
  await expect.poll(() => patients.length, { timeout: 10_000 }).toBe(rows.length);
  expect(patients).toEqual(rows);
  expect(visits.length).toBe(6 * 15);
  await Promise.all([...listeners, ...writers].map((client) => client.end()));
});

it('goes through an idle connection, ends with UNLISTEN, and wants the right to read', async () => {
  const heard: Heard[] = [];
  const client = await listener('visit', heard);
  const append = (n: number): Promise<unknown> =>
    server.server.engine.append(
      [
        {
          ...{ aggregateType: 'visit', aggregateId: 'idle', eventType: 'visited', payload: { n: String(n) } },
          ...{ metadata: null, eventId: null, expected: { kind: 'any' }, ignoreDuplicate: false },
        },
      ],
      { actor: 'user:test', tokenId: null, writeLimit: null },
    );
  // Longer than an idle session without LISTEN keeps its connection to the read model.
  await new Promise((resolve) => setTimeout(resolve, 3000));
  await append(1);
  await expect.poll(() => heard.length, { timeout: 5000 }).toBe(1);
  expect(heard[0]).toMatchObject({ aggregate_id: 'idle', version: 1, event_type: 'visited' });
  await client.query('UNLISTEN visit');
  await append(2);
  await client.query('SELECT 1');
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(heard.length).toBe(1);
  await client.end();
  const reader = await server.connect(await server.tokenFor(['read:visit:*']));
  await reader.query('LISTEN visit');
  await expect(reader.query('LISTEN patient')).rejects.toMatchObject({ code: '42501' });
  await reader.end();
});
