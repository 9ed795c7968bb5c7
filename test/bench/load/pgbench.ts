/** Runs pgbench with a script of ours: prepared statements, TCP loopback, no TLS. */
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { delimiter, join } from 'node:path';
import { randomUUID } from 'node:crypto';
import type { Login } from '../peers/login.js';
import { run } from '../processes.js';

const MAX_TRIES = 1000;
/** Beyond the time it should take. */
const PATIENCE_SECONDS = 90;

/** Finds a program of PostgreSQL in PATH or where Debian puts it. @throws Error that says what to install */
export function findProgram(name: 'pgbench' | 'psql'): string {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const places = [
    ...(process.env['PATH'] ?? '').split(delimiter),
    ...versions.map((version) => join(debian, version, 'bin')),
  ];
  const found = places.map((place) => join(place, name)).find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new Error(
    `${name} is not installed: the benchmarks need it (Debian: apt-get install postgresql-contrib)`,
  );
}

export function passwordEnvironment({ password }: Login): Record<string, string> {
  return { PGPASSWORD: password, PGSSLMODE: 'disable', PGOPTIONS: '' };
}

export interface PgbenchRun {
  readonly login: Login;
  readonly script: string;
  readonly clients: number;
  readonly seconds: number;
  /** So many of each client instead of a time; `seconds` is then the most it may take. */
  readonly transactionsPerClient?: number;
  readonly scratch: string;
  readonly variables?: Readonly<Record<string, number>>;
  /** Limits the rate; transactions per second. */
  readonly rate?: number;
  /** Writes a log of single transactions to files that begin so, of this share of them. */
  readonly log?: { readonly prefix: string; readonly share: number };
}

export interface PgbenchResult {
  readonly transactions: number;
  readonly perSecond: number;
  readonly latencyMs: number;
  /** To connect all clients. */
  readonly connectMs: number;
  readonly retries: number;
  /** Of all cores, over the whole run: 0.25 is half of a two-core machine's one core. */
  readonly clientShare: number;
}

function figure(output: string, pattern: RegExp): number {
  return Number(pattern.exec(output)?.[1] ?? NaN);
}

export async function pgbench(job: PgbenchRun): Promise<PgbenchResult> {
  const { login, clients, seconds } = job;
  const file = join(job.scratch, `${randomUUID()}.pgbench`);
  writeFileSync(file, job.script);
  const threads = Math.min(clients, availableParallelism());
  const variables = Object.entries(job.variables ?? {}).flatMap(([name, value]) => [
    '-D',
    `${name}=${value}`,
  ]);
  const log =
    job.log === undefined
      ? []
      : ['--log', `--log-prefix=${job.log.prefix}`, `--sampling-rate=${job.log.share}`];
  const length =
    job.transactionsPerClient === undefined
      ? ['-T', String(seconds)]
      : ['-t', String(job.transactionsPerClient)];
  const command = [
    ...[findProgram('pgbench'), '-n', '-M', 'prepared', '-f', file, `--max-tries=${MAX_TRIES}`],
    ...['-c', String(clients), '-j', String(threads), ...length, ...variables, ...log],
    ...(job.rate === undefined ? [] : ['-R', String(job.rate)]),
    ...['-h', login.host, '-p', String(login.port), '-U', login.user, login.database],
  ];
  const done = await run(command, {
    timeoutSeconds: seconds + PATIENCE_SECONDS,
    env: passwordEnvironment(login),
  });
  const failed = figure(done.stdout, /number of failed transactions: (\d+)/);
  if (failed > 0 || done.stderr.includes('aborted'))
    throw new Error(`pgbench: ${failed} transactions failed: ${done.stderr.slice(-1500)}`);
  const retries = figure(done.stdout, /total number of retries: (\d+)/);
  return {
    transactions: figure(done.stdout, /actually processed: (\d+)/),
    perSecond: figure(done.stdout, /tps = ([\d.]+)/),
    connectMs: figure(done.stdout, /initial connection time = ([\d.]+)/),
    latencyMs: figure(done.stdout, /latency average = ([\d.]+)/),
    retries: Number.isNaN(retries) ? 0 : retries,
    clientShare: done.cpuSeconds / done.seconds / availableParallelism(),
  };
}
