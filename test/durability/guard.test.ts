import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createKeyring, openKeyring } from '../../engine/index.js';
import { removeReadModel } from '../../readmodel/index.js';
import { buildIfStale, startServerProcess } from './child.js';

const directory = mkdtempSync(join(tmpdir(), 'eventful-guard-'));
const keys = { masterKey: randomBytes(32), dek: randomBytes(32) };

beforeAll(() => {
  buildIfStale();
  createKeyring(directory, keys);
});
afterAll(async () => {
  await removeReadModel(openKeyring(directory, keys).storeId.toString('hex'));
  rmSync(directory, { recursive: true, force: true });
});

/** Whether the process runs; one that ended but was not reaped does not. */
function runs(pid: number): boolean {
  const stat = `/proc/${pid}/stat`;
  return existsSync(stat) && !/\) Z /.test(readFileSync(stat, 'utf8'));
}

test('no PostgreSQL stays behind a server that was killed', async () => {
  const server = await startServerProcess(directory, keys);
  const storeId = openKeyring(directory, keys).storeId.toString('hex');
  const place = `/dev/shm/eventful-${storeId}`;
  const pid = Number(readFileSync(join(place, 'data/postmaster.pid'), 'utf8').split('\n')[0]);
  expect(runs(pid)).toBe(true);
  await server.kill();
  await expect.poll(() => runs(pid), { timeout: 10_000 }).toBe(false);
});
