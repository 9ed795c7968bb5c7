/** The commands as they are typed: the bin, in processes of its own, on a store in a temporary directory. */
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageRoot, packageVersion } from './packageInfo.js';

const root = packageRoot();
const parent = mkdtempSync(join(tmpdir(), 'eventful-cli-'));
const directory = join(parent, 'data');
const key = (): string => randomBytes(32).toString('hex');
const keys = { EVENTFUL_MASTER_KEY: key(), EVENTFUL_DEK: key() };
const TOKEN = /^eyJ[\w-]+\.[\w-]+\.[\w-]+\n$/;
let port = 0;

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function environment(extra: Record<string, string>): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('EVENTFUL_'));
  return { ...Object.fromEntries(own), EVENTFUL_DATA_DIR: directory, ...extra };
}

const BIN = join(root, 'cli', 'eventful.mjs');

/** @param output where its stdout goes; by default to us */
function eventful(
  args: readonly string[],
  extra: Record<string, string> = keys,
  output: number | 'pipe' = 'pipe',
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [BIN, ...args], {
      env: environment(extra),
      stdio: ['ignore', output, 'pipe'],
    });
    let [stdout, stderr] = ['', ''];
    child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port: free } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return free;
}

async function ask(password: string, sql: string): Promise<unknown[]> {
  const ca = readFileSync(join(directory, 'tls', 'server.crt'), 'utf8');
  const client = new pg.Client({
    host: 'localhost',
    port,
    user: 'me',
    database: 'eventful',
    password: password.trim(),
    ssl: { ca },
  });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

const tokenFor = (...more: string[]): string[] => [
  'token:generate',
  '--identifierType',
  'user',
  '--identifierId',
  'me',
  ...more,
];

beforeAll(async () => {
  if (!existsSync(join(root, 'dist', 'cli', 'main.js')))
    spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'], {
      cwd: root,
    });
  port = await freePort();
});

afterAll(async () => {
  await eventful(['stop']);
  await eventful(['destroy', '--yes']);
  rmSync(parent, { recursive: true, force: true });
});

describe('eventful', () => {
  it('says its version, and how it is called', async () => {
    expect(await eventful(['version'])).toMatchObject({ code: 0, stdout: `${packageVersion()}\n` });
    expect(await eventful(['--help'])).toMatchObject({ code: 0 });
    expect(await eventful(['nonsense'])).toMatchObject({ code: 2, stdout: '' });
    const mistyped = await eventful([`--master-kee=${keys.EVENTFUL_MASTER_KEY}`, 'start']);
    expect(mistyped.code).toBe(2);
    expect(mistyped.stderr).not.toContain(keys.EVENTFUL_MASTER_KEY);
    for (const nameless of [
      ['--data-dir', '', 'config'],
      ['config', '--read-model-dir', ''],
    ])
      expect(await eventful(nameless)).toMatchObject({
        code: 2,
        stderr: expect.stringContaining('A directory must be named'),
      });
  });

  it('asks for keys, and for a store', async () => {
    const outcome = await eventful(['config'], {});
    expect(outcome).toMatchObject({ code: 1, stdout: '' });
    expect(outcome.stderr).toContain('openssl rand -hex 32');
    for (const command of [['start'], ['stop'], ['destroy', '--yes']])
      expect(await eventful(command)).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/no store in .* \(SQLSTATE F0000\)/),
      });
    // As where it belongs to somebody else, but root may read everything.
    const unreadable = join(parent, 'unreadable');
    mkdirSync(join(unreadable, 'keyring.json'), { recursive: true });
    expect(await eventful(['start'], { ...keys, EVENTFUL_DATA_DIR: unreadable })).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/cannot read ".*keyring.json": EISDIR \(SQLSTATE 58030\)/),
    });
  });

  it('makes a store', async () => {
    const outcome = await eventful(['config', '--port', String(port)]);
    expect(outcome).toMatchObject({ code: 0, stdout: '' });
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    expect(statSync(join(directory, 'tls', 'server.key')).mode & 0o777).toBe(0o600);
    const config = readFileSync(join(directory, 'config.toml'), 'utf8');
    expect(config).toContain(`port = ${port}`);
    for (const secret of Object.values(keys)) expect(config + outcome.stderr).not.toContain(secret);
  });

  it('keeps settings that are not given, and refuses a wrong key', async () => {
    expect(await eventful(['config', '--host', 'localhost'])).toMatchObject({ code: 0 });
    const config = readFileSync(join(directory, 'config.toml'), 'utf8');
    expect(config).toContain(`port = ${port}`);
    expect(config).toContain('host = "localhost"');
    expect(await eventful(['config', '--host', '127.0.0.1'], {})).toMatchObject({ code: 0 });
    for (const command of ['config', 'start']) {
      const wrong = await eventful([command], { ...keys, EVENTFUL_DEK: key() });
      expect(wrong).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('does not belong to this store'),
      });
    }
    expect(await eventful(['start'], {})).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('are needed'),
    });
  });

  it('serves in the background', async () => {
    // Before the server runs: the engine is opened directly.
    const offline = await eventful(tokenFor('--grant', 'admin'));
    expect(offline).toMatchObject({ code: 0, stdout: expect.stringMatching(TOKEN) });

    const full = openSync('/dev/full', 'w');
    const lost = await eventful(tokenFor('--grant', 'admin'), keys, full);
    closeSync(full);
    expect(lost).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/standard output: ENOSPC\nToken [\w-]{36} was issued and is lost/),
    });

    const started = await eventful(['start', '--daemon']);
    expect(started).toMatchObject({ code: 0, stderr: expect.stringContaining(`port=${port}`) });
    expect(await ask(offline.stdout, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);

    // A copy of the directory holds a copy of server.pid.
    const copy = join(parent, 'copy');
    mkdirSync(copy);
    for (const name of ['server.pid', 'keyring.json', 'config.toml'])
      copyFileSync(join(directory, name), join(copy, name));
    const stopped = await eventful(['stop'], { ...keys, EVENTFUL_DATA_DIR: copy });
    expect(stopped).toMatchObject({ code: 1, stderr: expect.stringContaining('no server') });
    expect(await ask(offline.stdout, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);

    const again = await eventful(['start', '--daemon']);
    expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining('already') });
    expect(await eventful(['destroy', '--yes'])).toMatchObject({ code: 1 });
  });

  it('issues tokens through the running server', async () => {
    const online = await eventful(
      tokenFor(
        '--grant',
        'read:patient',
        '--grant',
        'append:patient:p-*',
        '--limit',
        '7',
        '--expiration',
        '1h',
      ),
    );
    expect(online).toMatchObject({ code: 0, stdout: expect.stringMatching(TOKEN) });
    expect(await ask(online.stdout, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    const admin = await eventful(tokenFor('--grant', 'admin'));
    const records = await ask(
      admin.stdout,
      'SELECT grants, write_limit FROM eventful.tokens WHERE write_limit = 7',
    );
    expect(records).toEqual([{ grants: ['read:patient:*', 'append:patient:p-*'], write_limit: '7' }]);
    for (const wrong of [
      [],
      ['--grant', 'admin', '--expiration', 'soon'],
      ['--grant', 'admin', '--limit', '-1'],
    ])
      expect(await eventful(tokenFor(...wrong))).toMatchObject({ code: 2, stdout: '' });
    expect(await eventful(tokenFor('--grant', 'own:patient'))).toMatchObject({ code: 1, stdout: '' });
  });

  it('restarts, and writes no secret anywhere', async () => {
    const { pid } = JSON.parse(readFileSync(join(directory, 'server.pid'), 'utf8')) as { pid: number };
    const wrong = await eventful(['restart'], { ...keys, EVENTFUL_MASTER_KEY: key() });
    expect(wrong).toMatchObject({ code: 1 });
    const config = readFileSync(join(directory, 'config.toml'), 'utf8');
    writeFileSync(join(directory, 'config.toml'), config.replace('port =', 'prt ='));
    const mistyped = await eventful(['restart']);
    expect(mistyped).toMatchObject({ code: 1, stderr: expect.stringContaining('server.prt') });
    writeFileSync(join(directory, 'config.toml'), config);
    // Would let a debugger in, by what Node does by itself.
    process.kill(pid, 'SIGUSR1');
    await new Promise((resolve) => setTimeout(resolve, 200));
    process.kill(pid, 0);
    expect(readFileSync(join(directory, 'server.log'), 'utf8')).not.toContain('Debugger');
    const admin = await eventful(tokenFor('--grant', 'admin'));
    await ask(admin.stdout, 'CREATE AGGREGATE patient (name text, EVENT patient_named)');
    await ask(
      admin.stdout,
      "INSERT INTO patient EVENTS patient_named (aggregate_id, name) VALUES ('p', 'Ann')",
    );
    const rebuilt = 'Current state rebuilt: 1 rows';
    expect(await eventful(['restart'])).toMatchObject({
      code: 0,
      stderr: expect.not.stringContaining(rebuilt),
    });
    expect(await eventful(['restart', '--rebuild-read-model'])).toMatchObject({
      code: 0,
      stderr: expect.stringContaining(rebuilt),
    });
    const now = JSON.parse(readFileSync(join(directory, 'server.pid'), 'utf8')) as { pid: number };
    expect(now.pid).not.toBe(pid);
    const log = readFileSync(join(directory, 'server.log'), 'utf8');
    expect(log).not.toMatch(/eyJ/);
    for (const secret of Object.values(keys)) expect(log).not.toContain(secret);
  });

  it('stops, and knows when there is nothing to stop', async () => {
    expect(await eventful(['stop'])).toMatchObject({ code: 0 });
    expect(existsSync(join(directory, 'server.pid'))).toBe(false);
    expect(await eventful(['stop'])).toMatchObject({ code: 1, stderr: expect.stringContaining('no server') });
    // A server that was killed leaves its file; the number may belong to somebody else by now.
    const { dev, ino } = statSync(directory);
    const where = { host: '127.0.0.1', port, socket: null, directory: `${dev}:${ino}` };
    const stale = { pid: process.pid, started: '1', ...where };
    writeFileSync(join(directory, 'server.pid'), JSON.stringify(stale));
    expect(await eventful(['stop'])).toMatchObject({ code: 1, stderr: expect.stringContaining('no server') });
  });

  it('ends cleanly when its terminal is gone, and is restarted where nothing runs', async () => {
    expect(await eventful(['restart'])).toMatchObject({ code: 0 });
    const { pid } = JSON.parse(readFileSync(join(directory, 'server.pid'), 'utf8')) as { pid: number };
    process.kill(pid, 'SIGHUP');
    await expect.poll(() => existsSync(join(directory, 'server.pid')), { timeout: 20_000 }).toBe(false);
    expect(readFileSync(join(directory, 'server.log'), 'utf8').trimEnd().split('\n').at(-1)).toContain(
      'stopped',
    );
  });

  it('goes on when nobody reads what it says', async () => {
    const child = spawn(process.execPath, [BIN, 'start', '--log-level', 'info'], {
      env: environment(keys),
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    child.stderr.once('data', () => child.stderr.destroy());
    const ended = new Promise((resolve) => child.once('exit', resolve));
    await expect.poll(() => existsSync(join(directory, 'server.pid')), { timeout: 20_000 }).toBe(true);
    // Logs each connection.
    const { stdout: token } = await eventful(tokenFor('--grant', 'admin'));
    expect(await ask(token, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    expect(await ask(token, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    expect(await eventful(['stop'])).toMatchObject({ code: 0 });
    expect(await ended).toBe(0);
  });

  it('tells why the server in the background did not start', async () => {
    const blocker = createServer().listen(port, '127.0.0.1');
    await new Promise((resolve) => blocker.once('listening', resolve));
    const outcome = await eventful(['start', '--daemon']);
    await new Promise((resolve) => blocker.close(resolve));
    expect(outcome).toMatchObject({ code: 1, stderr: expect.stringContaining('is in use') });
  });

  it('destroys a store, and nothing else', async () => {
    expect(await eventful(['destroy'])).toMatchObject({ code: 2, stderr: expect.stringContaining('--yes') });
    const foreign = join(directory, 'notes.txt');
    writeFileSync(foreign, 'mine');
    expect(await eventful(['destroy', '--yes'])).toMatchObject({ code: 0 });
    expect(existsSync(join(directory, 'keyring.json'))).toBe(false);
    expect(readdirSync(directory)).toEqual(['notes.txt']);
    expect(readFileSync(foreign, 'utf8')).toBe('mine');
    const refused = await eventful(['config']);
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('is not empty') });
  });
});
