/** What the figures were measured on. */
import {
  closeSync,
  fdatasyncSync,
  fsyncSync,
  openSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeSync,
} from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { childAccount } from '../../../readmodel/account.js';
import { findBinaries } from '../../../readmodel/binaries.js';
import { findProgram } from '../load/pgbench.js';

const FILE_BYTES = 16 * 1024 * 1024;
const WRITE_BYTES = 4096;

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly fileSystem: string;
  readonly loadBefore: number;
  readonly versions: Readonly<Record<string, string>>;
}

function versionOf(program: string): string {
  const { stdout } = spawnSync(program, ['--version'], { encoding: 'utf8', cwd: '/' });
  return stdout.trim();
}

function packageVersion(path: string): string {
  return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version;
}

/** The mount that holds a path: the longest mount point it begins with. */
function fileSystem(path: string): string {
  const mounts = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '));
  const holds = (point: string): boolean => point === '/' || `${path}/`.startsWith(`${point}/`);
  const [device, point, kind] = mounts
    .filter(([, mountPoint]) => mountPoint !== undefined && holds(mountPoint))
    .reduce((a, b) => ((b[1] ?? '').length >= (a[1] ?? '').length ? b : a), ['?', '', '?']);
  return `${kind} on ${device}, mounted at ${point}`;
}

/** @throws Error when the directory is in memory: nothing there is durable */
export function describeMachine(data: string): Machine {
  const TMPFS = 0x01021994;
  if (statfsSync(data).type === TMPFS)
    throw new Error(`${data} is memory (tmpfs), not a disk; choose another with --data`);
  const commit = spawnSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8' }).stdout;
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    fileSystem: fileSystem(data),
    loadBefore: loadavg()[0] ?? NaN,
    versions: {
      EventfulDB: `${packageVersion('package.json')} (${(commit ?? '').trim()})`,
      Node: process.version,
      PostgreSQL: versionOf(findBinaries(childAccount()).postgres),
      'RocksDB binding': packageVersion('node_modules/rocksdb-native/package.json'),
      'node pg': packageVersion('node_modules/pg/package.json'),
      pgbench: versionOf(findProgram('pgbench')),
    },
  };
}

/** How often a second this disk takes 4 KB into a preallocated file and syncs it: what a durable commit costs. */
export function fdatasyncRate(directory: string, seconds: number): number {
  const path = join(directory, 'fdatasync.probe');
  const file = openSync(path, 'w');
  try {
    writeSync(file, Buffer.alloc(FILE_BYTES));
    fsyncSync(file);
    const block = Buffer.alloc(WRITE_BYTES, 1);
    const started = performance.now();
    const deadline = started + seconds * 1000;
    let syncs = 0;
    while (performance.now() < deadline) {
      writeSync(file, block, 0, WRITE_BYTES, (syncs * WRITE_BYTES) % FILE_BYTES);
      fdatasyncSync(file);
      syncs++;
    }
    return (syncs / (performance.now() - started)) * 1000;
  } finally {
    closeSync(file);
    rmSync(path);
  }
}
