import { DatabaseError, SqlState } from '../errors.js';
import type { Grant, Writer } from '../types.js';

/** Whose token it is and what it allows. */
export interface Identity extends Writer {
  readonly tokenId: string;
  readonly grants: readonly Grant[];
  /** Seconds since 1970. */
  readonly expiresAt: number;
}

export function refused(why: string): DatabaseError {
  return new DatabaseError(SqlState.invalidPassword, `token ${why}`, {
    hint: 'Get a token with "eventful token:generate" and give it as the password.',
  });
}

/** @throws DatabaseError 28P01 when the token was revoked or has expired by now */
export function requireValid(
  identity: Identity,
  revoked: { has(tokenId: string): boolean },
  nowSeconds: number,
): void {
  if (revoked.has(identity.tokenId)) throw refused('was revoked');
  if (identity.expiresAt <= nowSeconds) throw refused('has expired');
}
