import { copyFile, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DatabaseError } from '../errors.js';
import type { CommitLog } from './log.js';
import { openSegmentLog } from './segments.js';

const key = Buffer.alloc(32, 7);
const storeId = Buffer.alloc(16, 9);
const headerBytes = 88;
const segmentName = (number: number) => `${number.toString(16).padStart(16, '0')}.log`;

let directory: string;
const opened: CommitLog[] = [];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'segments-'));
});
afterEach(async () => {
  for (const log of opened.splice(0)) await log.close();
  await rm(directory, { recursive: true });
});

async function open(options: { at?: string; key?: Buffer; storeId?: Buffer } = {}) {
  const { at = directory, ...others } = options;
  const log = await openSegmentLog({ directory: at, key, storeId, segmentBytes: 4096, ...others });
  opened.push(log);
  return log;
}

/** 392 bytes fill one sector to the last byte. */
const record = (sequence: bigint, bytes = 100) => ({
  sequence,
  firstPosition: 100n + sequence,
  payload: Buffer.alloc(bytes, Number(sequence % 251n)),
});

async function replayed(log: CommitLog, after = 0n): Promise<number[]> {
  const found: number[] = [];
  for await (const { sequence, firstPosition, payload } of log.replay(after)) {
    expect(firstPosition).toBe(100n + sequence);
    expect(payload.every((byte) => byte === Number(sequence % 251n))).toBe(true);
    found.push(Number(sequence));
  }
  return found;
}

/** A closed log with groups 1 … last of one sector each, eight to a segment. */
async function written(last: number, options: { sync?: boolean } = {}): Promise<void> {
  const log = await open();
  await replayed(log);
  for (let i = 1; i <= last; i += 1) await log.append(record(BigInt(i)), options);
  await log.close();
}

async function patch(name: string, change: (bytes: Buffer) => void): Promise<void> {
  const bytes = await readFile(join(directory, name));
  change(bytes);
  await writeFile(join(directory, name), bytes);
}

const flip = (offset: number) => (bytes: Buffer) => void (bytes[offset] = (bytes[offset] ?? 0) ^ 0x10);

async function contents(): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const name of (await readdir(directory)).sort()) {
    files.set(name, (await readFile(join(directory, name))).toString('base64'));
  }
  return files;
}

const segmentNames = async () => (await readdir(directory)).filter((name) => name.endsWith('.log')).sort();

describe('a torn tail', () => {
  test('is cut at every byte of the last record, and the log goes on in its place', async () => {
    await written(3);
    const recordLength = headerBytes + 100 + 32;
    for (let torn = 0; torn < recordLength; torn += 1) {
      const at = join(directory, `torn-${torn}`);
      await mkdir(at);
      await copyFile(join(directory, 'identity'), join(at, 'identity'));
      const bytes = await readFile(join(directory, segmentName(1)));
      // The tag may end in zeros: then zeros are no damage.
      if (bytes.subarray(1024 + torn, 1024 + recordLength).every((byte) => byte === 0)) continue;
      bytes.fill(0, 1024 + torn);
      await writeFile(join(at, segmentName(1)), bytes);
      const log = await open({ at });
      expect(await replayed(log), `torn at ${torn}`).toEqual([1, 2]);
      await log.append({ sequence: 3n, firstPosition: 103n, payload: Buffer.alloc(50, 3) });
      await log.close();
      const again = await open({ at });
      expect(await replayed(again), `torn at ${torn}`).toEqual([1, 2, 3]);
      await again.close();
      await rm(at, { recursive: true });
    }
  });

  test('is cut where nothing but its first sector is missing', async () => {
    const log = await open();
    await replayed(log);
    await log.append(record(1n));
    await log.append(record(2n, 2000));
    await log.close();
    await patch(segmentName(1), (bytes) => bytes.fill(0, 512, 1024));
    const again = await open();
    expect(await replayed(again)).toEqual([1]);
    expect(again.lastSequence).toBe(1n);
  });

  test('at the start of a segment is cut too', async () => {
    await written(9);
    await patch(segmentName(2), flip(headerBytes));
    const log = await open();
    expect(await replayed(log)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    await log.append(record(9n));
    await log.append(record(10n));
    await log.close();
    expect(await replayed(await open())).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  test('is cut to nothing when it is the first record', async () => {
    await written(1);
    await patch(segmentName(1), flip(0));
    const log = await open();
    expect(await replayed(log)).toEqual([]);
    await log.append(record(1n));
    await log.close();
    expect(await replayed(await open())).toEqual([1]);
  });

  test('of unsynced groups written out of order is cut, and what lay behind the hole never comes back', async () => {
    await written(2);
    const log = await open();
    await replayed(log);
    for (const sequence of [3n, 4n, 5n]) await log.append(record(sequence), { sync: false });
    await log.close();
    await patch(segmentName(1), (bytes) => bytes.fill(0, 1024, 1536));
    const cut = await open();
    expect(await replayed(cut)).toEqual([1, 2]);
    await cut.append(record(3n));
    await cut.close();
    // Groups 4 and 5 stood where they could continue the new group 3.
    expect(await replayed(await open())).toEqual([1, 2, 3]);
  });
});

describe('damage', () => {
  test.each([
    ['magic', 0, /first position after 103 and before 105/],
    ['length', 14, /first position 104/],
    ['sequence', 22, /first position after 103 and before 105/],
    ['position', 30, /first position/],
    ['tag before', 60, /first position 104/],
    ['payload', headerBytes + 5, /first position 104/],
    ['tag', headerBytes + 100, /first position 104/],
  ])(
    'a flipped bit in the %s of a middle record names what is lost and changes nothing',
    async (_, byte, text) => {
      await written(20);
      await patch(segmentName(1), flip(3 * 512 + byte));
      const before = await contents();
      const log = await open();
      const failure = await replayed(log).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(DatabaseError);
      const { sqlstate, message } = failure as DatabaseError;
      expect(sqlstate).toBe('XX001');
      expect(message).toContain(`${join(directory, segmentName(1))} at byte 1536: group 4 `);
      expect(message).toMatch(text);
      await expect(log.append(record(21n))).rejects.toMatchObject({ sqlstate: '55000' });
      await log.close();
      expect(await contents()).toEqual(before);
    },
  );

  test('is found in what replay passes over, and at the edges of segments', async () => {
    await written(20);
    for (const [name, offset, group] of [
      [1, 0, 1],
      [1, 7 * 512, 8],
      [2, 0, 9],
      [3, 512, 18],
    ] as const) {
      const original = await readFile(join(directory, segmentName(name)));
      await patch(segmentName(name), flip(offset + headerBytes));
      const place = `${segmentName(name)} at byte ${offset}: group ${group} (first position ${100 + group})`;
      for (const after of [0n, 20n]) {
        await expect(replayed(await open(), after)).rejects.toMatchObject({
          sqlstate: 'XX001',
          message: expect.stringContaining(place) as unknown,
        });
      }
      await writeFile(join(directory, segmentName(name)), original);
    }
    expect(await replayed(await open())).toHaveLength(20);
  });

  test('a whole segment that is missing or empty is damage', async () => {
    await written(20);
    const original = await readFile(join(directory, segmentName(2)));
    await patch(segmentName(2), (bytes) => bytes.fill(0));
    await expect(replayed(await open())).rejects.toMatchObject({ sqlstate: 'XX001' });
    await rm(join(directory, segmentName(2)));
    await expect(replayed(await open())).rejects.toMatchObject({ sqlstate: 'XX001' });
    await writeFile(join(directory, segmentName(2)), original);
    expect(await replayed(await open())).toHaveLength(20);
    await rm(join(directory, segmentName(1)));
    await expect(replayed(await open())).rejects.toMatchObject({
      sqlstate: 'XX001',
      message: 'commit log: groups 1 to 8 are missing',
    });
  });

  test('a valid record that does not continue the one before it is damage', async () => {
    await written(4);
    await mkdir(join(directory, 'other'));
    await copyFile(join(directory, 'identity'), join(directory, 'other', 'identity'));
    const other = await open({ at: join(directory, 'other') });
    await replayed(other);
    for (const n of [1n, 2n, 3n, 4n]) await other.append(record(n, 101));
    await other.close();
    const foreign = await readFile(join(directory, 'other', segmentName(1)));
    await rm(join(directory, 'other'), { recursive: true });
    await patch(segmentName(1), (bytes) => foreign.copy(bytes, 1024, 1024, 1536));
    await expect(replayed(await open())).rejects.toMatchObject({
      sqlstate: 'XX001',
      message: expect.stringContaining('group 3 (first position 103) does not continue group 2') as unknown,
    });
  });
});

describe('what is not ours', () => {
  test('another store, another key, a lost or damaged identity file: refused, nothing changed', async () => {
    await written(3);
    const before = await contents();
    const refusal = async (options: Parameters<typeof open>[0]) => {
      const failure = await open(options).catch((error: unknown) => error);
      expect(failure).toMatchObject({ sqlstate: 'XX001' });
      return (failure as DatabaseError).message;
    };
    expect(await refusal({ storeId: Buffer.alloc(16, 1) })).toMatch(/belongs to another store$/);
    expect(await refusal({ key: Buffer.alloc(32, 1) })).toMatch(/was written with another key$/);
    expect(await contents()).toEqual(before);
    await patch('identity', flip(0));
    expect(await refusal({})).toMatch(/has a damaged identity file$/);
    await rm(join(directory, 'identity'));
    expect(await refusal({})).toMatch(/has segments but no identity file$/);
  });

  test('an unknown format version, of the log or of a record: refused, nothing changed', async () => {
    await written(3);
    await patch(segmentName(1), (bytes) => bytes.writeUInt16BE(9, 1024 + 8));
    const before = await contents();
    await expect(replayed(await open())).rejects.toMatchObject({ sqlstate: 'F0000' });
    expect(await contents()).toEqual(before);
    await patch('identity', (bytes) => bytes.writeUInt16BE(9, 8));
    await expect(open()).rejects.toMatchObject({ sqlstate: 'F0000' });
  });

  test('a record at another place than its own is none, its valid tag notwithstanding', async () => {
    await written(1);
    await patch(segmentName(1), (bytes) => bytes.copy(bytes, 2048, 0, 512));
    await copyFile(join(directory, segmentName(1)), join(directory, segmentName(2)));
    expect(await replayed(await open())).toEqual([1]);
  });
});

describe('the ring', () => {
  test('reuses released segments under the next numbers, and their old records do not count', async () => {
    const log = await open();
    await replayed(log);
    for (let n = 1n; n <= 100n; n += 1n) {
      await log.append(record(n));
      if (n % 8n === 1n && n > 8n) await log.release(n - 1n);
    }
    await log.close();
    const names = await segmentNames();
    expect(names[0]).toBe(segmentName(13));
    expect(names.length).toBeLessThanOrEqual(3);
    expect(await replayed(await open(), 96n)).toEqual([97, 98, 99, 100]);
    // The spare holds records 89 … 96 of its earlier life: a torn record in front of them is still a torn one.
    await patch(segmentName(13), flip(3 * 512 + headerBytes));
    const torn = await open();
    expect(await replayed(torn, 96n)).toEqual([97, 98, 99]);
  });

  test('keeps a bounded number of spares and nothing half-made', async () => {
    const log = await open();
    await replayed(log);
    for (let n = 1n; n <= 160n; n += 1n) await log.append(record(n));
    expect((await segmentNames()).length).toBeGreaterThanOrEqual(20);
    await writeFile(join(directory, `${segmentName(99)}.tmp`), 'half');
    await log.release(152n);
    await log.close();
    expect((await segmentNames()).length).toBeLessThanOrEqual(5);
    const again = await open();
    expect(await replayed(again, 152n)).toHaveLength(8);
    await again.close();
    expect((await readdir(directory)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  test('gives an oversized group a file of its own, deleted on release', async () => {
    const log = await open();
    await replayed(log);
    await log.append(record(1n));
    await log.append(record(2n, 50_000));
    await log.append(record(3n, 90_000));
    await log.append(record(4n));
    await log.close();
    const again = await open();
    expect(await replayed(again)).toEqual([1, 2, 3, 4]);
    await again.append(record(5n, 20_000));
    await again.append(record(6n));
    await again.release(5n);
    await again.close();
    for (const name of await segmentNames()) {
      expect((await readFile(join(directory, name))).length).toBe(4096);
    }
    expect(await replayed(await open(), 5n)).toEqual([6]);
  });

  test('goes on with another segment size', async () => {
    await written(10);
    const larger = await openSegmentLog({ directory, key, storeId, segmentBytes: 8192 });
    expect(await replayed(larger)).toHaveLength(10);
    for (let n = 11n; n <= 40n; n += 1n) await larger.append(record(n));
    await larger.close();
    expect(await replayed(await open())).toHaveLength(40);
  });
});
