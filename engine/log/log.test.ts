import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { CommitLog } from './log.js';
import { maximumPayloadBytes } from './log.js';
import { MemoryLog } from './memory.js';
import { openSegmentLog } from './segments.js';

const record = (sequence: bigint, text = `group ${sequence}`) => ({
  sequence,
  firstPosition: sequence * 10n,
  payload: Buffer.from(text),
});

async function replayed(log: CommitLog, after = 0n): Promise<string[]> {
  const found: string[] = [];
  for await (const { sequence, firstPosition, payload } of log.replay(after)) {
    found.push(`${sequence}@${firstPosition} ${payload.toString()}`);
  }
  return found;
}

const groups = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => `${from + i}@${(from + i) * 10} group ${from + i}`);

describe.each(['MemoryLog', 'SegmentLog'])('%s', (name) => {
  let directory: string;
  let log: CommitLog;
  const open = () =>
    openSegmentLog({ directory, key: Buffer.alloc(32, 1), storeId: Buffer.alloc(16, 2), segmentBytes: 4096 });

  async function reopen(): Promise<void> {
    await log.close();
    log = log instanceof MemoryLog ? log.reopen() : await open();
  }

  async function fill(from: bigint, to: bigint): Promise<void> {
    for (let sequence = from; sequence <= to; sequence += 1n) await log.append(record(sequence));
  }

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'log-'));
    log = name === 'MemoryLog' ? new MemoryLog({ segmentRecords: 8 }) : await open();
  });
  afterEach(async () => {
    await log.close();
    await rm(directory, { recursive: true });
  });

  test('an empty log replays nothing and begins with sequence 1', async () => {
    expect(await replayed(log)).toEqual([]);
    expect(log.lastSequence).toBe(0n);
    expect(log.storeAhead).toBe(false);
    await log.append(record(1n));
    expect(log.lastSequence).toBe(1n);
  });

  test('replays what was appended, in order, after the sequence asked for', async () => {
    await replayed(log);
    await fill(1n, 20n);
    await reopen();
    expect(await replayed(log)).toEqual(groups(1, 20));
    await reopen();
    expect(await replayed(log, 17n)).toEqual(groups(18, 20));
    await fill(21n, 22n);
    await reopen();
    expect(await replayed(log, 19n)).toEqual(groups(20, 22));
    expect(log.lastSequence).toBe(22n);
  });

  test('joins the pieces of a payload; an empty payload is a record too', async () => {
    await replayed(log);
    await log.append({ ...record(1n), payload: [Buffer.from('a'), Buffer.alloc(0), Buffer.from('bc')] });
    await log.append({ ...record(2n), payload: [] });
    await reopen();
    expect(await replayed(log)).toEqual(['1@10 abc', '2@20 ']);
  });

  test('takes appends that do not wait for each other, in their order', async () => {
    await replayed(log);
    await Promise.all(
      Array.from({ length: 30 }, (_, i) => log.append(record(BigInt(i + 1)), { sync: i % 3 === 0 })),
    );
    await reopen();
    expect(await replayed(log)).toEqual(groups(1, 30));
  });

  test('counts appends and syncs', async () => {
    await replayed(log);
    await log.append(record(1n));
    await log.append(record(2n), { sync: false });
    await log.append(record(3n));
    expect(log.stats.appends).toBe(3);
    expect(log.stats.syncs).toBe(2);
    expect(log.stats.bytes).toBeGreaterThanOrEqual(21);
  });

  test('refuses an append before replay, out of sequence, too large, or after close, and goes on', async () => {
    await expect(log.append(record(1n))).rejects.toMatchObject({ sqlstate: '55000' });
    await replayed(log);
    await expect(log.append(record(2n))).rejects.toMatchObject({ sqlstate: 'XX000' });
    const half = Buffer.allocUnsafe(maximumPayloadBytes / 2);
    const tooLarge = { ...record(1n), payload: [half, half, Buffer.alloc(1)] };
    await expect(log.append(tooLarge)).rejects.toMatchObject({ sqlstate: '54000' });
    await log.append(record(1n));
    await expect(log.append(record(1n))).rejects.toMatchObject({ sqlstate: 'XX000' });
    await log.append(record(2n));
    await log.close();
    await expect(log.append(record(3n))).rejects.toMatchObject({ sqlstate: '55000' });
  });

  test('is replayed once', async () => {
    await replayed(log);
    await expect(replayed(log)).rejects.toMatchObject({ sqlstate: '55000' });
  });

  test('a replay that was broken off does not open the log for appends', async () => {
    await replayed(log);
    await fill(1n, 3n);
    await reopen();
    for await (const { sequence } of log.replay(0n)) if (sequence === 1n) break;
    await expect(log.append(record(4n))).rejects.toMatchObject({ sqlstate: '55000' });
    expect(await replayed(log)).toEqual(groups(1, 3));
    await log.append(record(4n));
  });

  test('tells when a segment is full; what was released cannot be replayed any more', async () => {
    const full: bigint[] = [];
    log.onSegmentFull = (sequence) => full.push(sequence);
    await replayed(log);
    await fill(1n, 30n);
    expect(full).toEqual([8n, 16n, 24n]);
    await log.release(16n);
    await reopen();
    expect(await replayed(log, 16n)).toEqual(groups(17, 30));
    await reopen();
    await expect(replayed(log, 15n)).rejects.toMatchObject({
      sqlstate: 'XX001',
      message: 'commit log: groups 16 to 16 are missing',
    });
  });

  test('a store that is ahead goes on with its own next sequence, and the log is whole from there', async () => {
    await replayed(log);
    await fill(1n, 10n);
    await reopen();
    expect(await replayed(log, 12n)).toEqual([]);
    expect(log.storeAhead).toBe(true);
    expect(log.lastSequence).toBe(12n);
    await expect(log.append(record(11n))).rejects.toMatchObject({ sqlstate: 'XX000' });
    await fill(13n, 14n);
    expect(log.storeAhead).toBe(false);
    await reopen();
    expect(await replayed(log, 12n)).toEqual(groups(13, 14));
    await fill(15n, 30n);
    await reopen();
    expect(await replayed(log, 13n)).toEqual(groups(14, 30));
    await reopen();
    await expect(replayed(log, 11n)).rejects.toMatchObject({ sqlstate: 'XX001' });
  });

  test('an empty log takes up behind a store that has groups', async () => {
    expect(await replayed(log, 5n)).toEqual([]);
    await fill(6n, 7n);
    await reopen();
    expect(await replayed(log, 5n)).toEqual(groups(6, 7));
  });
});

test('MemoryLog loses in a crash what was not synced, and can be made to fail', async () => {
  const log = new MemoryLog();
  await replayed(log);
  await log.append(record(1n));
  await log.append(record(2n), { sync: false });
  expect(await replayed(log.crash())).toEqual(groups(1, 1));
  expect(await replayed(log.reopen())).toEqual(groups(1, 2));
  log.fail(new Error('broken'));
  await expect(log.append(record(3n))).rejects.toThrow('broken');
});
