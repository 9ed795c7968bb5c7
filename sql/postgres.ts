import { hasSqlDetails, loadModule, parseSync } from 'libpg-query';
import type { Node } from 'libpg-query';
import { DatabaseError, SqlState } from '../engine/errors.js';
import { byteOffset, fromBytes } from './text.js';
import type { SqlText } from './text.js';

/** Loads PostgreSQL's parser; must have ended before the first text is parsed. */
export async function prepareParser(): Promise<void> {
  await loadModule();
}

/**
 * Parses one statement with PostgreSQL's parser. `bytes` stands in for the statement's text with the dialect's own
 * parts blanked out; errors point into the text the client wrote.
 */
export function parsePostgres(text: SqlText, bytes: string = text.bytes): Node {
  const source = text.terminated ? `${bytes};` : bytes;
  let parsed;
  try {
    parsed = parseSync(fromBytes(source));
  } catch (error) {
    throw translate(text, source, error);
  }
  const node = parsed.stmts?.[0]?.stmt;
  // Splitting has left exactly one statement; anything else means that a bracket is open somewhere.
  if (node === undefined || parsed.stmts?.length !== 1) throw text.syntaxError(undefined);
  return node;
}

function translate(text: SqlText, source: string, error: unknown): Error {
  if (
    error instanceof RangeError ||
    (error instanceof Error && error.message.startsWith('memory exhausted'))
  ) {
    return new DatabaseError('54001', 'stack depth limit exceeded');
  }
  if (!hasSqlDetails(error)) return error instanceof Error ? error : new Error(String(error));
  const code = /not (yet )?(implemented|supported)/.test(error.message)
    ? SqlState.featureNotSupported
    : SqlState.syntaxError;
  const character = error.sqlDetails?.cursorPosition ?? 0;
  return text.error(code, error.message, byteOffset(source, character));
}
