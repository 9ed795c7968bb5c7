/** A subscription goes on by itself after either side restarts, and after the read model is lost with all its slots. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../harness.js';
import { append, CLINIC, conninfo, created, renamed, TABLES } from '../replicated.js';
import { startSubscriber, type Subscriber } from '../subscriber.js';

let db: TestServer;
let subscriber: Subscriber;

beforeAll(async () => {
  db = await startTestServer();
  subscriber = await startSubscriber();
  await append(db, ...CLINIC);
  await subscriber.query(TABLES);
  const token = await db.tokenFor(['read:*:*'], { holder: 'warehouse' });
  await subscriber.query(
    `CREATE SUBSCRIPTION warehouse CONNECTION '${conninfo(db.port, token)}' PUBLICATION eventful`,
  );
  await caughtUp();
  // Rows are there before the workers that copied them have dropped their own slots.
  const copying = `SELECT FROM pg_subscription_rel WHERE srsubstate <> 'r'`;
  expect(await subscriber.until(copying, (rows) => rows.length === 0)).toHaveLength(0);
}, 60_000);

afterAll(async () => {
  await subscriber?.stop();
  await db?.destroy();
});

const STATE = `SELECT 'p' AS t, aggregate_id, version, updated_at::text, name AS value FROM patient
  UNION ALL SELECT 'v', aggregate_id, version, updated_at::text, reason FROM visit ORDER BY 1, 2`;

/** Both sides show the same rows, as the server has them now. */
async function caughtUp(): Promise<void> {
  const client = await db.connect();
  const { rows } = await client.query<Record<string, unknown>>(STATE);
  await client.end();
  const there = await subscriber.until(STATE, (found) => JSON.stringify(found) === JSON.stringify(rows));
  expect(there).toEqual(rows);
}

/** Waits until EventfulDB knows that the subscriber has everything. */
async function confirmed(): Promise<void> {
  await caughtUp();
  const position = db.server.engine.committedPosition();
  const file = join(db.directory, 'replication');
  for (let i = 0; i < 200; i++) {
    const { slots } = JSON.parse(db.server.engine.openFile('replication', readFileSync(file)).toString()) as {
      slots: { position: string }[];
    };
    if (slots.every((slot) => BigInt(slot.position) >= position)) return;
    await sleep(100);
  }
  throw new Error('the subscriber never confirmed what it has');
}

async function restartServer(removeReadModel: boolean): Promise<void> {
  await db.server.stop({ removeReadModel });
  db = await startTestServer({ reopen: db, port: db.port });
}

const disable = (): Promise<unknown> => subscriber.query('ALTER SUBSCRIPTION warehouse DISABLE');
const enable = (): Promise<unknown> => subscriber.query('ALTER SUBSCRIPTION warehouse ENABLE');
/** When each row was last written on the subscriber. */
const writes = (): Promise<Record<string, unknown>[]> =>
  subscriber.query('SELECT aggregate_id, xmin::text FROM patient ORDER BY 1');

/** Moves the WAL far ahead of where a new read model's begins. */
async function writeLog(): Promise<void> {
  for (let i = 0; i < 4; i++) {
    await db.server.readModel.query(`SELECT pg_logical_emit_message(false, 'x', 'x')`);
    await db.server.readModel.query('SELECT pg_switch_wal()');
  }
}

async function released(): Promise<void> {
  for (let i = 0; i < 100; i++) {
    const { rows } = await db.server.readModel.query('SELECT FROM pg_replication_slots WHERE active');
    if (rows.length === 0) return;
    await sleep(50);
  }
  throw new Error('the slot stays in use');
}

async function dropped(): Promise<void> {
  await released();
  await db.server.readModel.query('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots');
}

describe('a subscription goes on', () => {
  it('after the subscriber was restarted, with what happened meanwhile', async () => {
    const restarting = subscriber.restart();
    await append(db, renamed('p-1', 'Ada L.'), created('r-1', 'during the restart'));
    await restarting;
    await append(db, renamed('r-1', 'after the restart'));
    await caughtUp();
  }, 60_000);

  it('after the server was restarted and its read model was still there', async () => {
    const before = await db.server.readModel.query('SELECT slot_name FROM pg_replication_slots');
    await restartServer(false);
    await append(db, renamed('p-1', 'Countess'), created('r-2', 'Annie'));
    await caughtUp();
    const after = await db.server.readModel.query('SELECT slot_name FROM pg_replication_slots');
    expect(before.rows).toEqual([{ slot_name: 'warehouse' }]);
    expect(after.rows).toEqual(before.rows);
    expect(db.server.readModel.report).toBeNull();
  }, 60_000);

  it("after the read model's PostgreSQL was killed", async () => {
    process.kill(db.server.readModel.pid ?? 0, 'SIGKILL');
    await append(db, renamed('p-1', 'killed'), created('r-3', 'Hedy'));
    await caughtUp();
  }, 60_000);

  it('after the read model was lost: what the subscriber had not seen arrives, new rows and changed ones', async () => {
    await writeLog();
    await append(db, renamed('r-3', 'at a high position'));
    await confirmed();
    const known = await writes();
    await disable();
    await released();
    await append(db, renamed('p-1', 'missed'), created('m-1', 'missed'), renamed('m-1', 'missed twice'));
    await restartServer(true);
    expect(db.server.readModel.report).not.toBeNull();
    await append(db, renamed('p-2', 'after the loss'), created('m-2', 'after the loss'));
    await enable();
    await caughtUp();
    // What the subscriber had was not sent again.
    const unchanged = (rows: Record<string, unknown>[]): unknown =>
      rows.filter(({ aggregate_id: id }) => !['p-1', 'p-2', 'm-1', 'm-2'].includes(String(id)));
    expect(unchanged(await writes())).toEqual(unchanged(known));
    await append(db, renamed('m-2', 'and on'));
    await caughtUp();
  }, 60_000);

  it('after it was lost twice before the subscriber came back', async () => {
    await disable();
    await released();
    await append(db, renamed('p-1', 'one'));
    await restartServer(true);
    await append(db, renamed('p-1', 'two'), created('t-1', 'two'));
    await restartServer(true);
    await append(db, renamed('t-1', 'three'));
    await enable();
    await caughtUp();
  }, 60_000);

  it('after it was lost while the clock stood back', async () => {
    await db.server.readModel.query(
      'UPDATE eventful_internal.standing SET lsn_base = lsn_base + 1::numeric * (1::bigint << 50)',
    );
    await restartServer(false);
    await append(db, renamed('p-1', 'in the future'));
    await confirmed();
    await restartServer(true);
    await append(db, renamed('p-1', 'back'), created('c-1', 'back'));
    await caughtUp();
  }, 60_000);

  it('after a rebuild within the same PostgreSQL', async () => {
    await disable();
    await released();
    await append(db, renamed('p-1', 'before the rebuild'), created('b-1', 'before the rebuild'));
    await db.server.readModel.waitFor(db.server.engine.committedPosition());
    await db.server.readModel.query('DELETE FROM eventful_internal.cursor');
    await restartServer(false);
    expect(db.server.readModel.report).not.toBeNull();
    await append(db, renamed('b-1', 'after the rebuild'));
    await enable();
    await caughtUp();
  }, 60_000);

  it('after it stayed away for longer than its WAL is kept', async () => {
    await confirmed();
    await disable();
    await released();
    const { readModel } = db.server;
    await append(db, renamed('p-1', 'away'), created('w-1', 'away'));
    await readModel.waitFor(db.server.engine.committedPosition());
    await readModel.query(`ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'`);
    await readModel.query('SELECT pg_reload_conf()');
    for (let i = 0; i < 20; i++) {
      await readModel.query(`SELECT pg_logical_emit_message(false, 'x', 'x')`);
      await readModel.query('SELECT pg_switch_wal()');
      await readModel.query('CHECKPOINT');
      const { rows } = await readModel.query('SELECT wal_status FROM pg_replication_slots');
      if (rows[0]?.['wal_status'] === 'lost') break;
    }
    const { rows } = await readModel.query('SELECT wal_status FROM pg_replication_slots');
    expect(rows).toEqual([{ wal_status: 'lost' }]);
    await readModel.query('ALTER SYSTEM RESET max_slot_wal_keep_size');
    await readModel.query('SELECT pg_reload_conf()');
    await enable();
    await caughtUp();
  }, 60_000);

  it('after a catch-up that was interrupted', async () => {
    await disable();
    await dropped();
    await append(db, renamed('p-1', 'interrupted'), created('i-1', 'interrupted'));
    // The slot is made anew, but the server dies before it has sent again what was missed.
    const { replication } = db.server.readModel;
    const resend = replication.resend.bind(replication);
    replication.resend = () => new Promise(() => undefined);
    await enable();
    for (let i = 0; i < 100 && (await replication.slot('warehouse'))?.active !== true; i++) await sleep(50);
    expect((await replication.slot('warehouse'))?.active).toBe(true);
    replication.resend = resend;
    await restartServer(false);
    await caughtUp();
  }, 60_000);
});
