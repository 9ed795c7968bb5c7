import { requireAggregate } from './catalogue.js';
import type { Catalogue } from './catalogue.js';
import type { CommentStatement } from './statement.js';
import type { TokenCursor } from './tokenCursor.js';

/** COMMENT ON AGGREGATE name IS 'text' | NULL */
export function parseComment(cursor: TokenCursor, catalogue: Catalogue): CommentStatement {
  cursor.expect('comment', 'on', 'aggregate');
  const { name, start } = cursor.aggregateName();
  cursor.expect('is');
  const comment = cursor.accept('null') ? null : cursor.string();
  cursor.end();
  requireAggregate(cursor.text, catalogue, name, start);
  return { kind: 'comment', aggregateType: name, comment };
}
