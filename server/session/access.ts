import { DatabaseError, SqlState } from '../../engine/errors.js';
import type { Grant } from '../../engine/types.js';
import { allows, isAdmin, matchesPattern, readsEverything } from '../../engine/tokens/grants.js';

function denied(what: string): DatabaseError {
  return new DatabaseError(SqlState.insufficientPrivilege, `permission denied: the token may not ${what}`, {
    hint: 'Ask an administrator for a token with that grant.',
  });
}

/** What a token's grants let a session do. Every check throws 42501. */
export class Access {
  constructor(private readonly grants: readonly Grant[]) {}

  requireAppend(aggregateType: string, aggregateId: string): void {
    if (!allows(this.grants, 'append', aggregateType, aggregateId))
      throw denied(`append to this aggregate of type "${aggregateType}"`);
  }

  requireAdmin(what: string): void {
    if (!isAdmin(this.grants)) throw denied(what);
  }

  canRead(aggregateType: string, aggregateId: string): boolean {
    return allows(this.grants, 'read', aggregateType, aggregateId);
  }

  requireRead(aggregateType: string, aggregateId: string): void {
    if (!this.canRead(aggregateType, aggregateId))
      throw denied(`read this aggregate of type "${aggregateType}"`);
  }

  /** Some aggregate of the type, at least. */
  requireReadSome(aggregateType: string): void {
    if (!this.canReadSome(aggregateType)) throw denied(`read aggregates of type "${aggregateType}"`);
  }

  canReadSome(aggregateType: string): boolean {
    return this.grants.some(
      (g) => g.action === 'admin' || (g.action === 'read' && matchesPattern(g.aggregateType, aggregateType)),
    );
  }

  requireReadAll(aggregateType: string | null): void {
    const all = aggregateType === null ? readsEverything(this.grants) : this.canReadAll(aggregateType);
    if (!all) throw denied(aggregateType === null ? 'read everything' : `read all of "${aggregateType}"`);
  }

  get everything(): boolean {
    return readsEverything(this.grants);
  }

  get admin(): boolean {
    return isAdmin(this.grants);
  }

  canReadAll(aggregateType: string): boolean {
    return this.grants.some(
      (g) =>
        g.action === 'admin' ||
        (g.action === 'read' && matchesPattern(g.aggregateType, aggregateType) && g.aggregateId === '*'),
    );
  }
}
