/** Looking back over many aggregates at once: from a table of the read model where there is one, else from the engine. */
import type { PastAnswer } from '../../readmodel/index.js';
import type { ReadStatement } from '../../sql/statement.js';
import { narrow, resolveAsOf, type RelationContext } from '../statements/relations.js';
import type { SessionState } from './state.js';

/**
 * How each engine relation of a read is answered; null for those that are no past states. A mere EXPLAIN makes no
 * table.
 */
export async function pastAnswers(
  state: SessionState,
  read: ReadStatement,
  context: RelationContext,
): Promise<(PastAnswer | null)[]> {
  const answers: (PastAnswer | null)[] = [];
  for (const { source, conditions } of read.engineRelations) {
    if (source.kind !== 'state') answers.push(null);
    else {
      context.access.requireReadSome(source.aggregateType);
      const asOf = await resolveAsOf(source.asOf, context);
      const { ids } = narrow(conditions, context.parameters);
      const peek = read.explain !== null && !read.explain.analyze;
      const request = { type: source.aggregateType, asOf, ids: ids?.length ?? null, peek };
      answers.push(await state.services.readModel.past(request, context.signal));
    }
  }
  if (!answers.some((answer) => answer?.kind === 'table') || (await state.readsLatest())) return answers;
  // A snapshot taken earlier may not have the table's rows.
  return answers.map((answer) => (answer?.kind === 'table' ? ELSEWHERE : answer));
}

const ELSEWHERE: PastAnswer = {
  kind: 'engine',
  why: 'refused',
  reason: 'the transaction is above READ COMMITTED',
};
