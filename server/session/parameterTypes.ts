import { DatabaseError } from '../../engine/errors.js';
import { describeParameters } from './backendQuery.js';
import { inferredTypes, type DialectStatement } from './dialect.js';
import type { RelayedStatements } from './relayedStatements.js';
import { rewrite } from './rewriting.js';
import type { SessionState } from './state.js';

/**
 * Type OIDs of all parameters of a statement of ours: what the client said in Parse (0: infer), else what the statement
 * says, else what the read model says of the query in it. @throws DatabaseError 42P18 where nobody says anything
 */
export async function parameterTypes(
  state: SessionState,
  relayed: RelayedStatements,
  statement: DialectStatement,
  given: readonly number[],
): Promise<number[]> {
  const inferred = new Map(inferredTypes(statement, state));
  const inner = statement.kind === 'explain' ? statement.statement : statement;
  if (inner.kind === 'append' && inner.source.kind === 'query') {
    const { read } = inner.source;
    await state.waitForReads();
    const { sql } = rewrite(state, read, false);
    const found = await describeParameters(state, sql, relayed.types(read, given));
    found.slice(0, read.parameterCount).forEach((oid, i) => inferred.set(i + 1, oid));
  }
  const count = Math.max(given.length, ...inferred.keys(), 0);
  return Array.from({ length: count }, (_, i) => {
    const asked = given[i] ?? 0;
    if (asked !== 0) return asked;
    const oid = inferred.get(i + 1);
    if (oid === undefined)
      throw new DatabaseError('42P18', `could not determine data type of parameter $${i + 1}`);
    return oid;
  });
}
