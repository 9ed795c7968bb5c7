/** Counts the system calls of a process that runs already, with Debian's strace where it is there. */
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const ATTACH_TIMEOUT_MS = 20_000;

export interface SystemCall {
  readonly name: string;
  readonly calls: number;
  readonly errors: number;
}

/** The table of `strace -c`; most calls first. */
export function parseStrace(text: string): SystemCall[] {
  const line = /^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)(?:\s+(\d+))?\s+([a-z_]\w*)\s*$/gm;
  return [...text.matchAll(line)]
    .map(([, calls, errors, name]) => ({
      name: name ?? '',
      calls: Number(calls),
      errors: Number(errors ?? 0),
    }))
    .filter(({ name }) => name !== 'total')
    .sort((a, b) => b.calls - a.calls);
}

/** Why there are no counts: strace is absent, or may not attach. */
export interface Uncounted {
  readonly reason: string;
}

export interface Counted<T> {
  readonly result: T;
  readonly calls: readonly SystemCall[];
}

/** Counts what all threads of `pid` call while `operate` runs, which strace makes several times slower. */
export async function countCalls<T>(
  pid: number,
  scratch: string,
  operate: () => Promise<T>,
): Promise<Counted<T> | Uncounted> {
  if (spawnSync('strace', ['--version']).error !== undefined)
    return { reason: 'strace is not installed (Debian: apt-get install strace)' };
  const file = join(scratch, 'strace.txt');
  const child = spawn('strace', ['-f', '-c', '-o', file, '-p', String(pid)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const end = (): void => void child.kill('SIGKILL');
  process.once('exit', end);
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  let said = '';
  try {
    const attached = await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), ATTACH_TIMEOUT_MS);
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        said += text;
        if (!said.includes('attached')) return;
        clearTimeout(timer);
        resolve(true);
      });
      child.once('close', () => (clearTimeout(timer), resolve(false)));
    });
    if (!attached) return { reason: `strace could not attach: ${said.trim().slice(0, 200)}` };
    const result = await operate();
    child.kill('SIGINT');
    await ended;
    return { result, calls: parseStrace(readFileSync(file, 'utf8')) };
  } finally {
    child.kill('SIGINT');
    await ended;
    process.off('exit', end);
    rmSync(file, { force: true });
  }
}
