import { DatabaseError, SqlState } from '../engine/errors.js';
import { scanToken, skipBlanks } from './scanner.js';
import { SqlText, countCharacters, toBytes } from './text.js';

/** `word`: identifier or keyword as written without quotes. `symbol`: operators and punctuation. */
export type TokenKind =
  | 'word'
  | 'quoted'
  | 'unicodeQuoted'
  | 'string'
  | 'unicodeString'
  | 'bits'
  | 'integer'
  | 'float'
  | 'parameter'
  | 'symbol';

export interface Token {
  readonly kind: TokenKind;
  /** Byte offsets in the statement. */
  readonly start: number;
  readonly end: number;
  /** A word in lower case, or a symbol as it is; empty for every other kind. */
  readonly word: string;
}

export interface LexedStatement {
  readonly text: SqlText;
  readonly tokens: readonly Token[];
}

/**
 * How deep a statement may nest. PostgreSQL's parser runs in WebAssembly on Node's stack; overflowing it there would
 * lose memory for good, so that deep texts are refused before they reach it.
 */
const MAXIMUM_DEPTH = 1600;
/** How much a token deepens the syntax tree, by measurement of what the parser's stack bears. */
const DEPTH_OF: ReadonlyMap<string, number> = new Map([
  ['join', 2],
  ['union', 1],
  ['intersect', 1],
  ['except', 1],
  ['explain', 4],
  ['prepare', 4],
]);
const OPENING = new Set(['(', '[', 'case']);
const CLOSING = new Set([')', ']', 'end']);
/** Words that work like operators and can be written one behind the other. */
const POSTFIX = new Set(['collate', 'at', 'is', 'isnull', 'notnull', 'operator']);
/** After these a new expression begins beside the last one, not inside it. */
const SIBLING = new Set([
  ',',
  'and',
  'or',
  'select',
  'from',
  'where',
  'on',
  'having',
  'when',
  'then',
  'else',
]);

/** Splits a text into its statements at top-level semicolons; those without any token are left out. */
export function lexStatements(sql: string): LexedStatement[] {
  if (sql.includes('\0') || /\p{Surrogate}/u.test(sql)) {
    throw new DatabaseError(SqlState.characterNotInRepertoire, 'invalid byte sequence for encoding "UTF8"');
  }
  const bytes = toBytes(sql);
  const statements: LexedStatement[] = [];
  let tokens: Token[] = [];
  let begin = 0;
  let offset = 0;
  let depth = 0;
  const finish = (end: number, terminated: boolean): void => {
    if (tokens.length > 0) {
      const text = new SqlText(bytes.slice(begin, end), offset, terminated);
      checkDepth(text, tokens);
      statements.push({ text, tokens });
    }
    offset += countCharacters(bytes, begin, end) + 1;
    begin = end + 1;
    tokens = [];
    depth = 0;
  };
  const whole = new SqlText(bytes, 0, false);
  for (let at = skipBlanks(whole, 0); at < bytes.length;) {
    const token = scanToken(whole, at);
    if (token.word === '(') depth++;
    if (token.word === ')') depth = Math.max(0, depth - 1);
    if (token.word === ';' && depth === 0) finish(token.start, true);
    else tokens.push({ ...token, start: token.start - begin, end: token.end - begin });
    at = skipBlanks(whole, token.end);
  }
  finish(bytes.length, false);
  return statements;
}

interface Group {
  readonly opener: string;
  /** What the groups around this one add up to. */
  readonly enclosing: number;
  structure: number;
  expression: number;
  queries: number;
}

function depthOf(group: Group): number {
  return group.enclosing + group.structure + group.expression + group.queries;
}

function checkDepth(text: SqlText, tokens: readonly Token[]): void {
  const groups: Group[] = [];
  let group: Group = { opener: '', enclosing: 0, structure: 0, expression: 0, queries: 0 };
  let previous = '';
  for (const token of tokens) {
    const { word } = token;
    const label = word === 'case' && (previous === '.' || previous === 'as');
    previous = word;
    if (word === '') continue;
    if (OPENING.has(word) && !label) {
      groups.push(group);
      const weight = word === 'case' ? 4 : 2;
      const enclosing = depthOf(group) + weight;
      group = { opener: word, enclosing, structure: 0, expression: 0, queries: 0 };
    } else if (CLOSING.has(word)) group = closeGroup(groups, group, word);
    else deepen(group, token);
    if (depthOf(group) > MAXIMUM_DEPTH) {
      const hint = 'Write the statement with fewer nested parts.';
      throw text.error('54001', 'stack depth limit exceeded', token.start, { hint });
    }
  }
}

/** A bracket closes every CASE still open in it; END closes a CASE only (it may also be a label). */
function closeGroup(groups: Group[], group: Group, word: string): Group {
  if (word === 'end') return group.opener === 'case' ? (groups.pop() ?? group) : group;
  let current = group;
  while (current.opener === 'case') current = groups.pop() ?? current;
  return groups.pop() ?? current;
}

function deepen(group: Group, { kind, word }: Token): void {
  if (SIBLING.has(word)) group.expression = 0;
  const structural = DEPTH_OF.get(word);
  // Side by side, SELECTs are joined by set operations, which count themselves.
  if (word === 'select' || word === 'values') group.queries = 2;
  if (word === 'not') group.expression += 2;
  else if (structural !== undefined) group.structure += structural;
  else if (kind === 'symbol' && word !== ',' && word !== '.') group.expression++;
  else if (POSTFIX.has(word)) group.expression++;
}
