/** Children that end, what they cost, and what lies on the disk. */
import { spawn } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Finished {
  readonly stdout: string;
  readonly stderr: string;
  readonly seconds: number;
  /** User and system time of the child and what it waited for. */
  readonly cpuSeconds: number;
}

/** bash's `times` tells what children cost, which Node does not; it prints two lines such as `0m0.310s 0m0.842s`. */
const WITH_TIMES = '"$@"; code=$?; { echo "@times"; times; } >&2; exit $code';

function childSeconds(stderr: string): { rest: string; cpuSeconds: number } {
  const at = stderr.lastIndexOf('@times\n');
  const line = at < 0 ? '' : (stderr.slice(at).split('\n')[2] ?? '');
  let cpuSeconds = 0;
  for (const [, minutes, seconds] of line.matchAll(/(\d+)m([\d.]+)s/g))
    cpuSeconds += Number(minutes) * 60 + Number(seconds);
  return { rest: at < 0 ? stderr : stderr.slice(0, at), cpuSeconds };
}

/** Runs a program to its end; kills it (and its children) after `timeoutSeconds`. @throws Error when it fails */
export function run(
  command: readonly string[],
  options: { timeoutSeconds: number; env?: Record<string, string>; cwd?: string },
): Promise<Finished> {
  const started = performance.now();
  const child = spawn('bash', ['-c', WITH_TIMES, 'bench', ...command], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
    cwd: options.cwd,
    detached: true,
  });
  const end = (): void => killGroup(child.pid);
  process.once('exit', end);
  const timer = setTimeout(end, options.timeoutSeconds * 1000);
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      process.off('exit', end);
      const seconds = (performance.now() - started) / 1000;
      const { rest, cpuSeconds } = childSeconds(stderr);
      if (code === 0) return resolve({ stdout, stderr: rest, seconds, cpuSeconds });
      reject(new Error(`${command[0]} ended with ${signal ?? code}: ${rest.slice(-1500)}`));
    });
  });
}

/** A child started with `detached` leads a group of its own, so its children go with it. */
function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It ended meanwhile.
  }
}

/** Bytes allocated below a path, as du counts them. */
export function diskBytes(path: string): number {
  if (!existsSync(path)) return 0;
  const found = lstatSync(path);
  const own = found.blocks * 512;
  if (!found.isDirectory()) return own;
  return readdirSync(path).reduce((sum, name) => sum + diskBytes(join(path, name)), own);
}

function processTable(): { pid: number; parent: number; ticks: number; waitedTicks: number }[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      // The name in parentheses may hold spaces: fields are counted after it.
      const fields = stat
        .slice(stat.lastIndexOf(')') + 2)
        .split(' ')
        .map(Number);
      const at = (i: number): number => fields[i] ?? 0;
      return [{ pid: Number(name), parent: at(1), ticks: at(11) + at(12), waitedTicks: at(13) + at(14) }];
    } catch {
      return [];
    }
  });
}

function family(pid: number): ReturnType<typeof processTable> {
  const table = processTable();
  const found = table.filter((entry) => entry.pid === pid);
  for (const member of found) found.push(...table.filter((entry) => entry.parent === member.pid));
  return found;
}

/** CPU seconds so far of a process, its live children and those it has waited for. */
export function familyCpuSeconds(pid: number): number {
  return family(pid).reduce((sum, { ticks, waitedTicks }) => sum + ticks + waitedTicks, 0) / 100;
}

/** Resident memory of a process and its children in bytes, shared pages counted once (PSS). */
export function familyMemory(pid: number): number {
  let sum = 0;
  for (const member of family(pid)) {
    try {
      const text = readFileSync(`/proc/${member.pid}/smaps_rollup`, 'utf8');
      sum += Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1024;
    } catch {
      // It ended, or /proc does not show it to us.
    }
  }
  return sum;
}
