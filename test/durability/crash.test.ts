/**
 * kill -9 in the middle of a load, over and over on one store; and the power cut, which besides takes RocksDB's
 * unsynced tail and leaves a torn record in the commit log. Whatever was acknowledged is there afterwards.
 *
 * CRASH_ROUNDS sets how often (5), CRASH_SEED repeats a run's random moments.
 */
import { randomBytes, randomInt } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createKeyring, openEngine, openKeyring } from '../../engine/index.js';
import { readHeader, recordBytes, sectorBytes, type RecordHeader } from '../../engine/log/format.js';
import { removeReadModel } from '../../readmodel/index.js';
import { buildIfStale, startServerProcess, type ServerProcess } from './child.js';
import { asText, callVerify, hashOfFiles } from './support.js';

const ROUNDS = Number(process.env['CRASH_ROUNDS'] ?? 5);
const SEED = Number(process.env['CRASH_SEED'] ?? randomInt(1, 2 ** 31));
const CLIENTS = 4;
const ACCOUNTS = 12;

let state = SEED;
function random(below: number): number {
  state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
  return (state >> 8) % below;
}

const directory = mkdtempSync(join(tmpdir(), 'crash-'));
const keys = { masterKey: randomBytes(32), dek: randomBytes(32) };
const logDirectory = join(directory, 'log');
/** Every start issues a token, which has a position of its own. */
let starts = 0;

/** What clients were told is on disk: position → its event; and the numbers of committed transactions. */
interface Acknowledged {
  readonly id: string;
  readonly version: string;
  readonly n: string;
}
const acknowledged = new Map<string, Acknowledged>();
const transactions = new Set<string>();

async function start(): Promise<ServerProcess> {
  const server = await startServerProcess(directory, keys);
  starts++;
  return server;
}

beforeAll(async () => {
  console.log(`crash: ${ROUNDS} rounds, CRASH_SEED=${SEED}`);
  buildIfStale();
  createKeyring(directory, keys);
  const server = await start();
  const client = await server.connect();
  await client.query(
    'CREATE AGGREGATE account (n bigint, tx bigint, EVENT added) WITH (snapshot_threshold = 10)',
  );
  await client.end();
  await server.kill();
}, 180_000);
afterAll(async () => {
  const { storeId } = openKeyring(directory, keys);
  await removeReadModel(storeId.toString('hex')).catch(() => undefined);
  rmSync(directory, { recursive: true, force: true });
});

let counter = 0;
const account = (): string => `a-${random(ACCOUNTS)}`;

async function appendOne(client: pg.Client): Promise<void> {
  const [id, n] = [account(), String(++counter)];
  const { rows } = await client.query<{ position: string; version: string }>(
    'INSERT INTO account EVENTS added (aggregate_id, n) VALUES ($1, $2) RETURNING position, version',
    [id, n],
  );
  const [row] = rows;
  if (row !== undefined) acknowledged.set(row.position, { id, version: row.version, n });
}

async function appendThree(client: pg.Client): Promise<void> {
  const tx = String(++counter);
  const first = random(ACCOUNTS);
  await client.query('BEGIN');
  for (let i = 0; i < 3; i++)
    await client.query('INSERT INTO account EVENTS added (aggregate_id, n, tx) VALUES ($1, $2, $3)', [
      `a-${(first + i) % ACCOUNTS}`,
      String(++counter),
      tx,
    ]);
  await client.query('COMMIT');
  transactions.add(tx);
}

/** Appends until the server is gone; any other failure fails the test. */
async function load(client: pg.Client, gone: () => boolean): Promise<void> {
  for (let i = 0; !gone(); i++) {
    try {
      await (i % 3 === 2 ? appendThree(client) : appendOne(client));
    } catch (error) {
      if (gone()) return;
      const { code } = error as { code?: string };
      if (code !== '40001') throw error;
      await client.query('ROLLBACK').catch(() => undefined);
    }
  }
}

async function loadAndKill(): Promise<void> {
  const server = await start();
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => server.connect(asText)));
  let killed = false;
  const loads = clients.map((client) => load(client, () => killed));
  const before = acknowledged.size;
  await new Promise((resolve) => setTimeout(resolve, 150 + random(700)));
  // On a machine that is busy with other things the first answer may take longer than that.
  for (let i = 0; i < 1000 && acknowledged.size === before; i++)
    await new Promise((resolve) => setTimeout(resolve, 10));
  killed = true;
  await server.kill();
  await Promise.all(loads);
}

interface Row {
  readonly position: string;
  readonly aggregate_id: string;
  readonly version: string;
  readonly payload: string;
}

async function assertWhole(): Promise<void> {
  const server = await start();
  const client = await server.connect(asText);
  try {
    const { rows } = await client.query<Row>(
      'SELECT position, aggregate_id, version, payload FROM account_events ORDER BY position',
    );
    const events = new Map(
      rows.map((row) => [
        row.position,
        { ...row, fields: JSON.parse(row.payload) as Record<string, string> },
      ]),
    );
    for (const [position, { id, version, n }] of acknowledged)
      expect(events.get(position)).toMatchObject({ aggregate_id: id, version, fields: { n } });
    const perTransaction = new Map<string, number>();
    const heads = new Map<string, { version: number; n: string }>();
    for (const { aggregate_id: id, version, fields } of events.values()) {
      const { tx, n = '' } = fields;
      if (tx !== undefined) perTransaction.set(tx, (perTransaction.get(tx) ?? 0) + 1);
      expect(Number(version)).toBe((heads.get(id)?.version ?? 0) + 1);
      heads.set(id, { version: Number(version), n });
    }
    for (const tx of transactions) expect(perTransaction.get(tx)).toBe(3);
    expect([...perTransaction.values()].filter((n) => n !== 3)).toEqual([]);

    const { verified, size } = await callVerify(client);
    expect(verified).toBe('t');
    // No gap: each position is one of our events, the schema's, or the token of a start.
    expect(Number(size)).toBe(events.size + 1 + starts);
    const last = Math.max(...[...events.keys()].map(Number));
    expect(last).toBeLessThanOrEqual(Number(size));

    const states = await client.query<{ aggregate_id: string; version: string; n: string }>(
      'SELECT aggregate_id, version, n FROM account',
    );
    const found = new Map(
      states.rows.map((row) => [row.aggregate_id, { version: Number(row.version), n: row.n }]),
    );
    expect(found).toEqual(heads);
    const { rows: sums } = await client.query<{ n: string; v: string }>(
      'SELECT count(*) AS n, coalesce(sum(version), 0) AS v FROM account',
    );
    expect(sums).toEqual([{ n: String(heads.size), v: String(events.size) }]);
  } finally {
    await client.end();
    await server.kill();
  }
}

interface Place {
  readonly path: string;
  readonly offset: number;
  readonly header: RecordHeader;
}

/** The records of the commit log by sequence. */
function records(): Place[] {
  const places = new Map<bigint, Place>();
  for (const name of readdirSync(logDirectory).filter((file) => file.endsWith('.log'))) {
    const path = join(logDirectory, name);
    const bytes = readFileSync(path);
    for (let offset = 0; offset < bytes.length; offset += sectorBytes) {
      const header = readHeader(bytes, offset);
      // What is left of a record torn by a power cut may claim more than its segment holds.
      if (header !== null && offset + recordBytes(header.payloadBytes) > bytes.length) continue;
      if (header?.segment === BigInt(parseInt(name, 16)) && header.offset === BigInt(offset))
        places.set(header.sequence, { path, offset, header });
    }
  }
  return [...places.values()].sort((a, b) => (a.header.sequence < b.header.sequence ? -1 : 1));
}

/** What a power cut leaves: no unsynced tail of RocksDB's own log, and half a record behind the last one. */
function cutPower(): void {
  for (const name of readdirSync(join(directory, 'store')).filter((file) => file.endsWith('.log')))
    truncateSync(join(directory, 'store', name));
  const last = records().at(-1);
  if (last === undefined) throw new Error('the commit log is empty');
  const bytes = readFileSync(last.path);
  const end = last.offset + recordBytes(last.header.payloadBytes);
  const torn = Buffer.from(
    bytes.subarray(last.offset, last.offset + Math.min(sectorBytes * 3, bytes.length - end)),
  );
  if (torn.length < sectorBytes) return;
  // It says that it is the next record, and goes over into garbage.
  torn.writeBigUInt64BE(last.header.sequence + 1n, 16);
  torn.writeBigUInt64BE(BigInt(end), 40);
  for (let i = 200; i < torn.length; i++) torn[i] = random(256);
  torn.copy(bytes, end);
  writeFileSync(last.path, bytes);
}

describe('after kill -9', () => {
  test.each(Array.from({ length: ROUNDS }, (_, i) => [i + 1]))('round %i', async () => {
    const before = acknowledged.size;
    await loadAndKill();
    expect(acknowledged.size).toBeGreaterThan(before);
    await assertWhole();
  });
});

describe('after a power cut', () => {
  test.each(Array.from({ length: Math.ceil(ROUNDS / 2) }, (_, i) => [i + 1]))('round %i', async () => {
    await loadAndKill();
    cutPower();
    await assertWhole();
  });
});

test('a byte flipped in the middle of the commit log is reported, and nothing is changed', async () => {
  // A server that is killed early may leave a log of one record.
  do await loadAndKill();
  while (records().length < 10);
  const all = records();
  // Not the last: a record behind it shows that it had been durable.
  const place = all[Math.floor(all.length / 2)];
  if (place === undefined) throw new Error('the commit log is empty');
  const bytes = readFileSync(place.path);
  const flip = (): void => {
    const at = place.offset + 120;
    bytes[at] = (bytes[at] ?? 0) ^ 4;
    writeFileSync(place.path, bytes);
  };
  flip();
  const before = hashOfFiles(logDirectory);
  await expect(openEngine({ directory, ...keys })).rejects.toMatchObject({
    sqlstate: 'XX001',
    message: expect.stringContaining(`first position ${place.header.firstPosition}`) as string,
  });
  expect(hashOfFiles(logDirectory)).toBe(before);
  await expect(startServerProcess(directory, keys)).rejects.toThrow(
    `first position ${place.header.firstPosition}`,
  );
  expect(hashOfFiles(logDirectory)).toBe(before);
  flip();
  await assertWhole();
});

test('control: acknowledged groups that are lost from log and store alike do not pass', async () => {
  await loadAndKill();
  cutPower();
  for (const { path, offset, header } of records().slice(-20)) {
    const bytes = readFileSync(path);
    bytes.fill(0, offset, offset + recordBytes(header.payloadBytes));
    writeFileSync(path, bytes);
  }
  await expect(assertWhole()).rejects.toThrow();
});
