/**
 * The file `identity` says whose log a directory holds:
 *
 *     0  8  magic "EVFDBLOG"
 *     8  2  format version (2)
 *    10 16  store id
 *    26 32  HMAC-SHA-256 of the bytes before, under the log's key
 *
 * Without it, opening a log with the wrong key would find no valid record and cut everything as a torn tail.
 */
import { createHmac } from 'node:crypto';
import { readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseError, SqlState } from '../errors.js';
import { syncDirectory } from './files.js';
import type { LogFiles } from './files.js';
import { formatVersion } from './format.js';

const name = 'identity';
const magic = Buffer.from('EVFDBLOG', 'latin1');

function encode(key: Buffer, storeId: Buffer): Buffer {
  const version = Buffer.alloc(2);
  version.writeUInt16BE(formatVersion);
  const signed = Buffer.concat([magic, version, storeId]);
  return Buffer.concat([signed, createHmac('sha256', key).update(signed).digest()]);
}

/** null: the directory has no identity file. Other read errors are thrown as they are. */
async function read(directory: string): Promise<Buffer | null> {
  try {
    return await readFile(join(directory, name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/**
 * Checks that the log belongs to this store and key; makes the file for a log without segments.
 * Errors: XX001 another store, another key, or no identity beside segments; F0000 an unknown format version.
 */
export async function checkIdentity(
  directory: string,
  key: Buffer,
  storeId: Buffer,
  files: LogFiles,
  hasSegments: boolean,
): Promise<void> {
  const found = await read(directory);
  if (found === null) {
    if (hasSegments) throw mismatch(directory, 'has segments but no identity file');
    const path = join(directory, name);
    const file = await files.open(`${path}.tmp`, 'create');
    try {
      await file.write(encode(key, storeId), 0);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(`${path}.tmp`, path);
    await syncDirectory(directory);
    return;
  }
  const version = found.length >= 10 && found.subarray(0, 8).equals(magic) ? found.readUInt16BE(8) : 0;
  if (version === 0) throw mismatch(directory, 'has a damaged identity file');
  if (version !== formatVersion) throw unknownVersion(directory, version);
  if (!found.subarray(10, 26).equals(storeId)) throw mismatch(directory, 'belongs to another store');
  if (!found.equals(encode(key, storeId))) throw mismatch(directory, 'was written with another key');
}

function mismatch(directory: string, what: string): DatabaseError {
  return new DatabaseError(SqlState.dataCorrupted, `the commit log in ${directory} ${what}`, {
    hint: 'Nothing was changed. Check the data directory and the key the server was started with.',
  });
}

export function unknownVersion(where: string, version: number): DatabaseError {
  return new DatabaseError(
    SqlState.configFileError,
    `${where} has the format version ${version}, unknown here`,
    {
      detail: `This build reads version ${formatVersion}. Nothing was changed.`,
      hint: 'Open it with the release that wrote it, or a newer one.',
    },
  );
}
