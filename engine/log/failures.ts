import { DatabaseError, SqlState } from '../errors.js';

/** Turns a failed file operation into 53100 (no space left, quota) or 58030. Keeps a DatabaseError as it is. */
export function fileError(doing: string, cause: unknown): DatabaseError {
  if (cause instanceof DatabaseError) return cause;
  const code = (cause as NodeJS.ErrnoException | null)?.code;
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  const error = new DatabaseError(
    full ? SqlState.diskFull : SqlState.ioError,
    `could not ${doing}${full ? ': no space left on the disk' : ''}`,
    { detail: cause instanceof Error ? cause.message : String(cause) },
  );
  error.cause = cause;
  return error;
}

export function payloadTooLarge(bytes: number): DatabaseError {
  return new DatabaseError(SqlState.programLimitExceeded, 'a commit is larger than 256 MiB', {
    detail: `It has ${bytes} bytes.`,
    hint: 'Commit in smaller transactions.',
  });
}

export function notTheNext(sequence: bigint, expected: bigint): DatabaseError {
  return new DatabaseError(
    SqlState.internalError,
    `commit log: group ${sequence.toString()} was appended where ${expected.toString()} is next`,
  );
}

/** Groups the store has not applied are no longer in the log. */
export function missingGroups(afterSequence: bigint, oldest: bigint): DatabaseError {
  return new DatabaseError(
    SqlState.dataCorrupted,
    `commit log: groups ${(afterSequence + 1n).toString()} to ${(oldest - 1n).toString()} are missing`,
    {
      detail: `The store ends with group ${afterSequence.toString()}; the log begins after the groups missing.`,
    },
  );
}

export function wrongState(message: string): DatabaseError {
  return new DatabaseError(SqlState.objectNotInPrerequisiteState, message);
}
