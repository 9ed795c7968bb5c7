/** Where the two keys come from: options, files, or the environment. They are never written anywhere. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { parseKey, type StoreKeys } from '../engine/index.js';
import { CommandError, UsageError } from './report.js';

export interface KeyOptions {
  readonly masterKey?: string;
  readonly masterKeyFile?: string;
  readonly dek?: string;
  readonly dekFile?: string;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** The environment variables that hold a secret themselves. */
export const SECRET_VARIABLES = ['EVENTFUL_MASTER_KEY', 'EVENTFUL_DEK'] as const;

const KEYS = {
  masterKey: { name: 'master key', option: '--master-key', variable: 'EVENTFUL_MASTER_KEY' },
  dek: { name: 'DEK', option: '--dek', variable: 'EVENTFUL_DEK' },
} as const;

/** Adds the options that give the keys. */
export function keyOptions(command: Command): Command {
  return command
    .option('--master-key <key>', 'master key: 64 hex digits or base64 of 32 bytes (EVENTFUL_MASTER_KEY)')
    .option('--master-key-file <file>', 'read the master key from a file (EVENTFUL_MASTER_KEY_FILE)')
    .option('--dek <key>', 'data encryption key, likewise (EVENTFUL_DEK)')
    .option('--dek-file <file>', 'read the data encryption key from a file (EVENTFUL_DEK_FILE)');
}

function readKey(which: keyof typeof KEYS, options: KeyOptions, environment: Environment): Buffer | null {
  const { name, option, variable } = KEYS[which];
  const [given, file] = [options[which], options[`${which}File`]];
  if (given !== undefined && file !== undefined)
    throw new UsageError(`give either ${option} or ${option}-file, not both`);
  if (given !== undefined) return parseKey(given, name);
  if (file !== undefined) return parseKey(readKeyFile(file, name), name);
  const [fromVariable, fromFile] = [environment[variable] ?? '', environment[`${variable}_FILE`] ?? ''];
  if (fromVariable !== '' && fromFile !== '')
    throw new UsageError(`set either ${variable} or ${variable}_FILE, not both`);
  if (fromVariable !== '') return parseKey(fromVariable, name);
  return fromFile === '' ? null : parseKey(readKeyFile(fromFile, name), name);
}

function readKeyFile(path: string, name: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code = 'unknown error' } = error as NodeJS.ErrnoException;
    throw new CommandError(`cannot read the ${name} from "${path}": ${code}`);
  }
}

/** The keys that were given, if both were. @throws UsageError when only one of them was */
export function givenKeys(options: KeyOptions, environment: Environment = process.env): StoreKeys | null {
  const masterKey = readKey('masterKey', options, environment);
  const dek = readKey('dek', options, environment);
  if (masterKey !== null && dek !== null) return { masterKey, dek };
  if (masterKey === null && dek === null) return null;
  const { name, option, variable } = KEYS[masterKey === null ? 'masterKey' : 'dek'];
  throw new UsageError(`the ${name} is missing`, {
    hint: `Give ${option}, ${option}-file, ${variable} or ${variable}_FILE.`,
  });
}

/** @throws CommandError when there are no keys */
export function requireKeys(options: KeyOptions, environment: Environment = process.env): StoreKeys {
  const keys = givenKeys(options, environment);
  if (keys !== null) return keys;
  throw new CommandError('the master key and the DEK are needed', {
    detail: 'They are not stored with the data, so every start has to be given them.',
    hint: 'Set EVENTFUL_MASTER_KEY and EVENTFUL_DEK (or …_FILE), or give --master-key and --dek (or …-file).',
  });
}
