/** What records have numbers for is there whenever they are: in the log, in the store, after a crash in between. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { createKeyring, openKeyring } from '../crypto/keyring.js';
import { Engine } from '../engine.js';
import { MemoryLog } from '../log/memory.js';
import { MemoryStore } from '../store/memory.js';
import type { NewEvent, Writer } from '../types.js';

const directory = mkdtempSync(join(tmpdir(), 'restarts-'));
const keys = { masterKey: randomBytes(32), dek: randomBytes(32) };
createKeyring(directory, keys);
const keyring = openKeyring(directory, keys);
afterAll(() => rmSync(directory, { recursive: true }));

const writer: Writer = { actor: 'user:tester', tokenId: null, writeLimit: null };
const note = { type: 'note', fields: [], events: [], open: true, snapshotThreshold: 2, comment: null };
/** Each with a list of fields of its own. */
const event = (n: number): NewEvent => ({
  aggregateType: 'note',
  aggregateId: `n-${n % 3}`,
  eventType: 'written',
  payload: { text: String(n), [`field${n}`]: 'x' },
  metadata: null,
  eventId: null,
  expected: { kind: 'any' },
  ignoreDuplicate: false,
});

/** Outlives the engine. */
class Disk extends MemoryStore {
  override async close(): Promise<void> {
    await this.flush();
  }
}

const STARTS = 8;

/** Starts that append, that only sign a checkpoint, and that crash after either. */
async function startOften(disk: Disk): Promise<MemoryLog> {
  let log = new MemoryLog();
  for (let start = 0; start < STARTS; start++) {
    const engine = await Engine.open({ store: disk, log, keyring, directory: null });
    if (start === 0)
      await engine.createAggregate({ ...note, events: [{ name: 'written', fields: null }] }, writer);
    if (start % 2 === 0) await engine.append([event(start)], writer);
    await engine.checkpoint();
    if (start % 4 < 2) await engine.close();
    log = log.reopen();
  }
  return log;
}

test.each([
  ['the store as it is', (disk: Disk) => disk],
  ['a store that lost everything, made again from the log', () => new Disk()],
])('%s verifies, shows and goes on', async (_what, left) => {
  const disk = new Disk();
  const log = await startOften(disk);
  const engine = await Engine.open({ store: left(disk), log, keyring, directory: null });
  for (let n = 0; n < 2 * STARTS; n++) await engine.append([event(n)], writer);
  await engine.verify(null, null);
  expect((await engine.state('note', 'n-0'))?.fields).toMatchObject({
    field0: 'x',
    field6: 'x',
    field15: 'x',
  });
  await engine.close();
});
