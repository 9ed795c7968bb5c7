/** INSERT INTO events.<event>: an append for clients that know only PostgreSQL's SQL. */
import type { InsertStmt, Node } from 'libpg-query';
import type { EventRelation } from '../engine/schema/eventRelations.js';
import { appendSource, ignoresDuplicate, visibleWidth } from './append.js';
import { eventsIndex, findTopLevel, parseRelationClauses } from './appendClauses.js';
import { appendColumns } from './appendColumns.js';
import { findAsOf } from './asOf.js';
import { unwrap } from './ast.js';
import type { Catalogue } from './catalogue.js';
import { insertable, isEventName, requireEventRelation } from './eventRelation.js';
import type { Token } from './lexer.js';
import { parsePostgres } from './postgres.js';
import { refuseHiddenAppend } from './refuse.js';
import { returningItems } from './returning.js';
import type { AppendStatement } from './statement.js';
import { blank } from './text.js';
import type { SqlText } from './text.js';

/** Index of the INSERT of an INSERT INTO events.name, possibly behind WITH; -1 for any other statement. */
export function findEventInsert(text: SqlText, tokens: readonly Token[]): number {
  let index = 0;
  if (tokens[0]?.word === 'with') index = findTopLevel(tokens, 0, (at) => tokens[at]?.word === 'insert');
  if (index < 0 || tokens[index]?.word !== 'insert' || tokens[index + 1]?.word !== 'into') return -1;
  return isEventName(text, tokens.slice(index + 2, eventsIndex(tokens, index))) ? index : -1;
}

/**
 * INSERT INTO events.name [(columns)] VALUES …|query [EXPECT …] [ON CONFLICT (event_id) DO NOTHING] [RETURNING …]: means
 * INSERT INTO aggregate EVENTS name. As in PostgreSQL, the column list may be left out and VALUES may hold DEFAULT.
 */
export function parseEventInsert(
  text: SqlText,
  tokens: readonly Token[],
  insert: number,
  catalogue: Catalogue,
): AppendStatement {
  refuseHiddenAppend(text, tokens, insert + 1);
  refuseHiddenAppend(text, tokens.slice(0, insert));
  const clauses = parseRelationClauses(text, tokens, insert);
  const plain = blank(text.bytes, clauses.dialect);
  const node = parsePostgres(text, blank(plain, findAsOf(text, tokens)));
  const statement = unwrap(node, 'InsertStmt');
  if (statement === undefined) throw text.syntaxError(tokens[insert]);
  const relation = requireEventRelation(text, statement.relation, catalogue);
  const { aggregate, event } = relation;
  const given = statement.cols ?? [];
  const names = given.length > 0 ? given : implicitColumns(statement, relation);
  const columns = appendColumns(text, names, { aggregate, event, expects: clauses.expected !== null });
  return {
    kind: 'append',
    aggregateType: aggregate.type,
    eventType: event.name,
    columns: columns.map(({ name }) => name),
    rowsMayBeShort: given.length === 0,
    source: appendSource(text, { statement, clauses, plain, columns, catalogue, defaults: true }),
    expected: clauses.expected ?? { kind: 'any' },
    ignoreDuplicate: ignoresDuplicate(text, statement),
    returning: returningItems(text, statement.returningClause, relation),
  };
}

/** The relation's columns up to the width of the rows, as far as that can be seen. */
function implicitColumns(statement: InsertStmt, relation: EventRelation): Node[] {
  const select = unwrap(statement.selectStmt, 'SelectStmt');
  const first = unwrap(select?.valuesLists?.[0], 'List')?.items?.length;
  const width = first ?? (select === undefined ? undefined : visibleWidth(select));
  return insertable(relation).slice(0, width ?? Infinity);
}
