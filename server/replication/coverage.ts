/** What a token may be sent of the publications it names. */
import { DatabaseError, SqlState } from '../../engine/errors.js';
import { matchesPattern, readsEverything } from '../../engine/tokens/grants.js';
import type { Grant } from '../../engine/types.js';
import { ALL_PUBLICATION } from '../../readmodel/index.js';
import type { Covers } from './changes.js';
import type { Reads } from './registry.js';

/** A stream holds whole tables: a grant on some aggregates of a type does not open it. */
function readsAllOf(grants: readonly Grant[], type: string): boolean {
  return (
    readsEverything(grants) ||
    grants.some(
      (grant) =>
        grant.action === 'read' && grant.aggregateId === '*' && matchesPattern(grant.aggregateType, type),
    )
  );
}

function denied(publication: string): DatabaseError {
  const what = publication === ALL_PUBLICATION ? 'no aggregate type' : `not all of "${publication}"`;
  return new DatabaseError(
    SqlState.insufficientPrivilege,
    `permission denied for publication "${publication}"`,
    {
      detail: `The token may read ${what}.`,
      hint: 'A publication holds every aggregate of a type. Use a token with the grant read:<aggregate>:*, or query the aggregates it may read.',
    },
  );
}

/**
 * Checks a publication a subscriber names. Unknown names pass: PostgreSQL says that they do not exist.
 * @throws DatabaseError 42501
 */
export function requirePublication(grants: readonly Grant[], name: string, types: ReadonlySet<string>): void {
  if (name === ALL_PUBLICATION) {
    if (!grants.some((grant) => grant.action === 'admin' || isWholeType(grant))) throw denied(name);
  } else if (types.has(name) && !readsAllOf(grants, name)) throw denied(name);
}

function isWholeType(grant: Grant): boolean {
  return grant.action === 'read' && grant.aggregateId === '*';
}

/** What the publication of everything holds for the token, to be remembered with a slot. */
export function readsOf(grants: readonly Grant[]): Reads {
  if (readsEverything(grants)) return '*';
  return [...new Set(grants.filter(isWholeType).map((grant) => grant.aggregateType))].sort();
}

/**
 * A slot moves on over what its token may not read. A token that reads less than the one before would leave a hole
 * that nobody sees, so it is refused.
 * @throws DatabaseError 42501
 */
export function requireNoLess(before: Reads | null, grants: readonly Grant[], slot: string): void {
  if (before === null || readsEverything(grants)) return;
  const missing = before === '*' ? ['*'] : before.filter((type) => !readsAllOf(grants, type));
  if (missing.length === 0) return;
  throw new DatabaseError(
    SqlState.insufficientPrivilege,
    `permission denied for replication slot "${slot}": the token may read less than the one used with it before`,
    {
      detail: `It may not read all of: ${missing.join(', ')}.`,
      hint: 'The subscriber would miss changes without noticing. Use a token with these grants, or drop the subscription and create it anew.',
    },
  );
}

/** Which tables the stream of some publications holds. Grants are fixed for a connection; types may come. */
export function coverage(grants: readonly Grant[], publications: readonly string[]): Covers {
  const all = publications.includes(ALL_PUBLICATION);
  const named = new Set(publications);
  return (schema, relation) =>
    schema === 'public' && (all || named.has(relation)) && readsAllOf(grants, relation);
}
