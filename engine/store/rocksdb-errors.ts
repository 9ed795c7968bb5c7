import { DatabaseError, SqlState } from '../errors.js';

/**
 * RocksDB's errors reach us as text: the binding gives nearly all of them the code EIO. The patterns below are the
 * words of RocksDB 10.5 (Status::Corruption in its table, block, manifest and log readers).
 */
const corruption =
  /checksum|corrupt|mismatch|truncated|bad (block|entry|table|magic)|not an sstable|magic number|can't access|missing in|sst file size|unknown footer|malformed|no such file/i;
const diskFull = /no space left|disk quota|ENOSPC|EDQUOT/i;
const locked = /lock hold by current process|while lock file/i;

/** What the binding said, with the batch's own error unwrapped from the general one around it. */
function messageOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  return cause.cause instanceof Error ? `${cause.message}: ${cause.cause.message}` : cause.message;
}

function fault(sqlstate: string, message: string, cause: unknown, hint?: string): DatabaseError {
  const detail = messageOf(cause);
  const error = new DatabaseError(sqlstate, message, hint === undefined ? { detail } : { detail, hint });
  error.cause = cause;
  return error;
}

/** The binding could not be loaded: RocksDB needs libatomic, which slim images lack. */
export function bindingError(cause: unknown): DatabaseError {
  const hint = messageOf(cause).includes('libatomic')
    ? 'Install the library it needs: apt-get install libatomic1'
    : 'It needs the system library libatomic (Debian and Ubuntu: apt-get install libatomic1) and a 64-bit platform.';
  return fault(SqlState.internalError, 'the storage library rocksdb-native could not be loaded', cause, hint);
}

/** `doing` reads on after "could not", e.g. `read from the store`. Keeps a DatabaseError as it is. */
export function storeError(doing: string, cause: unknown): DatabaseError {
  if (cause instanceof DatabaseError) return cause;
  const text = messageOf(cause);
  if (diskFull.test(text)) return fault(SqlState.diskFull, `could not ${doing}: the disk is full`, cause);
  if (corruption.test(text)) {
    return fault(SqlState.dataCorrupted, `could not ${doing}: the stored data is damaged`, cause);
  }
  return fault(SqlState.ioError, `could not ${doing}`, cause);
}

export function openError(directory: string, cause: unknown): DatabaseError {
  if (locked.test(messageOf(cause))) {
    const hint = 'Stop the server that has it open, or use another directory.';
    return fault(SqlState.objectInUse, `the store in ${directory} is already open`, cause, hint);
  }
  return storeError(`open the store in ${directory}`, cause);
}
