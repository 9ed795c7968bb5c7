/** Logical replication to an ordinary PostgreSQL: initial rows, then changes, for what the token may read. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../harness.js';
import { append, CLINIC, conninfo, created, renamed, TABLES } from '../replicated.js';
import { startSubscriber, type Subscriber } from '../subscriber.js';

let db: TestServer;
let subscriber: Subscriber;

beforeAll(async () => {
  db = await startTestServer();
  subscriber = await startSubscriber();
  await append(db, ...CLINIC);
}, 60_000);

afterAll(async () => {
  await subscriber?.stop();
  await db?.destroy();
});

beforeEach(() => subscriber.query(TABLES));

afterEach(async () => {
  for (const { name } of await subscriber.query('SELECT subname AS name FROM pg_subscription'))
    await subscriber.query(`DROP SUBSCRIPTION ${String(name)}`);
  await subscriber.query('DROP TABLE IF EXISTS patient, visit, ward');
});

async function subscribe(name: string, token: string, publication = 'eventful'): Promise<void> {
  await subscriber.query(
    `CREATE SUBSCRIPTION ${name} CONNECTION '${conninfo(db.port, token)}' PUBLICATION ${publication}`,
  );
}

async function slots(): Promise<number> {
  const { rows } = await db.server.readModel.query('SELECT FROM pg_replication_slots');
  return rows.length;
}

const names = (rows: Record<string, unknown>[]): unknown => rows.map(({ name }) => name);

describe('a subscription to everything', () => {
  it('receives the rows there are and then changes, and its end leaves no slot', async () => {
    await subscribe('everything', db.token);
    const all = 'SELECT aggregate_id, version, name, archived FROM patient ORDER BY 1';
    expect(await subscriber.until(all, (rows) => rows.length === 2)).toEqual([
      { aggregate_id: 'p-1', version: '1', name: 'Ada', archived: false },
      { aggregate_id: 'p-2', version: '1', name: 'Grace', archived: false },
    ]);
    await append(db, renamed('p-2', 'Grace H.'), created('p-3', 'Edsger'));
    expect(await subscriber.until(all, (rows) => rows.length === 3)).toEqual([
      { aggregate_id: 'p-1', version: '1', name: 'Ada', archived: false },
      { aggregate_id: 'p-2', version: '2', name: 'Grace H.', archived: false },
      { aggregate_id: 'p-3', version: '1', name: 'Edsger', archived: false },
    ]);
    const [here] = await subscriber.query(
      'SELECT md5(string_agg(p::text, $$,$$ ORDER BY aggregate_id)) AS sum FROM patient p',
    );
    const client = await db.connect();
    const there = await client.query(
      'SELECT md5(string_agg(p::text, $$,$$ ORDER BY aggregate_id)) AS sum FROM patient p',
    );
    await client.end();
    expect(here).toEqual(there.rows[0]);
    expect(await slots()).toBe(1);
    await subscriber.query('DROP SUBSCRIPTION everything');
    expect(await slots()).toBe(0);
  }, 60_000);

  it('takes an aggregate type made later after REFRESH PUBLICATION, and a new field after ADD COLUMN', async () => {
    await subscribe('growing', db.token);
    await append(
      db,
      'CREATE AGGREGATE ward (beds integer, EVENT ward_opened (beds)) WITH (open = on)',
      `INSERT INTO ward EVENTS ward_opened (aggregate_id, beds) VALUES ('w-1', 4)`,
    );
    await subscriber.query(
      'CREATE TABLE ward (aggregate_id text PRIMARY KEY, version bigint, created_at timestamptz, updated_at timestamptz, archived boolean, beds integer)',
    );
    await subscriber.query('ALTER SUBSCRIPTION growing REFRESH PUBLICATION');
    const beds = 'SELECT aggregate_id, beds FROM ward ORDER BY 1';
    expect(await subscriber.until(beds, (rows) => rows.length === 1)).toEqual([
      { aggregate_id: 'w-1', beds: 4 },
    ]);
    await append(
      db,
      `INSERT INTO ward EVENTS ward_opened (aggregate_id, colour) VALUES ('w-1', 'green')`,
      `INSERT INTO ward EVENTS ward_opened (aggregate_id, beds) VALUES ('w-2', 9)`,
    );
    // The apply worker says which column it lacks and tries again until it is there.
    await sleep(300);
    expect(await subscriber.query(beds)).toHaveLength(1);
    await subscriber.query('ALTER TABLE ward ADD COLUMN colour text');
    expect(
      await subscriber.until(
        'SELECT aggregate_id, beds, colour FROM ward ORDER BY 1',
        (rows) => rows.length === 2,
      ),
    ).toEqual([
      { aggregate_id: 'w-1', beds: 4, colour: 'green' },
      { aggregate_id: 'w-2', beds: 9, colour: null },
    ]);
  }, 60_000);
});

describe('a subscription to less', () => {
  it('one publication per aggregate type', async () => {
    await subscribe('visits', db.token, 'visit');
    expect(
      await subscriber.until('SELECT aggregate_id FROM visit', (rows) => rows.length === 1),
    ).toHaveLength(1);
    await append(
      db,
      created('p-8', 'Barbara'),
      `INSERT INTO visit EVENTS visit_created (aggregate_id, reason) VALUES ('v-2', 'cold')`,
    );
    expect(
      await subscriber.until('SELECT aggregate_id FROM visit', (rows) => rows.length === 2),
    ).toHaveLength(2);
    expect(await subscriber.query('SELECT FROM patient')).toHaveLength(0);
    // A type added later to the same subscription is copied, then followed.
    await subscriber.query('ALTER SUBSCRIPTION visits ADD PUBLICATION patient');
    await append(db, renamed('p-8', 'Barbara L.'));
    const found = await subscriber.until(
      `SELECT name FROM patient WHERE aggregate_id = 'p-8' AND version = 2`,
      (rows) => rows.length === 1,
    );
    expect(names(found)).toEqual(['Barbara L.']);
  }, 60_000);

  it('the publication of everything holds what the token may read', async () => {
    const token = await db.tokenFor(['read:visit:*']);
    await subscribe('limited', token);
    expect(await subscriber.query('SELECT srrelid::regclass::text AS name FROM pg_subscription_rel')).toEqual(
      [{ name: 'visit' }],
    );
    await append(
      db,
      created('p-9', 'Alan'),
      `INSERT INTO visit EVENTS visit_created (aggregate_id, reason) VALUES ('v-3', 'sprain')`,
    );
    const reasons = await subscriber.until(
      `SELECT reason AS name FROM visit WHERE aggregate_id = 'v-3'`,
      (rows) => rows.length === 1,
    );
    expect(names(reasons)).toEqual(['sprain']);
    expect(await subscriber.query('SELECT FROM patient')).toHaveLength(0);
  }, 60_000);

  it.each([
    ['the type', ['read:visit:*'], 'patient'],
    ['some aggregates of the type', ['read:visit:*', 'read:patient:p-1'], 'patient'],
    ['some aggregates of any type', ['read:*:p-*'], 'patient'],
    ['no type in whole', ['read:patient:p-1', 'append:visit:*'], 'eventful'],
  ])(
    'is refused when the token may read only: not %s',
    async (_, grants, publication) => {
      const token = await db.tokenFor(grants);
      await expect(subscribe('refused', token, publication)).rejects.toThrow(
        /permission denied for publication/,
      );
      expect(await slots()).toBe(0);
    },
    60_000,
  );

  it('the catalogue tells a token of the tables it could have', async () => {
    const token = await db.tokenFor(['read:visit:*', 'read:patient:p-1']);
    for (const [password, wanted] of [
      [token, ['eventful visit', 'visit visit']],
      [db.token, ['eventful patient', 'eventful visit', 'patient patient', 'visit visit']],
    ] as const) {
      const client = await db.connect(password);
      const { rows } = await client.query<{ entry: string }>(
        `SELECT pubname || ' ' || tablename AS entry FROM pg_publication_tables WHERE tablename <> 'ward' ORDER BY 1`,
      );
      await client.end();
      expect(rows.map(({ entry }) => entry)).toEqual(wanted);
    }
  });
});
