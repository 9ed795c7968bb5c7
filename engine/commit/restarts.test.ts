/** What records have numbers for is there whenever they are: in the log, in the store, after a crash in between. */
import { expect, test } from 'vitest';
import { Engine } from '../engine.js';
import { MemoryLog } from '../log/memory.js';
import { MemoryStore } from '../store/memory.js';
import { openType, testKeyring, writer, written } from '../testing.js';
import type { NewEvent } from '../types.js';

const keyring = testKeyring();
/** Each with a list of fields of its own. */
const event = (n: number): NewEvent => written('note', `n-${n % 3}`, { text: String(n), [`field${n}`]: 'x' });

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
    if (start === 0) await engine.createAggregate(openType('note', 2), writer);
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
