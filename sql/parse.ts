import { parseAppend } from './append.js';
import { findAppend } from './appendClauses.js';
import { callStatement } from './call.js';
import { OverlayCatalogue } from './catalogue.js';
import type { Catalogue } from './catalogue.js';
import { parseComment } from './comment.js';
import { isCopyAppend, parseCopyAppend } from './copyAppend.js';
import { parseCreateAggregate } from './createAggregate.js';
import { findEventInsert, parseEventInsert } from './eventInsert.js';
import { parseExplain } from './explain.js';
import { lexStatements } from './lexer.js';
import type { LexedStatement } from './lexer.js';
import { DatabaseError } from '../engine/errors.js';
import { parseText, readStatement } from './read.js';
import { refuseByTokens, refuseStatement } from './refuse.js';
import { sessionStatement } from './session.js';
import type { Statement } from './statement.js';
import { TokenCursor } from './tokenCursor.js';
import { transactionStatement } from './transaction.js';
import { viewStatement } from './view.js';

export { prepareParser } from './postgres.js';
export type { Catalogue } from './catalogue.js';

/**
 * Parses a text of any number of statements and binds them to the catalogue; aggregates created earlier in the text
 * are known to what follows. A text without any statement gives an empty list. The whole text is refused if one
 * statement of it is.
 * @throws DatabaseError with a position in the whole text
 */
export function parseStatements(sql: string, catalogue: Catalogue): Statement[] {
  const overlay = new OverlayCatalogue(catalogue);
  try {
    return lexStatements(sql).map((lexed) => parseStatement(lexed, overlay));
  } catch (error) {
    // Walking a tree that is deeper than the stack; PostgreSQL has the same limit and the same answer.
    if (error instanceof RangeError) throw new DatabaseError('54001', 'stack depth limit exceeded');
    throw error;
  }
}

function parseStatement({ text, tokens }: LexedStatement, catalogue: OverlayCatalogue): Statement {
  const cursor = new TokenCursor(text, tokens);
  if (cursor.at('create', 'aggregate')) {
    const statement = parseCreateAggregate(cursor, catalogue);
    catalogue.add(statement.definition);
    return statement;
  }
  if (cursor.at('comment', 'on', 'aggregate')) return parseComment(cursor, catalogue);
  if (isCopyAppend(text, tokens)) return parseCopyAppend(text, tokens, catalogue);
  const explain = parseExplain(text, tokens, catalogue);
  if (explain !== undefined) return explain;
  const insert = findAppend(tokens);
  if (insert >= 0) return parseAppend(text, tokens, insert, catalogue);
  const eventInsert = findEventInsert(text, tokens);
  if (eventInsert >= 0) return parseEventInsert(text, tokens, eventInsert, catalogue);
  const view = viewStatement(text, tokens, catalogue);
  if (view !== undefined) return view;
  refuseByTokens(text, tokens);
  const parsed = parseText(text, tokens);
  const { node } = parsed;
  const statement =
    readStatement(parsed, catalogue) ??
    transactionStatement(text, node) ??
    sessionStatement(text, node) ??
    callStatement(text, node);
  if (statement === undefined) throw refuseStatement(text, node, catalogue);
  return statement;
}
