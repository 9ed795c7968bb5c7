import { createHash } from 'node:crypto';
import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, readdirSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { DatabaseError, SqlState } from '../engine/errors.js';
import { canTraverse, type Account } from './account.js';

const TMPFS_MAGIC = 0x01021994;
const NEEDED_BYTES = 256 * 1024 * 1024;
/** sun_path holds 108 bytes on Linux, 104 on macOS; PostgreSQL appends `/.s.PGSQL.5432.lock`. */
const SOCKET_DIRECTORY_LIMIT = 103 - '/.s.PGSQL.5432.lock'.length;

const PLACE_HINT =
  'Set read_model.directory to a directory on an encrypted volume: PostgreSQL has no encryption at rest, ' +
  'so the default is memory only.';

/** Where a store's read model lives: a directory of its own, below `parent` when one is given. */
export function readModelPath(storeId: string, parent?: string): string {
  const safe = /^[\w-]{1,64}$/.test(storeId) ? storeId : digest(storeId);
  return join(parent === undefined ? '/dev/shm' : resolve(parent), `eventful-${safe}`);
}

/** Throws when the default place is not memory or too small for a PostgreSQL. */
export function checkMemoryPlace(path = '/dev/shm', needed = NEEDED_BYTES): void {
  const found = existsSync(path) ? statfsSync(path) : null;
  if (found?.type !== TMPFS_MAGIC) {
    throw new DatabaseError(
      SqlState.diskFull,
      `the read model needs memory-backed storage, ${path} is not tmpfs`,
      {
        hint: PLACE_HINT,
      },
    );
  }
  const free = found.bavail * found.bsize;
  if (free >= needed) return;
  throw new DatabaseError(SqlState.diskFull, `${path} has not enough room for the read model`, {
    detail: `${Math.floor(free / 1048576)} MB are free, ${Math.floor(needed / 1048576)} MB are needed.`,
    hint: `${PLACE_HINT} In a container, raise the size of /dev/shm (docker run --shm-size=1g).`,
  });
}

/**
 * Makes the directory, private to the child's account. One that belongs to anyone else is refused: /dev/shm is open
 * to every user of the machine.
 */
export function preparePrivateDirectory(path: string, account: Account | null): void {
  // Those above are made as anybody's would be: the child has to pass through them.
  mkdirSync(dirname(path), { recursive: true });
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const found = lstatSync(path);
  const allowed = [process.getuid?.(), account?.uid];
  if (!found.isDirectory() || !allowed.includes(found.uid)) {
    throw new DatabaseError(SqlState.insufficientPrivilege, `directory ${path} belongs to another user`, {
      hint: 'Remove it, or set read_model.directory to a place of your own.',
    });
  }
  if (account !== null && found.uid !== account.uid) giveTo(path, account);
  chmodSync(path, 0o700);
  if (account !== null && !canTraverse(account, path)) {
    throw new DatabaseError(
      SqlState.insufficientPrivilege,
      `uid ${account.uid} cannot reach directory ${path}`,
      {
        detail: 'PostgreSQL does not run as root, so it was given another account.',
        hint: 'Let other users pass through the directories above it (chmod o+x).',
      },
    );
  }
}

function giveTo(path: string, account: Account): void {
  chownSync(path, account.uid, account.gid);
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const inner = join(path, entry.name);
    if (entry.isDirectory()) giveTo(inner, account);
    else if (entry.isFile()) chownSync(inner, account.uid, account.gid);
  }
}

/** The socket goes into the directory itself, unless its path is too long for a socket: then into a short one. */
export function socketDirectory(path: string): string {
  if (Buffer.byteLength(path) <= SOCKET_DIRECTORY_LIMIT) return path;
  const short = join(tmpdir(), `eventful-${digest(path).slice(0, 12)}`);
  return Buffer.byteLength(short) <= SOCKET_DIRECTORY_LIMIT
    ? short
    : join('/tmp', `ev-${digest(path).slice(0, 12)}`);
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}
