/** What opening refuses, it refuses with a clear error and without touching a byte. */
import { randomBytes } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createKeyring, openEngine, openKeyring, type Engine, type NewEvent } from '../../engine/index.js';
import { removeReadModel } from '../../readmodel/index.js';
import { startServer } from '../../server/index.js';
import { buildIfStale, startServerProcess } from './child.js';
import { callVerify, hashOfFiles } from './support.js';

const keys = { masterKey: randomBytes(32), dek: randomBytes(32) };
const scratch = mkdtempSync(join(tmpdir(), 'open-'));
const pristine = join(scratch, 'pristine');
const writer = { actor: 'user:tester', tokenId: null, writeLimit: null };
let directory: string;

const event = (id: string): NewEvent => ({
  aggregateType: 'patient',
  aggregateId: id,
  eventType: 'changed',
  payload: { note: id },
  metadata: null,
  eventId: null,
  expected: { kind: 'any' },
  ignoreDuplicate: false,
});

beforeAll(async () => {
  createKeyring(pristine, keys);
  const engine = await openEngine({ directory: pristine, ...keys });
  const fields = [{ name: 'note', type: 'text' }];
  const events = [{ name: 'changed', fields: null }];
  const patient = { type: 'patient', fields, events, open: false, snapshotThreshold: 25, comment: null };
  await engine.createAggregate(patient, writer);
  for (let i = 0; i < 50; i++) await engine.append([event(`p-${i % 5}`)], writer);
  await engine.close();
});
afterAll(async () => {
  await removeReadModel(openKeyring(pristine, keys).storeId.toString('hex')).catch(() => undefined);
  rmSync(scratch, { recursive: true, force: true });
});

let copies = 0;
beforeEach(() => {
  directory = join(scratch, String(copies++));
  cpSync(pristine, directory, { recursive: true });
});

/** RocksDB's own diary and lock, which it renews at every start; no data. */
const DIARY = /^store\/(LOG|LOCK|OPTIONS)/;

/** Files below the directory that this process holds open. */
function openFiles(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const target = readlinkSync(join('/proc/self/fd', fd));
      return target.startsWith(directory) ? [target] : [];
    } catch {
      return [];
    }
  });
}

async function intact(): Promise<void> {
  const engine = await openEngine({ directory, ...keys });
  expect(await engine.verify(null, null)).toMatchObject({ size: 51, events: 51 });
  await engine.close();
}

const serverOptions = {
  host: '127.0.0.1',
  port: 0,
  socketDirectory: null,
  tls: null,
  logger: { info() {}, warn() {}, error() {} },
};

describe('keys', () => {
  test.each<[string, () => { masterKey: Buffer; dek: Buffer }, string]>([
    [
      'a wrong master key',
      () => ({ ...keys, masterKey: randomBytes(32) }),
      'the master key does not belong to this store',
    ],
    ['a wrong DEK', () => ({ ...keys, dek: randomBytes(32) }), 'the DEK does not belong to this store'],
    [
      'keys exchanged',
      () => ({ masterKey: keys.dek, dek: keys.masterKey }),
      'the master key does not belong',
    ],
    [
      'no key',
      () => ({ masterKey: Buffer.alloc(0), dek: Buffer.alloc(0) }),
      'the master key does not belong',
    ],
  ])('%s: 28P01, and every file is as it was', async (_what, wrong, message) => {
    const before = hashOfFiles(directory);
    const error = expect.objectContaining({
      sqlstate: '28P01',
      message: expect.stringContaining(message) as string,
    });
    await expect(openEngine({ directory, ...wrong() })).rejects.toEqual(error);
    await expect(startServer({ directory, ...wrong(), ...serverOptions })).rejects.toEqual(error);
    expect(hashOfFiles(directory)).toBe(before);
    await intact();
  });

  test('no store: F0000, and none is made', async () => {
    const empty = join(directory, 'nothing');
    await expect(openEngine({ directory: empty, ...keys })).rejects.toMatchObject({
      sqlstate: 'F0000',
      message: expect.stringContaining('there is no store') as string,
    });
    expect(existsSync(empty)).toBe(false);
  });
});

describe('formats of another version', () => {
  test('of the keyring: F0000, and every file is as it was', async () => {
    const path = join(directory, 'keyring.json');
    const content = readFileSync(path, 'utf8');
    writeFileSync(path, content.replace('"format": 4', '"format": 99'));
    const before = hashOfFiles(directory);
    await expect(openEngine({ directory, ...keys })).rejects.toMatchObject({
      sqlstate: 'F0000',
      message: expect.stringContaining('format 99') as string,
    });
    expect(hashOfFiles(directory)).toBe(before);
    writeFileSync(path, content);
    await intact();
  });

  test('of the commit log: F0000, and its files are as they were', async () => {
    const path = join(directory, 'log', 'identity');
    const bytes = readFileSync(path);
    const newer = Buffer.from(bytes);
    newer.writeUInt16BE(99, 8);
    writeFileSync(path, newer);
    const before = hashOfFiles(join(directory, 'log'));
    await expect(openEngine({ directory, ...keys })).rejects.toMatchObject({
      sqlstate: 'F0000',
      message: expect.stringContaining('format version 99') as string,
    });
    expect(hashOfFiles(join(directory, 'log'))).toBe(before);
    expect(openFiles()).toEqual([]);
    writeFileSync(path, bytes);
    await intact();
  });

  test("another store's log or its keyring: XX001", async () => {
    const other = join(directory, 'other');
    createKeyring(other, keys);
    await (await openEngine({ directory: other, ...keys })).close();
    for (const part of ['log', 'keyring.json']) {
      const mixed = join(scratch, `mixed-${part}`);
      cpSync(pristine, mixed, { recursive: true });
      rmSync(join(mixed, part), { recursive: true });
      cpSync(join(other, part), join(mixed, part), { recursive: true });
      const before = hashOfFiles(mixed, /^store\//);
      await expect(openEngine({ directory: mixed, ...keys })).rejects.toMatchObject({ sqlstate: 'XX001' });
      expect(hashOfFiles(mixed, /^store\//)).toBe(before);
    }
  });
});

describe('opening twice', () => {
  test('in one process: 55006, and the first goes on', async () => {
    const engine = await openEngine({ directory, ...keys });
    const before = hashOfFiles(directory, DIARY);
    await expect(openEngine({ directory, ...keys })).rejects.toMatchObject({ sqlstate: '55006' });
    await expect(startServer({ directory, ...keys, ...serverOptions })).rejects.toMatchObject({
      sqlstate: '55006',
    });
    expect(hashOfFiles(directory, DIARY)).toBe(before);
    await engine.append([event('p-1')], writer);
    await engine.verify(null, null);
    await engine.close();
  });

  test('from another process: 55006, and the server goes on', async () => {
    buildIfStale();
    const server = await startServerProcess(directory, keys);
    const client = await server.connect();
    try {
      const before = hashOfFiles(join(directory, 'log'));
      await expect(openEngine({ directory, ...keys })).rejects.toMatchObject({ sqlstate: '55006' });
      await expect(startServerProcess(directory, keys)).rejects.toThrow('did not start');
      expect(hashOfFiles(join(directory, 'log'))).toBe(before);
      await client.query("INSERT INTO patient EVENTS changed (aggregate_id, note) VALUES ('p-1', 'x')");
      expect(await callVerify(client)).toMatchObject({ verified: true });
    } finally {
      await client.end();
      await server.stop();
    }
    const engine: Engine = await openEngine({ directory, ...keys });
    await engine.verify(null, null);
    await engine.close();
  }, 120_000);
});

describe('nothing stays open', () => {
  test('after an orderly close', async () => {
    await intact();
    expect(openFiles()).toEqual([]);
  });

  test.each<[string, () => void]>([
    [
      'the checkpoint beside the store is forged',
      () => writeFileSync(join(directory, 'checkpoint'), 'forged\n\n'),
    ],
    ['the checkpoint beside the store is empty', () => writeFileSync(join(directory, 'checkpoint'), '')],
    ['the commit log is gone', () => rmSync(join(directory, 'log'), { recursive: true })],
  ])('when %s', async (_what, damage) => {
    damage();
    const outcome = await openEngine({ directory, ...keys }).then(
      (engine) => engine.close().then(() => 'opened'),
      (error: unknown) => (error as { sqlstate?: string }).sqlstate,
    );
    // A log that is gone may pass where the store alone holds everything.
    expect(['XX001', 'opened']).toContain(outcome);
    expect(openFiles()).toEqual([]);
  });

  test('a forged checkpoint is no reason to open without one', async () => {
    writeFileSync(join(directory, 'checkpoint'), 'forged\n\n');
    await expect(openEngine({ directory, ...keys })).rejects.toMatchObject({ sqlstate: 'XX001' });
  });
});
