/** `eventful destroy`: removes a store for good. */
import { readdirSync, rmdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { storeIdOf } from '../engine/index.js';
import { removeReadModel } from '../readmodel/index.js';
import { isOurs } from './files.js';
import { optionsOf, type GlobalOptions } from './options.js';
import { runningServer } from './pidfile.js';
import { CommandError, say, UsageError } from './report.js';
import { readModelParent, readSettings } from './settings.js';

interface DestroyOptions extends GlobalOptions {
  readonly yes?: boolean;
}

export function destroyCommand(program: Command): void {
  program
    .command('destroy')
    .description('remove the store and everything in it, for good')
    .option('--yes', 'do not ask')
    .addHelpText('after', '\nExample:\n  $ eventful --data-dir ./.eventful destroy')
    .action((_: unknown, command: Command) => destroy(optionsOf<DestroyOptions>(command)));
}

async function destroy({ dataDir, yes }: DestroyOptions): Promise<void> {
  const storeId = storeIdOf(dataDir);
  const running = runningServer(dataDir);
  if (running !== null)
    throw new CommandError(`a server is running on "${dataDir}"`, {
      detail: `Process ${running.pid}, port ${running.port}.`,
      hint: 'Stop it first with "eventful stop".',
    });
  if (yes !== true) await confirm(dataDir);
  await removeReadModel(storeId, readModelParent(dataDir, readSettings(dataDir)));
  // Where it was before it was given a directory, and where a copy of the store may have left one.
  await removeReadModel(storeId);
  // The keyring goes last: until then it is a store, and the command can be given again.
  const names = readdirSync(dataDir).filter(isOurs);
  names.sort((left, right) => Number(left === 'keyring.json') - Number(right === 'keyring.json'));
  for (const name of names) rmSync(join(dataDir, name), { recursive: true, force: true });
  removeIfEmpty(dataDir);
  say(`The store in ${dataDir} is gone.`);
}

async function confirm(dataDir: string): Promise<void> {
  if (!process.stdin.isTTY)
    throw new UsageError('there is no terminal to ask on', {
      hint: 'Give --yes to destroy the store without asking.',
    });
  const name = basename(dataDir);
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    say(`This removes every event in ${dataDir}. It cannot be undone.`);
    // Ctrl-C and Ctrl-D reject; both mean no.
    const typed = await prompt.question(`Type "${name}" to go on: `).catch(() => '\n');
    if (typed === '\n') say();
    if (typed.trim() !== name) throw new CommandError('nothing was removed');
  } finally {
    prompt.close();
  }
}

function removeIfEmpty(dataDir: string): void {
  try {
    rmdirSync(dataDir);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOTEMPTY') say(`${dataDir} itself stays: it holds files that are not part of the store.`);
    // A mount point stays as well.
    else if (code !== 'EBUSY') throw error;
  }
}
