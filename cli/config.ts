/** `eventful config`: makes a store, or changes the settings of one. */
import { chmodSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { createKeyring, keyringExists, openKeyring } from '../engine/index.js';
import { ensureCertificate, readTlsPair } from './certificate.js';
import { isOurs } from './files.js';
import { optionsOf, parseDirectory, parsePort } from './options.js';
import { runningServer } from './pidfile.js';
import { CommandError, say, UsageError } from './report.js';
import { givenKeys, keyOptions, type KeyOptions } from './secrets.js';
import { readSettings, resolveSetting, settingsPath, writeSettings, type Settings } from './settings.js';

interface ConfigOptions extends KeyOptions {
  readonly port?: number;
  readonly host?: string;
  readonly readModelDir?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
}

export function configCommand(program: Command): void {
  keyOptions(program.command('config').description('make a new store, or change the settings of one'))
    .option('--port <port>', 'TCP port (new store: 9595)', parsePort)
    .option('--host <address>', 'address to listen on (new store: 127.0.0.1)')
    .option(
      '--read-model-dir <dir>',
      'where the current state is kept, unencrypted (default: memory)',
      parseDirectory,
    )
    .option('--tls-cert <file>', 'certificate to use instead of a self-signed one (PEM)')
    .option('--tls-key <file>', 'its private key (PEM)')
    .addHelpText(
      'after',
      `
The keys encrypt everything on disk. They are not stored: keep them, without them the data is lost. An option shows
in the list of processes; a file or the environment does not.

Examples:
  $ eventful config --master-key-file master.key --dek-file dek.key
  $ EVENTFUL_MASTER_KEY=$(openssl rand -hex 32) EVENTFUL_DEK=$(openssl rand -hex 32) eventful config
  $ eventful config --host 0.0.0.0 --port 5433 --tls-cert server.crt --tls-key server.key`,
    )
    .action((_: unknown, command: Command) => configure(optionsOf<ConfigOptions>(command)));
}

function changedSettings(before: Settings, options: ConfigOptions): Settings {
  const { port, host, readModelDir, tlsCert, tlsKey } = options;
  if ((tlsCert === undefined) !== (tlsKey === undefined))
    throw new UsageError('--tls-cert and --tls-key belong together');
  return {
    ...before,
    ...(port === undefined ? {} : { port }),
    ...(host === undefined ? {} : { host }),
    ...(readModelDir === undefined ? {} : { readModelDirectory: readModelDir }),
    ...(tlsCert === undefined || tlsKey === undefined
      ? {}
      : { tlsCert: resolve(tlsCert), tlsKey: resolve(tlsKey) }),
  };
}

async function configure(options: ConfigOptions & { readonly dataDir: string }): Promise<void> {
  const { dataDir } = options;
  const isNew = !keyringExists(dataDir);
  const keys = givenKeys(options);
  if (isNew) checkDirectory(dataDir);
  const settings = changedSettings(readSettings(dataDir), options);
  if (options.tlsCert !== undefined) readTlsPair(settings.tlsCert, settings.tlsKey);
  if (!isNew) {
    if (keys !== null) openKeyring(dataDir, keys);
    await writeFiles(dataDir, settings);
    say(`Settings written to ${settingsPath(dataDir)}.`);
    if (runningServer(dataDir) !== null)
      say('A server is running: it takes them at the next "eventful restart".');
    return;
  }
  if (keys === null) throw missingKeys();
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  chmodSync(dataDir, 0o700);
  await writeFiles(dataDir, settings);
  // Last: with the keyring the store exists, so whatever fails before leaves nothing that needs a key.
  createKeyring(dataDir, keys);
  say(`A new store is in ${dataDir}.`);
  say('Keep the two keys: they are not stored, and without them nobody can read the data.');
  say('Next:');
  say('  eventful start --daemon');
  say('  eventful token:generate --identifierType user --identifierId me --grant admin');
}

async function writeFiles(dataDir: string, settings: Settings): Promise<void> {
  const [cert, key] = [resolveSetting(dataDir, settings.tlsCert), resolveSetting(dataDir, settings.tlsKey)];
  if (await ensureCertificate(cert, key)) say(`Self-signed certificate for 10 years: ${cert}`);
  writeSettings(dataDir, settings);
}

/** The directory becomes private and is ours to destroy: it must not hold anything else. */
function checkDirectory(dataDir: string): void {
  if (!existsSync(dataDir)) return;
  const names = readdirSync(dataDir);
  if (names.includes('store') || names.includes('log'))
    throw new CommandError(`"${dataDir}" holds a store whose keyring.json is missing`, {
      hint: 'Put it back from a backup: without it the data cannot be read. Or give another --data-dir.',
    });
  const foreign = names.find((name) => !isOurs(name) && name !== 'lost+found');
  if (foreign === undefined) return;
  throw new CommandError(`"${dataDir}" is not empty`, {
    detail: `It holds "${foreign}", which is not part of a store.`,
    hint: 'Give another --data-dir.',
  });
}

function missingKeys(): CommandError {
  return new CommandError('a new store needs a master key and a data encryption key (DEK)', {
    detail: 'Make two, and keep them: they are not stored, and without them nobody can read the data.',
    hint: `for example
  export EVENTFUL_MASTER_KEY=$(openssl rand -hex 32) EVENTFUL_DEK=$(openssl rand -hex 32)
  eventful config --master-key "$EVENTFUL_MASTER_KEY" --dek "$EVENTFUL_DEK"`,
  });
}
