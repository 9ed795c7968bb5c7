/** A server killed with -9 while a subscriber follows it: nothing is missed, and another token of the same holder goes on. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createKeyring, openKeyring } from '../../engine/index.js';
import { removeReadModel } from '../../readmodel/index.js';
import { CLINIC, conninfo, created, renamed, TABLES } from '../replicated.js';
import { startSubscriber, type Subscriber } from '../subscriber.js';
import { buildIfStale, startServerProcess, type ServerProcess } from './child.js';

const directory = mkdtempSync(join(tmpdir(), 'eventful-replication-'));
const keys = { masterKey: randomBytes(32), dek: randomBytes(32) };
const storeId = (): string => openKeyring(directory, keys).storeId.toString('hex');
let server: ServerProcess;
let subscriber: Subscriber;

beforeAll(async () => {
  buildIfStale();
  createKeyring(directory, keys);
  subscriber = await startSubscriber();
}, 120_000);
afterAll(async () => {
  await server?.kill();
  await subscriber?.stop();
  await removeReadModel(storeId());
  rmSync(directory, { recursive: true, force: true });
});

async function append(...statements: readonly string[]): Promise<void> {
  const client = await server.connect();
  for (const statement of statements) await client.query(statement);
  await client.end();
}

const NAMES = 'SELECT aggregate_id, version, name FROM patient ORDER BY 1';

async function caughtUp(): Promise<void> {
  const client = await server.connect();
  const { rows } = await client.query<Record<string, unknown>>(NAMES);
  await client.end();
  const there = await subscriber.until(NAMES, (found) => JSON.stringify(found) === JSON.stringify(rows));
  expect(there).toEqual(rows);
}

test.each([
  ['and its read model is still there', false],
  ['and the machine forgot its memory', true],
])(
  'killed while it streams, %s',
  async (_, forget) => {
    server = await startServerProcess(directory, keys);
    const first = await subscriber.query('SELECT FROM pg_subscription');
    if (first.length === 0) {
      await append(...CLINIC);
      await subscriber.query(TABLES);
      await subscriber.query(
        `CREATE SUBSCRIPTION clinic CONNECTION '${conninfo(server.port, server.token)}' PUBLICATION eventful`,
      );
    } else
      await subscriber.query(`ALTER SUBSCRIPTION clinic CONNECTION '${conninfo(server.port, server.token)}'`);
    await caughtUp();
    let acknowledged = 0;
    const writing = (async () => {
      const client = await server.connect();
      for (; ; acknowledged++) await client.query(created(`k-${forget}-${acknowledged}`, 'written'));
    })().catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await server.kill();
    await writing;
    expect(acknowledged).toBeGreaterThan(10);
    if (forget) await removeReadModel(storeId());
    server = await startServerProcess(directory, keys);
    await append(renamed('p-1', `after ${forget}`));
    await subscriber.query(`ALTER SUBSCRIPTION clinic CONNECTION '${conninfo(server.port, server.token)}'`);
    await caughtUp();
    expect(
      await subscriber.query(`SELECT FROM patient WHERE aggregate_id LIKE 'k-${forget}-%'`),
    ).not.toHaveLength(0);
    await server.stop();
  },
  120_000,
);
