/** A durable PostgreSQL of the same binaries that EventfulDB embeds, or one that is running already (--pg-url). */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { childAccount } from '../../../readmodel/account.js';
import { findBinaries } from '../../../readmodel/binaries.js';
import { familyCpuSeconds, familyMemory } from '../processes.js';
import { execute, type Login } from './login.js';
import { PG_DATABASES, pgSchema, type Variant } from './schema.js';

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 60_000;

/** Durable, and tuned as its users would on a machine of this size; shown on the page. */
export const PG_SETTINGS: Readonly<Record<string, string>> = {
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  shared_buffers: '512MB',
  effective_cache_size: '4GB',
  work_mem: '64MB',
  maintenance_work_mem: '256MB',
  max_wal_size: '4GB',
  checkpoint_timeout: '15min',
  wal_compression: 'on',
  random_page_cost: '1.1',
  jit: 'off',
  max_connections: '200',
};

async function freePort(): Promise<number> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

function parseUrl(text: string): Login {
  const url = new URL(text);
  return {
    host: url.hostname,
    port: Number(url.port || 5432),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    database: url.pathname.slice(1) || 'postgres',
  };
}

export class PostgresPeer {
  private child: ChildProcess | null = null;
  private readonly onExit = (): void => void this.child?.kill('SIGQUIT');

  private constructor(
    /** The database that is named there; the measured ones are made beside it. */
    readonly admin: Login,
    /** null for one that somebody else runs. */
    readonly dataDirectory: string | null,
  ) {}

  /** One that somebody else runs; nothing is made there yet. */
  static elsewhere(url: string): PostgresPeer {
    return new PostgresPeer(parseUrl(url), null);
  }

  static async create(parent: string, url: string | null): Promise<PostgresPeer> {
    const peer = url === null ? await PostgresPeer.embedded(parent) : PostgresPeer.elsewhere(url);
    try {
      for (const variant of ['statement', 'trigger'] as const) await peer.makeDatabase(variant);
    } catch (error) {
      await peer.destroy();
      throw error;
    }
    return peer;
  }

  private static async embedded(parent: string): Promise<PostgresPeer> {
    const account = childAccount();
    const { initdb } = findBinaries(account);
    const dataDirectory = mkdtempSync(join(parent, 'postgres-'));
    const password = randomBytes(16).toString('hex');
    const passwordFile = join(parent, `${randomBytes(6).toString('hex')}.pw`);
    writeFileSync(passwordFile, password, { mode: 0o600 });
    if (account !== null)
      for (const path of [dataDirectory, passwordFile]) chownSync(path, account.uid, account.gid);
    const options = ['--username=bench', `--pwfile=${passwordFile}`, '--auth=scram-sha-256'];
    const made = spawnSync(
      initdb,
      [`--pgdata=${dataDirectory}`, ...options, '--encoding=UTF8', '--locale=C.UTF-8', '--no-instructions'],
      { cwd: '/', encoding: 'utf8', timeout: START_TIMEOUT_MS, ...(account ?? {}) },
    );
    rmSync(passwordFile);
    if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr}`);
    const port = await freePort();
    const admin = { host: '127.0.0.1', port, user: 'bench', password, database: 'postgres' };
    const peer = new PostgresPeer(admin, dataDirectory);
    await peer.start();
    return peer;
  }

  private async start(): Promise<void> {
    const account = childAccount();
    const { postgres } = findBinaries(account);
    const settings = {
      ...PG_SETTINGS,
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      port: String(this.admin.port),
    };
    const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const child = spawn(postgres, ['-D', this.dataDirectory ?? '', ...flags], {
      cwd: '/',
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
      ...(account ?? {}),
    });
    this.child = child;
    process.once('exit', this.onExit);
    let log = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (log = (log + text).slice(-4000)));
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (!log.includes('ready to accept connections')) {
      if (child.exitCode !== null || Date.now() > deadline)
        throw new Error(`PostgreSQL did not start: ${log}`);
      await sleep(20);
    }
  }

  async makeDatabase(variant: Variant): Promise<void> {
    const name = PG_DATABASES[variant];
    await execute(
      this.admin,
      `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`,
      `CREATE DATABASE ${name} TEMPLATE template0`,
    );
    await execute(this.login(variant), ...pgSchema(variant));
  }

  login(variant: Variant): Login {
    return { ...this.admin, database: PG_DATABASES[variant] };
  }

  /** NaN for one that somebody else runs. */
  cpuSeconds(): number {
    return this.child === null ? NaN : familyCpuSeconds(this.child.pid ?? -1);
  }

  memory(): number {
    return this.child === null ? NaN : familyMemory(this.child.pid ?? -1);
  }

  async destroy(): Promise<void> {
    const { child } = this;
    if (child === null) {
      const names = Object.values(PG_DATABASES);
      await execute(this.admin, ...names.map((name) => `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`));
      return;
    }
    if (child.exitCode === null && child.signalCode === null) {
      const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
      child.kill('SIGINT');
      const impatient = setTimeout(() => child.kill('SIGQUIT'), STOP_TIMEOUT_MS);
      await ended;
      clearTimeout(impatient);
    }
    process.off('exit', this.onExit);
    this.child = null;
    if (this.dataDirectory !== null) rmSync(this.dataDirectory, { recursive: true, force: true });
  }
}
