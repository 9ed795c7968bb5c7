/** EXPLAIN of the dialect's statements. */
import { SqlState } from '../engine/errors.js';
import { parseAppend } from './append.js';
import { findAppend } from './appendClauses.js';
import { unwrap } from './ast.js';
import { callStatement } from './call.js';
import type { Catalogue } from './catalogue.js';
import { findEventInsert, parseEventInsert } from './eventInsert.js';
import { explainOptions, optionsOf, type ExplainOption } from './explainOptions.js';
import type { Token } from './lexer.js';
import { parsePostgres } from './postgres.js';
import type { ExplainFormat, ExplainStatement } from './statement.js';
import { blank, type SqlText } from './text.js';

const FLAGS = [
  'analyze',
  'verbose',
  'costs',
  'settings',
  'generic_plan',
  'buffers',
  'wal',
  'timing',
  'summary',
];

/**
 * EXPLAIN of INSERT … EVENTS or CALL; undefined for any other statement.
 * @throws DatabaseError 42601 for an option that EXPLAIN does not have, 22023 for a format it does not know
 */
export function parseExplain(
  text: SqlText,
  tokens: readonly Token[],
  catalogue: Catalogue,
): ExplainStatement | undefined {
  const first = explained(tokens);
  const rest = tokens.slice(first);
  if (first === 0) return undefined;
  const insert = findAppend(rest);
  const plain = insert < 0 ? findEventInsert(text, rest) : -1;
  if (insert < 0 && plain < 0 && rest[0]?.word !== 'call') return undefined;
  const start = rest[0]?.start ?? 0;
  const head = unwrap(parsePostgres(text, `${text.bytes.slice(0, start)}SELECT`), 'ExplainStmt');
  if (head === undefined) throw text.syntaxError(rest[0]);
  for (const option of optionsOf(head)) checkOption(text, option);
  const own = text.withBytes(blank(text.bytes, [{ start: 0, end: start }]));
  const statement =
    insert >= 0
      ? parseAppend(own, rest, insert, catalogue)
      : plain >= 0
        ? parseEventInsert(own, rest, plain, catalogue)
        : callStatement(own, parsePostgres(own));
  if (statement === undefined) throw text.syntaxError(rest[0]);
  const flags = optionsOf(head)
    .filter(({ name }) => name !== 'format' && name !== 'analyze')
    .map(({ name, value }) => `${name} ${value}`);
  return { kind: 'explain', statement, options: explainOptions(head), flags };
}

/** Index of the first token behind EXPLAIN and its options; 0 where the statement is no EXPLAIN. */
function explained(tokens: readonly Token[]): number {
  if (tokens[0]?.word !== 'explain') return 0;
  let at = 1;
  if (tokens[1]?.word === '(') {
    while (at < tokens.length && tokens[at]?.word !== ')') at++;
    return at + 1;
  }
  while (['analyze', 'analyse', 'verbose'].includes(tokens[at]?.word ?? '')) at++;
  return at;
}

const FORMATS: readonly ExplainFormat[] = ['text', 'json', 'yaml', 'xml'];

function checkOption(text: SqlText, { name, value, location }: ExplainOption): void {
  if (name === 'format') {
    if ((FORMATS as readonly string[]).includes(value.toLowerCase())) return;
    const message = `unrecognized value for EXPLAIN option "format": "${value}"`;
    throw text.error(SqlState.invalidParameterValue, message, location);
  }
  const isFlag = FLAGS.includes(name) && /^(on|off|true|false|0|1)$/i.test(value);
  if (!isFlag)
    throw text.error(
      SqlState.syntaxError,
      FLAGS.includes(name) ? `${name} requires a Boolean value` : `unrecognized EXPLAIN option "${name}"`,
      location,
    );
}
