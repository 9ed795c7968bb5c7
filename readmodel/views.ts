import type { RelationColumn } from './relations.js';
import { quoteIdentifier, quoteLiteral } from './session.js';

/**
 * A view that is in the catalogue with the right columns and fails when it is run. The server answers such a relation
 * itself; the guard catches uses it cannot see, such as query_to_xml.
 */
export function guardView(relation: string, columns: readonly RelationColumn[]): string {
  const list = columns.map(({ name, type }) => `NULL::${type} AS ${quoteIdentifier(name)}`).join(', ');
  // A volatile condition without columns becomes a one-time filter: it is evaluated before the first row.
  const guard = `eventful_internal.answered_by_engine(${quoteLiteral(relation)})`;
  return `CREATE VIEW ${relation} AS SELECT ${list} WHERE ${guard}`;
}
