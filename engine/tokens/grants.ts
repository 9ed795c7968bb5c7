import { DatabaseError, SqlState } from '../errors.js';
import type { Grant } from '../types.js';

/** A `*` elsewhere would look like a pattern and match nothing. */
const TYPE = /^(\*|[^*]+)$/s;
const ID = /^(\*|[^*]+\*?)$/s;

/**
 * Reads `admin`, `append:patient:*` or `read:patient:p-17`. The id may be left out: `read:patient` is `read:patient:*`.
 * @throws DatabaseError 22023
 */
export function parseGrant(text: string): Grant {
  if (text === 'admin') return { action: 'admin', aggregateType: '', aggregateId: '' };
  const [action, aggregateType = '', ...rest] = text.split(':');
  const aggregateId = rest.length === 0 ? '*' : rest.join(':');
  const isSound =
    (action === 'append' || action === 'read') && TYPE.test(aggregateType) && ID.test(aggregateId);
  if (isSound) return { action, aggregateType, aggregateId };
  throw new DatabaseError(SqlState.invalidParameterValue, `"${text}" is not a grant`, {
    hint:
      'Write admin, append:<aggregate>:<id>, or read:<aggregate>:<id>. The aggregate is a name, or * for any; ' +
      'the id is one, * for any, or p-* for those that begin so.',
  });
}

export function formatGrant(grant: Grant): string {
  return grant.action === 'admin' ? 'admin' : `${grant.action}:${grant.aggregateType}:${grant.aggregateId}`;
}

/** Exact unless the pattern ends in `*`: `p-1` never matches `p-10`. */
export function matchesPattern(pattern: string, value: string): boolean {
  return pattern.endsWith('*') ? value.startsWith(pattern.slice(0, -1)) : pattern === value;
}

/** Admin may do everything. */
export function allows(
  grants: readonly Grant[],
  action: 'append' | 'read',
  aggregateType: string,
  aggregateId: string,
): boolean {
  return grants.some(
    (g) =>
      g.action === 'admin' ||
      (g.action === action &&
        matchesPattern(g.aggregateType, aggregateType) &&
        matchesPattern(g.aggregateId, aggregateId)),
  );
}

export function isAdmin(grants: readonly Grant[]): boolean {
  return grants.some((g) => g.action === 'admin');
}

/** True when every aggregate of every type may be read. */
export function readsEverything(grants: readonly Grant[]): boolean {
  return grants.some(
    (g) => g.action === 'admin' || (g.action === 'read' && g.aggregateType === '*' && g.aggregateId === '*'),
  );
}
