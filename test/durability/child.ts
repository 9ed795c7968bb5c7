/** Servers in processes of their own, for the tests that kill them. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import type { StoreKeys } from '../../engine/index.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Builds dist/ when it is missing or older than a source. */
export function buildIfStale(): void {
  const built = join(root, 'dist/server/index.js');
  const builtAt = existsSync(built) ? statSync(built).mtimeMs : 0;
  const newest = Math.max(
    ...['engine', 'sql', 'server', 'readmodel'].flatMap((room) =>
      readdirSync(join(root, room), { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
        .map((name) => statSync(join(root, room, name)).mtimeMs),
    ),
  );
  if (newest <= builtAt) return;
  execFileSync(
    process.execPath,
    [join(root, 'node_modules/typescript/bin/tsc'), '-p', join(root, 'tsconfig.build.json')],
    {
      stdio: 'inherit',
    },
  );
}

export interface ServerProcess {
  readonly process: ChildProcess;
  readonly port: number;
  /** An admin's. */
  readonly token: string;
  connect(config?: pg.ClientConfig): Promise<pg.Client>;
  /** kill -9; resolves once it is gone. */
  kill(): Promise<void>;
  /** An orderly end. */
  stop(): Promise<void>;
}

/** @throws with what the process printed when it does not come up */
export async function startServerProcess(directory: string, keys: StoreKeys): Promise<ServerProcess> {
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL('server-process.mjs', import.meta.url)), directory],
    {
      env: { ...process.env, MASTER_KEY: keys.masterKey.toString('hex'), DEK: keys.dek.toString('hex') },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  const exited = once(child, 'exit');
  const line = createInterface(child.stdout)[Symbol.asyncIterator]().next();
  const first = await Promise.race([line, exited.then(() => null)]);
  if (first === null || first.done === true) throw new Error(`the server did not start: ${errors}`);
  const { port, token } = JSON.parse(first.value) as { port: number; token: string };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    await exited;
  };
  return {
    process: child,
    port,
    token,
    async connect(config = {}) {
      const client = new pg.Client({
        host: '127.0.0.1',
        port,
        user: 'tester',
        database: 'eventful',
        password: token,
        ...config,
      });
      client.on('error', () => undefined);
      await client.connect();
      return client;
    },
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
  };
}
