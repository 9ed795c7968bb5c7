/** Disks that fail, and machines that lose power: the log behind a disk that keeps unsynced sectors at random. */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { nodeFiles } from './files.js';
import type { LogFiles } from './files.js';
import type { CommitLog } from './log.js';
import { openSegmentLog } from './segments.js';

const key = Buffer.alloc(32, 7);
const storeId = Buffer.alloc(16, 9);

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'crash-'));
});
afterEach(async () => {
  for (const log of opened.splice(0)) await log.close();
  await rm(directory, { recursive: true });
});

const opened: CommitLog[] = [];
async function open(files: LogFiles, at = directory): Promise<CommitLog> {
  const log = await openSegmentLog({ directory: at, key, storeId, segmentBytes: 4096, files });
  opened.push(log);
  return log;
}

async function replayed(log: CommitLog, after = 0n): Promise<{ sequence: bigint; payload: Buffer }[]> {
  const found: { sequence: bigint; payload: Buffer }[] = [];
  for await (const { sequence, payload } of log.replay(after)) found.push({ sequence, payload });
  return found;
}

const record = (sequence: bigint, bytes = 100) => ({
  sequence,
  firstPosition: sequence,
  payload: Buffer.alloc(bytes, Number(sequence)),
});

describe('a failing disk', () => {
  /** The next call of this kind on an existing file fails; `calls` counts writes and syncs from then on. */
  class FailingFiles implements LogFiles {
    next: 'write' | 'sync' | 'create' | null = null;
    calls = 0;
    readonly #code: string;
    constructor(code: string) {
      this.#code = code;
    }

    async open(path: string, mode: 'create' | 'existing') {
      if (mode === 'create') await this.#pass('create');
      const file = await nodeFiles.open(path, mode);
      if (mode === 'create') return file;
      return {
        write: async (data: Uint8Array, position: number) => {
          await this.#pass('write');
          await file.write(data, position);
        },
        sync: async () => {
          await this.#pass('sync');
          await file.sync();
        },
        close: () => file.close(),
      };
    }

    async #pass(kind: 'write' | 'sync' | 'create'): Promise<void> {
      if (kind !== 'create') this.calls += 1;
      if (this.next !== kind) return;
      this.next = null;
      this.calls = 0;
      throw Object.assign(new Error(`${this.#code}: injected`), { code: this.#code });
    }
  }

  test.each([
    ['write', 'EIO', '58030'],
    ['sync', 'EIO', '58030'],
    ['write', 'ENOSPC', '53100'],
    ['write', 'EDQUOT', '53100'],
  ] as const)('a failed %s (%s) stops the log for ever', async (kind, code, sqlstate) => {
    const files = new FailingFiles(code);
    const log = await open(files);
    await replayed(log);
    await log.append(record(1n));
    files.next = kind;
    // None waits for the one before: those behind the failure must fail with it.
    const appends = [2n, 3n, 4n].map((sequence) => log.append(record(sequence)));
    const settled = await Promise.allSettled(appends);
    expect(settled.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    await expect(log.append(record(2n))).rejects.toMatchObject({ sqlstate });
    await expect(log.append(record(5n), { sync: false })).rejects.toMatchObject({ sqlstate });
    await log.close();
    // Neither tried again nor synced on closing.
    expect(files.calls).toBe(0);
    const found = await replayed(await open(nodeFiles));
    expect(found.map(({ sequence }) => sequence)).toEqual(kind === 'write' ? [1n] : [1n, 2n]);
  });

  test('a segment that cannot be made is a failed write', async () => {
    const files = new FailingFiles('ENOSPC');
    const log = await open(files);
    await replayed(log);
    await log.append(record(1n));
    // The spare is made in the background; wait until it is there, so that the next one made is the oversized file.
    await log.release(0n);
    await new Promise((resolve) => setTimeout(resolve, 50));
    files.next = 'create';
    await expect(log.append(record(2n, 50_000))).rejects.toMatchObject({ sqlstate: '53100' });
    await expect(log.append(record(2n))).rejects.toMatchObject({ sqlstate: '53100' });
    await log.close();
    expect(await replayed(await open(nodeFiles))).toHaveLength(1);
  });

  test('an oversized group that was reserved but never written is cut, and the log goes on', async () => {
    const files = new FailingFiles('EIO');
    const log = await open(files);
    await replayed(log);
    await log.append(record(1n));
    files.next = 'write';
    await expect(log.append(record(2n, 50_000))).rejects.toMatchObject({ sqlstate: '58030' });
    await log.close();
    const again = await open(nodeFiles);
    expect(await replayed(again)).toHaveLength(1);
    for (let n = 2n; n <= 20n; n += 1n) await again.append(record(n));
    await again.close();
    expect(await replayed(await open(nodeFiles))).toHaveLength(20);
  });
});

/** Writes through, but remembers what each sector held at the last sync; a crash puts some of that back. */
class PowerlessFiles implements LogFiles {
  /** Path and offset → the sector's bytes when it was last synced. */
  readonly #unsynced = new Map<string, { path: string; position: number; before: Buffer }>();
  /** Writes and syncs until the power goes; from then on all of them fail. */
  remaining = Infinity;

  async open(path: string, mode: 'create' | 'existing') {
    const file = await nodeFiles.open(path, mode);
    if (mode === 'create') return file;
    return {
      write: async (data: Uint8Array, position: number) => {
        this.#remember(path, position, data.length);
        await file.write(data, position);
        this.#useUp();
      },
      sync: async () => {
        this.#useUp();
        await file.sync();
        for (const [id, sector] of this.#unsynced) if (sector.path === path) this.#unsynced.delete(id);
      },
      close: () => file.close(),
    };
  }

  /** Each unsynced sector is lost or kept as `lose` decides. */
  crash(lose: () => boolean): void {
    for (const { path, position, before } of this.#unsynced.values()) {
      if (!lose()) continue;
      const handle = openSync(path, 'r+');
      writeSync(handle, before, 0, before.length, position);
      closeSync(handle);
    }
  }

  #remember(path: string, position: number, length: number): void {
    const handle = openSync(path, 'r');
    for (let sector = position; sector < position + length; sector += 512) {
      const id = `${path}:${sector}`;
      if (this.#unsynced.has(id)) continue;
      const before = Buffer.alloc(512);
      readSync(handle, before, 0, 512, sector);
      this.#unsynced.set(id, { path, position: sector, before });
    }
    closeSync(handle);
  }

  #useUp(): void {
    this.remaining -= 1;
    if (this.remaining < 0) throw Object.assign(new Error('the power went'), { code: 'EIO' });
  }
}

interface Life {
  readonly groups: readonly { bytes: number; sync: boolean; release: boolean }[];
  /** The power goes at this write or sync. */
  readonly power: number;
  /** Percentage of unsynced sectors lost. */
  readonly loss: number;
  /** The store kept this many of its groups that the crash made uncertain. */
  readonly kept: number;
  readonly seed: number;
}

describe('power failures', () => {
  const group = fc.record({
    bytes: fc.oneof({ weight: 6, arbitrary: fc.nat(1200) }, { weight: 1, arbitrary: fc.nat(9000) }),
    sync: fc.boolean(),
    release: fc.boolean(),
  });
  const life: fc.Arbitrary<Life> = fc.record({
    groups: fc.array(group, { maxLength: 30 }),
    power: fc.nat(60),
    loss: fc.constantFrom(0, 20, 50, 80, 100),
    kept: fc.nat(4),
    seed: fc.integer({ min: 1 }),
  });

  test('where a chain that begins anew behind a lost record is lost itself, nothing is missed', async () => {
    const files = new PowerlessFiles();
    const log = await open(files);
    await replayed(log);
    await log.append(record(1n));
    await log.append(record(2n), { sync: false });
    files.remaining = 0;
    await log.close().catch(() => undefined);
    files.crash(() => true);
    // The store has kept group 2, which the log has lost.
    const ahead = new PowerlessFiles();
    const again = await open(ahead);
    expect(await replayed(again, 2n)).toEqual([]);
    expect(again.storeAhead).toBe(true);
    await again.append(record(3n), { sync: false });
    await again.append(record(4n), { sync: false });
    ahead.remaining = 0;
    await again.close().catch(() => undefined);
    // Of what is not synced the first sector is lost, and all others are kept.
    let isFirst = true;
    ahead.crash(() => isFirst && !(isFirst = false));
    opened.length = 0;
    const found = await replayed(await open(nodeFiles), 2n);
    expect(found.map(({ sequence }) => sequence)).toEqual([3n]);
  });

  test('whatever is lost, replay gives a prefix of what was appended and all that was synced', async () => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(life, { minLength: 1, maxLength: 4 }), async (lives) => {
        run += 1;
        const at = join(directory, String(run));
        const payloads: Buffer[] = [];
        let durable = 0;
        let applied = 0;
        for (const { groups, power, loss, kept, seed } of lives) {
          const files = new PowerlessFiles();
          const log = await open(files, at);
          const found = await replayed(log, BigInt(applied));
          const last = applied + found.length;
          found.forEach(({ sequence, payload }, i) => {
            expect(sequence).toBe(BigInt(applied + i + 1));
            expect(payload.equals(payloads[applied + i] ?? Buffer.alloc(0))).toBe(true);
          });
          expect(last).toBeGreaterThanOrEqual(durable);
          payloads.length = last;
          // What replay gave out is durable, and a store that is ahead is flushed before the first append.
          durable = last;
          let flushed = applied;
          if (log.storeAhead) expect(found).toEqual([]);
          files.remaining = power;
          for (const { bytes, sync, release } of groups) {
            const sequence = payloads.length + 1;
            const payload = Buffer.alloc(bytes, sequence * 7 + seed);
            payloads.push(payload);
            const done = await log
              .append({ sequence: BigInt(sequence), firstPosition: BigInt(sequence), payload }, { sync })
              .then(
                () => true,
                () => false,
              );
            if (!done) break;
            if (sync) durable = sequence;
            if (release && files.remaining > 0) {
              flushed = durable;
              await log.release(BigInt(flushed));
            }
          }
          // After the power went, nothing may reach the disk: not even the sync of an orderly end.
          files.remaining = 0;
          await log.close().catch(() => undefined);
          opened.length = 0;
          let random = seed;
          files.crash(() => {
            random = (Math.imul(random, 1103515245) + 12345) & 0x7fffffff;
            return (random >> 8) % 100 < loss;
          });
          applied = Math.max(flushed, Math.min(payloads.length, durable + kept - 2));
        }
      }),
      { numRuns: Number(process.env['CRASH_RUNS'] ?? 60) },
    );
  });
});
