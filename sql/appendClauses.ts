import { SqlState } from '../engine/errors.js';
import type { Token } from './lexer.js';
import { isName } from './names.js';
import type { AppendStatement } from './statement.js';
import type { ByteRange, SqlText } from './text.js';
import { TokenCursor, stringValue } from './tokenCursor.js';

/** The places of the dialect's words in an INSERT … EVENTS. */
export interface AppendClauses {
  readonly eventType: { readonly name: string; readonly start: number } | null;
  readonly expected: AppendStatement['expected'] | null;
  /** Parts of the text that PostgreSQL's grammar does not know. */
  readonly dialect: readonly ByteRange[];
  /** Everything but the query that gives the rows (and a WITH in front of INSERT). */
  readonly aroundQuery: readonly ByteRange[];
  /** Index of the first token behind the column list. */
  readonly queryIndex: number;
}

/** Index of the INSERT of an INSERT … EVENTS, possibly behind WITH; -1 for any other statement. */
export function findAppend(tokens: readonly Token[]): number {
  let index = 0;
  if (tokens[0]?.word === 'with') index = findTopLevel(tokens, 0, (at) => tokens[at]?.word === 'insert');
  if (index < 0 || tokens[index]?.word !== 'insert' || tokens[index + 1]?.word !== 'into') return -1;
  return tokens[eventsIndex(tokens, index)]?.word === 'events' ? index : -1;
}

/** Index of the token behind the table's qualified name; -1 where no name stands. */
export function eventsIndex(tokens: readonly Token[], insert: number): number {
  let at = insert + 2;
  if (!isName(tokens[at])) return -1;
  while (tokens[at + 1]?.word === '.' && isName(tokens[at + 2])) at += 2;
  return at + 1;
}

export function findTopLevel(
  tokens: readonly Token[],
  from: number,
  matches: (index: number) => boolean,
): number {
  let depth = 0;
  for (let index = from; index < tokens.length; index++) {
    if (depth === 0 && matches(index)) return index;
    const word = tokens[index]?.word;
    if (word === '(') depth++;
    if (word === ')') depth--;
  }
  return -1;
}

export function parseClauses(text: SqlText, tokens: readonly Token[], insert: number): AppendClauses {
  const events = eventsIndex(tokens, insert);
  const cursor = new TokenCursor(text, tokens, events + 1);
  const named = !cursor.at('(');
  const eventType = named ? cursor.name() : null;
  if (!cursor.at('(')) {
    const hint =
      'Name the columns: INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES (…).';
    throw cursor.unexpected(hint);
  }
  const eventsRange = { start: tokens[events]?.start ?? 0, end: tokens[cursor.index - 1]?.end ?? 0 };
  const closing = findTopLevel(tokens, cursor.index + 1, (at) => tokens[at]?.word === ')');
  const queryIndex = closing < 0 ? tokens.length : closing + 1;
  return { eventType, ...parseTail(text, tokens, insert, { queryIndex, dialect: [eventsRange] }) };
}

/** The clauses of an INSERT into a relation of schema `events`, whose column list may be left out. */
export function parseRelationClauses(
  text: SqlText,
  tokens: readonly Token[],
  insert: number,
): Omit<AppendClauses, 'eventType'> {
  let at = eventsIndex(tokens, insert);
  if (tokens[at]?.word === 'as') at += 2;
  if (tokens[at]?.word === '(' && !startsQuery(tokens, at + 1)) {
    const closing = findTopLevel(tokens, at + 1, (index) => tokens[index]?.word === ')');
    at = closing < 0 ? tokens.length : closing + 1;
  }
  return parseTail(text, tokens, insert, { queryIndex: at, dialect: [] });
}

/** Whether a query in brackets begins rather than a list of names; `values` can be a column's name. */
function startsQuery(tokens: readonly Token[], index: number): boolean {
  const word = tokens[index]?.word ?? '';
  if (word === 'values') return tokens[index + 1]?.word === '(';
  return ['select', 'with', 'table', '('].includes(word);
}

function parseTail(
  text: SqlText,
  tokens: readonly Token[],
  insert: number,
  { queryIndex, dialect }: { readonly queryIndex: number; readonly dialect: readonly ByteRange[] },
): Omit<AppendClauses, 'eventType'> {
  const expect = parseExpect(text, tokens, queryIndex);
  const tail = findTopLevel(tokens, queryIndex, (at) => startsTail(tokens, at) || at === expect?.index);
  const end = text.bytes.length;
  const tailStart = tail < 0 ? end : (tokens[tail]?.start ?? end);
  return {
    expected: expect?.expected ?? null,
    dialect: expect === undefined ? dialect : [...dialect, expect.range],
    aroundQuery: [
      { start: tokens[insert]?.start ?? 0, end: tokens[queryIndex - 1]?.end ?? 0 },
      { start: tailStart, end },
    ],
    queryIndex,
  };
}

/** `ON CONFLICT` could also begin a join's condition on a column of that name; its own form tells them apart. */
function startsTail(tokens: readonly Token[], at: number): boolean {
  if (tokens[at]?.word === 'returning') return true;
  const after = tokens[at + 2]?.word;
  return (
    tokens[at]?.word === 'on' &&
    tokens[at + 1]?.word === 'conflict' &&
    (after === '(' || after === 'do' || after === 'on')
  );
}

interface Expect {
  readonly index: number;
  readonly range: ByteRange;
  readonly expected: AppendStatement['expected'];
}

/** EXPECT VERSION n | ANY | EXISTS | NONE, at the end or in front of ON CONFLICT or RETURNING. */
function parseExpect(text: SqlText, tokens: readonly Token[], from: number): Expect | undefined {
  const constants = tokens[from]?.word === 'values';
  const index = findTopLevel(tokens, from, (at) => {
    if (tokens[at]?.word !== 'expect' || at === from || tokens[at - 1]?.word === '.') return false;
    // Behind VALUES nothing else can be meant; in a query `expect` may be a name.
    return constants || isExpectation(tokens, at);
  });
  if (index < 0) return undefined;
  const cursor = new TokenCursor(text, tokens, index + 1);
  const expected = parseExpectation(cursor);
  const next = cursor.token;
  if (next?.word === 'expect') throw cursor.unexpected();
  return {
    index,
    expected,
    range: { start: tokens[index]?.start ?? 0, end: tokens[cursor.index - 1]?.end ?? 0 },
  };
}

function isExpectation(tokens: readonly Token[], at: number): boolean {
  const kind = tokens[at + 1]?.word;
  if (kind !== 'any' && kind !== 'exists' && kind !== 'none' && kind !== 'version') return false;
  const end = at + (kind === 'version' ? 3 : 2);
  return tokens[end] === undefined || startsTail(tokens, end);
}

function parseExpectation(cursor: TokenCursor): AppendStatement['expected'] {
  if (cursor.accept('any')) return { kind: 'any' };
  if (cursor.accept('exists')) return { kind: 'exists' };
  if (cursor.accept('none')) return { kind: 'version', version: 0n };
  if (!cursor.accept('version'))
    throw cursor.unexpected('Write EXPECT VERSION n, EXPECT ANY, EXPECT EXISTS or EXPECT NONE.');
  const { token, text } = cursor;
  if (token === undefined) throw cursor.unexpected();
  cursor.index++;
  if (token.kind === 'parameter') {
    return { kind: 'operand', version: { kind: 'parameter', number: Number(text.slice(token).slice(1)) } };
  }
  const written =
    token.kind === 'string' ? stringValue(text, token).trim() : text.slice(token).replace(/_/g, '');
  if (!/^\d+$/.test(written))
    throw text.syntaxError(token, { hint: 'A version is a whole number from 0, or a parameter.' });
  const version = BigInt(written);
  if (version >= 2n ** 63n)
    throw text.error(SqlState.numericValueOutOfRange, 'expected version is out of range', token.start);
  return { kind: 'version', version };
}
