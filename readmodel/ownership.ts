import { execFileSync } from 'node:child_process';
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DatabaseError, SqlState } from '../engine/errors.js';

/** Directories this process holds: a second start in the same process is refused like one from another. */
const held = new Set<string>();

const OWNER_FILE = 'server.pid';

/**
 * Takes a read-model directory for this process. Two servers on one directory would project two logs into one table,
 * so a live owner is an error; what a killed owner left behind is taken over.
 */
export function takeOwnership(directory: string): void {
  const file = join(directory, OWNER_FILE);
  for (let attempt = 0; attempt < 5; attempt++) {
    if (held.has(directory)) throw inUse(directory, process.pid);
    try {
      writeFileSync(file, `${process.pid} ${startTime(process.pid) ?? ''}\n`, { flag: 'wx', mode: 0o600 });
      held.add(directory);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const owner = liveOwner(file);
    if (owner !== null) throw inUse(directory, owner);
    discardStale(file);
  }
  throw inUse(directory, 0);
}

export function releaseOwnership(directory: string): void {
  if (held.delete(directory)) rmSync(join(directory, OWNER_FILE), { force: true });
}

/** Moved away before it is deleted: of two starts at once only one can move it. */
function discardStale(file: string): void {
  const aside = `${file}.${process.pid}`;
  try {
    renameSync(file, aside);
  } catch {
    return;
  }
  rmSync(aside, { force: true });
}

function liveOwner(file: string): number | null {
  const text = readText(file);
  if (text === null) return null;
  const [pid, started] = text.trim().split(' ');
  const number = Number(pid);
  // Our own pid, but not held: a container's earlier process with the same number.
  if (!Number.isInteger(number) || number <= 0 || number === process.pid || !isAlive(number)) return null;
  return started === undefined || started === startTime(number) ? number : null;
}

function inUse(directory: string, pid: number): DatabaseError {
  return new DatabaseError(SqlState.objectInUse, `read model directory ${directory} is in use`, {
    detail: `Process ${pid} serves it.`,
    hint: 'Stop the other server first.',
  });
}

/** Stops the postmaster that a killed server left running in `dataDirectory`. Returns its pid, or null. */
export async function stopOrphan(dataDirectory: string): Promise<number | null> {
  const pid = Number(readText(join(dataDirectory, 'postmaster.pid'))?.split('\n')[0]);
  if (!Number.isInteger(pid) || pid <= 1 || !isPostmasterOf(pid, dataDirectory)) return null;
  for (const [signal, patience] of [
    ['SIGQUIT', 5000],
    ['SIGKILL', 5000],
  ] as const) {
    signalQuietly(pid, signal);
    for (const end = Date.now() + patience; Date.now() < end; await sleep(10)) {
      if (!isPostmasterOf(pid, dataDirectory)) return pid;
    }
  }
  throw new DatabaseError(SqlState.objectInUse, `an earlier PostgreSQL (process ${pid}) cannot be stopped`, {
    hint: `It still runs in ${dataDirectory}.`,
  });
}

/** Never signal a pid on the strength of a file alone: it may be another process by now. */
function isPostmasterOf(pid: number, dataDirectory: string): boolean {
  if (!isAlive(pid)) return false;
  const command = readText(`/proc/${pid}/cmdline`)?.replaceAll('\0', ' ') ?? commandByPs(pid);
  return command.includes('postgres') && command.includes(dataDirectory);
}

function commandByPs(pid: number): string {
  if (process.platform === 'linux') return '';
  try {
    return execFileSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' });
  } catch {
    return '';
  }
}

/** A process that has ended but was not reaped yet (state Z) serves nothing any more. */
function isAlive(pid: number): boolean {
  const stat = readText(`/proc/${pid}/stat`);
  if (stat?.slice(stat.lastIndexOf(')') + 2).startsWith('Z') === true) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function signalQuietly(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Gone already.
  }
}

/** Clock ticks since boot at which the process started: tells a process from a later one with the same number. */
function startTime(pid: number): string | undefined {
  const stat = readText(`/proc/${pid}/stat`);
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
