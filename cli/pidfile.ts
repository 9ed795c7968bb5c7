/** `server.pid` in the data directory: which process serves it, and where. */
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface ServerProcess {
  readonly pid: number;
  readonly host: string;
  readonly port: number;
  /** The path of the Unix socket. */
  readonly socket: string | null;
  /** Tells a process from a later one with the same number; null where the system does not say. */
  readonly started: string | null;
  /** Which directory it serves: a copy of it holds a copy of this file. */
  readonly directory: string;
}

function pidfilePath(dataDirectory: string): string {
  return join(dataDirectory, 'server.pid');
}

/** When a process began, in ticks since the machine did (field 22 of /proc/<pid>/stat); Linux only. */
function startOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the command's name in parentheses and may hold anything.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}

function isZombie(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z');
  } catch {
    return false;
  }
}

/** Whether the process that wrote the file still runs. */
export function isAlive({ pid, started }: Pick<ServerProcess, 'pid' | 'started'>): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it runs, as somebody else.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  if (isZombie(pid)) return false;
  const now = startOf(pid);
  return started === null || now === null || started === now;
}

/** A directory however it is called: it may be moved while it is served. */
function identityOf(directory: string): string {
  const { dev, ino } = statSync(directory);
  return `${dev}:${ino}`;
}

/** Writes the file for this process. */
export function writePidfile(
  dataDirectory: string,
  where: Omit<ServerProcess, 'pid' | 'started' | 'directory'>,
): void {
  const started = startOf(process.pid);
  const info: ServerProcess = { pid: process.pid, ...where, started, directory: identityOf(dataDirectory) };
  const path = pidfilePath(dataDirectory);
  // Removed first: the mode applies only to a file that is made.
  rmSync(path, { force: true });
  writeFileSync(path, JSON.stringify(info) + '\n', { mode: 0o600 });
}

/** Removes the file if it is this process's own. */
export function removePidfile(dataDirectory: string): void {
  if (readPidfile(dataDirectory)?.pid === process.pid) rmSync(pidfilePath(dataDirectory), { force: true });
}

function readPidfile(dataDirectory: string): ServerProcess | null {
  try {
    const { pid, host, port, socket, started, directory } = JSON.parse(
      readFileSync(pidfilePath(dataDirectory), 'utf8'),
    ) as Partial<ServerProcess>;
    if (!Number.isInteger(pid) || Number(pid) <= 0 || typeof port !== 'number') return null;
    const own = identityOf(dataDirectory);
    // Of the directory that this one was copied from.
    if (directory !== own) return null;
    return {
      pid: Number(pid),
      host: host ?? '',
      port,
      socket: socket ?? null,
      started: started ?? null,
      directory,
    };
  } catch {
    return null;
  }
}

/** The server that runs on a data directory; null when there is none, also when a dead one left its file behind. */
export function runningServer(dataDirectory: string): ServerProcess | null {
  const found = readPidfile(dataDirectory);
  return found !== null && isAlive(found) ? found : null;
}
