import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { chownSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DatabaseError, SqlState } from '../engine/errors.js';
import { childAccount, type Account } from './account.js';
import { findBinaries, type Binaries } from './binaries.js';
import { checkMemoryPlace, preparePrivateDirectory, readModelPath, socketDirectory } from './directory.js';
import type { Logger } from './logger.js';
import { releaseOwnership, stopOrphan, takeOwnership } from './ownership.js';
import { CHILD_ENVIRONMENT, HBA, postgresSettings } from './postgresSettings.js';

export const SUPERUSER = 'eventful';
export const PORT = 5432;

const START_TIMEOUT_MS = 30_000;
const STOP_PATIENCE_MS = 5000;
const KEPT_LOG_LINES = 40;
/** A run shorter than this counts as a quick failure. */
const QUICK_MS = 10_000;
const MAX_QUICK_FAILURES = 6;

/** Events: `down` (child died), `up` (ready again), `gaveUp` (error: DatabaseError). */
interface Events {
  down: [];
  up: [];
  gaveUp: [error: DatabaseError];
}

/** The PostgreSQL child process of one read model: set up, watched, restarted, stopped. */
export class EmbeddedPostgres extends EventEmitter<Events> {
  readonly directory: string;
  readonly socketDirectory: string;
  readonly dataDirectory: string;
  password = '';
  private readonly account: Account | null = childAccount();
  private binaries: Binaries | null = null;
  private child: ChildProcess | null = null;
  private isReady = false;
  private stopping = false;
  private quickFailures = 0;
  private logLines: string[] = [];
  private readonly onProcessExit = (): void => void this.child?.kill('SIGQUIT');

  constructor(
    storeId: string,
    private readonly parent: string | undefined,
    private readonly logger: Logger,
  ) {
    super();
    this.directory = readModelPath(storeId, parent);
    this.socketDirectory = socketDirectory(this.directory);
    this.dataDirectory = join(this.directory, 'data');
  }

  /** Of the postmaster, once it takes connections. */
  get pid(): number | null {
    return this.isReady ? (this.child?.pid ?? null) : null;
  }

  /** Starts the child; with an existing data directory in some 100 ms, else after an initdb. */
  async start(): Promise<void> {
    if (this.parent === undefined && !existsSync(this.dataDirectory)) checkMemoryPlace();
    this.binaries = findBinaries(this.account);
    preparePrivateDirectory(this.directory, this.account);
    takeOwnership(this.directory);
    try {
      if (this.socketDirectory !== this.directory)
        preparePrivateDirectory(this.socketDirectory, this.account);
      const orphan = await stopOrphan(this.dataDirectory);
      if (orphan !== null)
        this.logger.warn({ pid: orphan }, 'stopped the PostgreSQL an earlier server left behind');
      await this.startOrRecreate();
    } catch (error) {
      await this.stop();
      throw error;
    }
    process.on('exit', this.onProcessExit);
  }

  /** Disposable data: what does not start, or may be torn because the machine went down, is made anew. */
  private async startOrRecreate(): Promise<void> {
    if (this.usable()) {
      try {
        await this.launch();
        return;
      } catch (error) {
        this.logger.warn(
          { reason: (error as Error).message },
          'the read model does not start; making it anew',
        );
      }
    }
    await this.initialize();
    await this.launch();
  }

  /** Throws the data away and starts with none. */
  async recreate(): Promise<void> {
    this.stopping = true;
    await this.stopChild();
    this.stopping = false;
    await this.initialize();
    await this.launch();
  }

  private usable(): boolean {
    const read = (path: string): string | null =>
      existsSync(path) ? readFileSync(path, 'utf8').trim() : null;
    const password = read(join(this.directory, 'superuser.password'));
    if (password === null || password === '') return false;
    this.password = password;
    return (
      read(join(this.dataDirectory, 'PG_VERSION')) === this.binaries?.major &&
      // fsync is off: after a crash of the machine the files cannot be trusted.
      read(join(this.directory, 'boot_id')) === bootId()
    );
  }

  private async initialize(): Promise<void> {
    const fresh = join(this.directory, 'data.new');
    const passwordFile = join(this.directory, 'superuser.password');
    for (const path of [fresh, this.dataDirectory]) rmSync(path, { recursive: true, force: true });
    this.password = randomBytes(32).toString('hex');
    this.write(passwordFile, this.password);
    this.write(join(this.directory, 'boot_id'), bootId());
    let failure = '';
    for (const locale of ['C.UTF-8', 'C']) {
      failure = await this.initdb(fresh, passwordFile, locale);
      if (failure === '') {
        renameSync(fresh, this.dataDirectory);
        return;
      }
      rmSync(fresh, { recursive: true, force: true });
    }
    throw new DatabaseError(SqlState.cannotConnectNow, 'initdb of the read model failed', {
      detail: failure,
    });
  }

  private async initdb(target: string, passwordFile: string, locale: string): Promise<string> {
    const options = [`--pgdata=${target}`, `--username=${SUPERUSER}`, `--pwfile=${passwordFile}`];
    options.push(
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      `--locale=${locale}`,
      '--no-sync',
      '--no-instructions',
    );
    options.push('--set=scram_iterations=1', '--set=dynamic_shared_memory_type=mmap');
    const child = this.spawn(this.binaries?.initdb ?? '', options, ['ignore', 'ignore', 'pipe']);
    let stderr = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    return new Promise((done) => {
      child.once('error', (error) => done(error.message));
      child.once('close', (code) => done(code === 0 ? '' : stderr.trim() || `exit code ${code}`));
    });
  }

  /** Starts the postmaster and resolves once it accepts connections. */
  private async launch(): Promise<void> {
    this.write(join(this.dataDirectory, 'postgresql.conf'), postgresSettings(this.socketDirectory));
    this.write(join(this.dataDirectory, 'pg_hba.conf'), HBA);
    this.logLines = [];
    this.isReady = false;
    const child = this.spawn(
      this.binaries?.postgres ?? '',
      ['-D', this.dataDirectory],
      ['ignore', 'ignore', 'pipe'],
    );
    this.child = child;
    this.guard(child);
    const started = Date.now();
    const { ready, ended } = this.observe(child);
    const timeout = new AbortController();
    const outcome = await Promise.race([
      ready.then(() => 'ready' as const),
      ended.then((reason) => ({ reason })),
      sleep(START_TIMEOUT_MS, { reason: 'timeout' }, { signal: timeout.signal, ref: false }),
    ]);
    timeout.abort();
    if (outcome !== 'ready') {
      child.kill('SIGQUIT');
      await ended;
      this.child = null;
      throw new DatabaseError(SqlState.cannotConnectNow, `the read model's PostgreSQL did not start`, {
        detail: [outcome.reason, ...this.logLines.slice(-8)].join('\n'),
      });
    }
    this.isReady = true;
    void ended.then((reason) => this.onDeath(child, reason, started));
  }

  private observe(child: ChildProcess): { ready: Promise<void>; ended: Promise<string> } {
    let rest = '';
    const ready = new Promise<void>((done) => {
      child.stderr?.setEncoding('utf8').on('data', (text: string) => {
        const lines = (rest + text).split('\n');
        rest = lines.pop() ?? '';
        this.logLines = [...this.logLines, ...lines].slice(-KEPT_LOG_LINES);
        if (lines.some((line) => line.includes('database system is ready to accept connections'))) done();
      });
    });
    const ended = new Promise<string>((done) => {
      child.once('error', (error) => done(error.message));
      child.once('exit', (code, signal) => done(signal === null ? `exit code ${code}` : `signal ${signal}`));
    });
    return { ready, ended };
  }

  private onDeath(child: ChildProcess, reason: string, started: number): void {
    if (this.child === child) this.child = null;
    if (this.stopping) return;
    this.logger.error(
      { reason, log: this.logLines.slice(-8) },
      "the read model's PostgreSQL died; restarting it",
    );
    this.quickFailures = Date.now() - started < QUICK_MS ? this.quickFailures + 1 : 0;
    this.emit('down');
    void this.restart();
  }

  private async restart(): Promise<void> {
    let detail: string | undefined;
    while (this.quickFailures < MAX_QUICK_FAILURES) {
      // Right away the first time; backends of the dead postmaster may still hold its memory, then it takes longer.
      await sleep(Math.min(50 * 2 ** this.quickFailures, 5000), undefined, { ref: false });
      if (this.stopping) return;
      try {
        await this.launch();
        this.emit('up');
        return;
      } catch (error) {
        if (this.stopping) return;
        this.quickFailures += 1;
        detail = error instanceof DatabaseError ? error.detail : undefined;
      }
    }
    const message =
      "the read model's PostgreSQL keeps failing; reads are not available until the server restarts";
    this.logger.error({ detail }, message);
    this.emit('gaveUp', new DatabaseError(SqlState.cannotConnectNow, message, detail ? { detail } : {}));
  }

  /** Fast shutdown, immediate after five seconds. With `remove`, the directory goes too. */
  async stop(options: { readonly remove?: boolean } = {}): Promise<void> {
    this.stopping = true;
    process.off('exit', this.onProcessExit);
    await this.stopChild();
    releaseOwnership(this.directory);
    if (options.remove === true) removeDirectories(this.directory, this.socketDirectory);
  }

  private async stopChild(): Promise<void> {
    const child = this.child;
    if (child?.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      const ended = new Promise<void>((done) => child.once('exit', () => done()));
      child.kill('SIGINT');
      const impatient = setTimeout(() => child.kill('SIGQUIT'), STOP_PATIENCE_MS);
      await ended;
      clearTimeout(impatient);
    }
    this.child = null;
  }

  /**
   * Ends PostgreSQL when this process ends in whatever way, kill -9 included: a shell reads a pipe that only we hold
   * open. Plain state must not stay in memory, served by nobody.
   */
  private guard(child: ChildProcess): void {
    const script = 'while read -r _; do :; done; kill -QUIT "$1" 2>/dev/null';
    const guard = this.spawn(
      '/bin/sh',
      ['-c', script, 'sh', String(child.pid)],
      ['pipe', 'ignore', 'ignore'],
    );
    guard.on('error', () => undefined);
    guard.stdin?.on('error', () => undefined);
    guard.unref();
    child.once('exit', () => guard.kill('SIGKILL'));
  }

  private spawn(program: string, args: readonly string[], stdio: ('ignore' | 'pipe')[]): ChildProcess {
    // detached: a Ctrl-C at the terminal is ours to handle; the child would otherwise stop before us.
    const options = { cwd: '/', env: CHILD_ENVIRONMENT, detached: true, stdio, ...(this.account ?? {}) };
    return spawn(program, args, options);
  }

  private write(path: string, text: string): void {
    writeFileSync(path, text, { mode: 0o600 });
    if (this.account !== null) chownSync(path, this.account.uid, this.account.gid);
  }
}

function removeDirectories(directory: string, socket: string): void {
  rmSync(directory, { recursive: true, force: true });
  if (socket !== directory) rmSync(socket, { recursive: true, force: true });
}

function bootId(): string {
  const path = '/proc/sys/kernel/random/boot_id';
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : 'unknown';
}

/** For `eventful destroy`: the directory of a store's read model, and whatever still runs in it. */
export async function removeReadModel(storeId: string, parent?: string): Promise<void> {
  const directory = readModelPath(storeId, parent);
  if (!existsSync(directory)) return;
  takeOwnership(directory);
  try {
    await stopOrphan(join(directory, 'data'));
    removeDirectories(directory, socketDirectory(directory));
  } finally {
    releaseOwnership(directory);
  }
}
