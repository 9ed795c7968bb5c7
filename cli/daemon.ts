/** A server in the background: this program again, detached. Keys and answers go through a channel, never argv. */
import { fork, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { StoreKeys } from '../engine/index.js';
import { NODE_FLAGS } from '../server/nodeFlags.js';
import { packageRoot } from './packageInfo.js';
import { CommandError, describeError, type ErrorReport } from './report.js';
import { SECRET_VARIABLES } from './secrets.js';
import type { Ready } from './serve.js';

/** Set for the child; says that the keys come through the channel. */
const MARK = 'EVENTFUL_DAEMON_CHILD';

interface KeyMessage {
  readonly masterKey: string;
  readonly dek: string;
}
type Answer = { readonly ready: Ready } | { readonly failed: ErrorReport };

export function logPath(dataDir: string): string {
  return join(dataDir, 'server.log');
}

/**
 * Starts a server in the background and waits until it serves.
 * @param args the command line of its `start`, without secrets
 * @throws CommandError with the reason when it does not start
 */
export async function startDaemon(dataDir: string, args: readonly string[], keys: StoreKeys): Promise<Ready> {
  const environment: NodeJS.ProcessEnv = { ...process.env, [MARK]: '1' };
  for (const name of SECRET_VARIABLES) Reflect.deleteProperty(environment, name);
  const log = openSync(logPath(dataDir), 'a', 0o600);
  const child = fork(join(packageRoot(), 'cli', 'eventful.mjs'), ['--data-dir', dataDir, ...args], {
    detached: true,
    execArgv: [...process.execArgv, ...NODE_FLAGS],
    stdio: ['ignore', log, log, 'ipc'],
    env: environment,
  });
  closeSync(log);
  const message: KeyMessage = { masterKey: keys.masterKey.toString('hex'), dek: keys.dek.toString('hex') };
  // A child that is gone already is told of by its exit.
  child.send(message, () => undefined);
  const interrupt = (): void => void child.kill('SIGTERM');
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  try {
    const answer = await answerOf(child, dataDir);
    if ('ready' in answer) return answer.ready;
    throw new CommandError(answer.failed.message, answer.failed);
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
    if (child.connected) child.disconnect();
    child.unref();
  }
}

function answerOf(child: ChildProcess, dataDir: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    child.once('message', (answer) => resolve(answer as Answer));
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      reject(
        new CommandError(`the server ended before it was ready (${signal ?? `exit code ${code}`})`, {
          hint: `Its log is ${logPath(dataDir)}.`,
        }),
      );
    });
  });
}

/** Whether this process is the server in the background. */
export function isDaemonChild(): boolean {
  return process.env[MARK] === '1' && process.send !== undefined;
}

/** The keys, from the process that started this one. */
export function receiveKeys(): Promise<StoreKeys> {
  return new Promise((resolve, reject) => {
    process.once('disconnect', () => reject(new CommandError('the starting process is gone')));
    process.once('message', (message) => {
      const { masterKey, dek } = message as KeyMessage;
      resolve({ masterKey: Buffer.from(masterKey, 'hex'), dek: Buffer.from(dek, 'hex') });
    });
  });
}

function answer(message: Answer): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined || !process.connected) resolve();
    else process.send(message, undefined, {}, () => resolve());
  });
}

/** Tells the starting process that the server serves; from then on the two are strangers. */
export function answerReady(ready: Ready): void {
  void answer({ ready }).then(() => {
    if (process.connected) process.disconnect();
  });
}

export async function answerFailed(error: unknown): Promise<void> {
  await answer({ failed: describeError(error) });
  if (process.connected) process.disconnect();
}
