import { SqlState } from '../engine/errors.js';
import type { SqlText } from './text.js';

/** Values of `role` and `session_authorization` that go back to the session's own identity. */
const OWN_IDENTITY = new Set(['none', 'default']);

/** Refuses a setting by which a client could become another, or make its text mean something else to PostgreSQL. */
export function refuseSetting(
  text: SqlText,
  setting: string,
  value: string | null | undefined,
  byte?: number,
): void {
  if (setting === 'role' || setting === 'session_authorization') {
    if (value === null || OWN_IDENTITY.has(value?.toLowerCase() ?? '')) return;
    const hint = 'An identity is a token; connect with another token to act as another.';
    throw text.error(SqlState.insufficientPrivilege, `permission denied to set "${setting}"`, byte, { hint });
  }
  if (setting === 'standard_conforming_strings' && !/^(on|true|yes|1|t|y)$/i.test(value ?? 'on')) {
    // Both this parser and PostgreSQL must find the same end of every string.
    const message = 'parameter "standard_conforming_strings" can only be on';
    throw text.error(SqlState.featureNotSupported, message, byte, {
      hint: "Write E'…' where backslashes are escapes.",
    });
  }
}
