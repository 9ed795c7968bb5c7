/** What a data directory holds. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CommandError } from './report.js';

const OURS =
  /^(keyring\.json|replication(\..+)?|checkpoint(\..+)?|log|store|tls|config\.toml(\.new)?|server\.(pid|log)|\.s\.PGSQL\.\d+)$/;

/** Whether a file or directory in the data directory is part of a store. */
export function isOurs(name: string): boolean {
  return OURS.test(name);
}

/** The store's id (hex), which stands in the keyring in the clear. @throws CommandError when there is no store */
export function storeIdOf(dataDirectory: string): string {
  try {
    const { storeId } = JSON.parse(readFileSync(join(dataDirectory, 'keyring.json'), 'utf8')) as {
      storeId?: unknown;
    };
    if (typeof storeId === 'string' && /^[0-9a-f]{32}$/.test(storeId)) return storeId;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      throw new CommandError(`there is no store in "${dataDirectory}"`, {
        hint: 'Make one with "eventful config", or give its --data-dir.',
      });
  }
  throw new CommandError(`${join(dataDirectory, 'keyring.json')} is not readable as a keyring`);
}
