/** `eventful stop` and `eventful restart`. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { openKeyring, storeIdOf } from '../engine/index.js';
import { optionsOf, type GlobalOptions } from './options.js';
import { isAlive, runningServer } from './pidfile.js';
import { CommandError, say } from './report.js';
import { requireKeys } from './secrets.js';
import { requireStartable } from './serve.js';
import { startInBackground, startOptions, type StartOptions } from './start.js';

const PATIENCE_MS = 30_000;
const POLL_MS = 50;

export function stopCommand(program: Command): void {
  program
    .command('stop')
    .description('stop the server')
    .addHelpText('after', '\nExample:\n  $ eventful --data-dir /var/lib/eventful stop')
    .action((_: unknown, command: Command) => stop(optionsOf<GlobalOptions>(command).dataDir));
}

export function restartCommand(program: Command): void {
  startOptions(program.command('restart').description('stop the server and start it in the background'))
    .addHelpText('after', '\nExample:\n  $ eventful restart --master-key-file master.key --dek-file dek.key')
    .action(async (_: unknown, command: Command) => {
      const options = optionsOf<StartOptions>(command);
      const keys = requireKeys(options);
      // With a wrong key, or settings that cannot be read, there would be nothing to start after the stop.
      openKeyring(options.dataDir, keys);
      requireStartable(options.dataDir);
      // After a crash there is nothing to stop.
      if (runningServer(options.dataDir) !== null) await stop(options.dataDir);
      await startInBackground(options, keys);
    });
}

/** @throws CommandError when no server runs, or it does not stop in time */
async function stop(dataDir: string): Promise<void> {
  storeIdOf(dataDir);
  const server = runningServer(dataDir);
  if (server === null) {
    throw new CommandError(`no server is running on "${dataDir}"`, {
      hint: 'Start one with "eventful start".',
    });
  }
  try {
    process.kill(server.pid, 'SIGTERM');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH')
      throw new CommandError(`process ${server.pid} cannot be signalled`, {
        hint: 'Stop it as the user who started it.',
      });
  }
  const deadline = Date.now() + PATIENCE_MS;
  while (isAlive(server)) {
    if (Date.now() > deadline)
      throw new CommandError(`process ${server.pid} has not stopped in ${PATIENCE_MS / 1000} s`, {
        hint: `A second SIGTERM ends it at once: kill ${server.pid}`,
      });
    await sleep(POLL_MS);
  }
  say('The server has stopped.');
}
