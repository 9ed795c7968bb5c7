import { SqlState } from '../engine/errors.js';
import type { Token } from './lexer.js';
import { isName } from './names.js';
import type { AsOfClause, Operand } from './statement.js';
import type { ByteRange, SqlText } from './text.js';
import { TokenCursor, stringValue } from './tokenCursor.js';

/** AS OF as it stands in the text; whether its name is an aggregate shows once the statement is parsed. */
export interface AsOfText extends ByteRange {
  readonly clause: AsOfClause;
  /** Where the (qualified) name in front of it begins. */
  readonly nameStart: number;
}

const MAXIMUM_BIGINT = 2n ** 63n - 1n;

/**
 * Finds every AS OF clause. `AS OF VERSION|TIMESTAMP|POSITION` never stands in a valid PostgreSQL statement: an alias
 * named `of` is followed by something else.
 */
export function findAsOf(text: SqlText, tokens: readonly Token[]): AsOfText[] {
  const found: AsOfText[] = [];
  for (let index = 1; index < tokens.length; index++) {
    if (tokens[index]?.word !== 'as' || tokens[index + 1]?.word !== 'of') continue;
    const kind = tokens[index + 2]?.word;
    if (kind !== 'version' && kind !== 'timestamp' && kind !== 'position') continue;
    const before = tokens[index - 1];
    if (before?.word === ')') throw notAnAggregate(text, tokens[index], 'a subquery or function');
    if (!isName(before)) continue;
    const cursor = new TokenCursor(text, tokens, index + 3);
    const operand = parseOperand(cursor, kind);
    const end = tokens[cursor.index - 1]?.end ?? text.bytes.length;
    found.push({
      start: before.end,
      end,
      clause: { kind, operand },
      nameStart: nameStart(tokens, index - 1),
    });
    index = cursor.index - 1;
  }
  return found;
}

function notAnAggregate(text: SqlText, token: Token | undefined, what: string): Error {
  const message = `AS OF cannot be applied to ${what}`;
  return text.error('42809', message, token?.start, {
    hint: 'AS OF stands directly behind the name of an aggregate.',
  });
}

function nameStart(tokens: readonly Token[], index: number): number {
  let first = index;
  while (tokens[first - 1]?.word === '.' && isColumnLabel(tokens[first - 2])) first -= 2;
  return tokens[first]?.start ?? 0;
}

function isColumnLabel(token: Token | undefined): boolean {
  return (
    token !== undefined &&
    (token.kind === 'word' || token.kind === 'quoted' || token.kind === 'unicodeQuoted')
  );
}

function parseOperand(cursor: TokenCursor, kind: AsOfClause['kind']): Operand {
  const operand = parseUncast(cursor, kind);
  while (cursor.accept('::')) skipType(cursor);
  return operand;
}

/** Parentheses and CAST(… AS …) are what drivers that write values into the text put around them. */
function parseUncast(cursor: TokenCursor, kind: AsOfClause['kind']): Operand {
  if (cursor.accept('cast', '(')) {
    const operand = parseOperand(cursor, kind);
    cursor.expect('as');
    skipType(cursor);
    cursor.expect(')');
    return operand;
  }
  if (cursor.accept('(')) {
    const operand = parseOperand(cursor, kind);
    cursor.expect(')');
    return operand;
  }
  // AS OF TIMESTAMP TIMESTAMP '…' reads oddly but is what a generator that quotes its literals writes.
  if (kind === 'timestamp' && cursor.tokens[cursor.index + 1]?.kind === 'string') {
    if (cursor.at('timestamp') || cursor.at('timestamptz')) cursor.index++;
  }
  return parseValue(cursor, kind);
}

function parseValue(cursor: TokenCursor, kind: AsOfClause['kind']): Operand {
  const sign = cursor.accept('-') ? '-' : cursor.accept('+') ? '+' : '';
  const token = cursor.token;
  if (token === undefined) throw cursor.unexpected();
  cursor.index++;
  if (token.kind === 'parameter' && sign === '') {
    return { kind: 'parameter', number: Number(cursor.text.slice(token).slice(1)) };
  }
  if (kind === 'timestamp') {
    if (sign === '' && (token.kind === 'string' || token.kind === 'unicodeString')) {
      return { kind: 'literal', value: stringValue(cursor.text, token) };
    }
    throw cursor.text.syntaxError(token, {
      hint: "Write the time as text: AS OF TIMESTAMP '2026-01-31 17:05:00+00'.",
    });
  }
  if (token.kind !== 'integer' && !(token.kind === 'string' && sign === ''))
    throw cursor.text.syntaxError(token);
  const written =
    token.kind === 'string'
      ? stringValue(cursor.text, token).trim()
      : cursor.text.slice(token).replace(/_/g, '');
  return { kind: 'literal', value: checkNumber(cursor, token, kind, sign + written) };
}

function checkNumber(cursor: TokenCursor, token: Token, kind: string, written: string): string {
  if (!/^[+-]?(\d+|0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+)$/.test(written)) {
    throw cursor.text.error(SqlState.invalidTextRepresentation, `invalid ${kind} in AS OF`, token.start);
  }
  const value = BigInt(written.replace(/^[+-]/, ''));
  if (written.startsWith('-') && value !== 0n) {
    throw cursor.text.error(
      SqlState.invalidParameterValue,
      `${kind} in AS OF must not be negative`,
      token.start,
    );
  }
  if (value > MAXIMUM_BIGINT) {
    throw cursor.text.error(SqlState.numericValueOutOfRange, `${kind} in AS OF is out of range`, token.start);
  }
  return value.toString();
}

/** Steps over the type of a cast: the clause's kind already says what the value is. */
function skipType(cursor: TokenCursor): void {
  if (!isName(cursor.token)) throw cursor.unexpected();
  cursor.index++;
  if (cursor.accept('.')) cursor.name();
  if (cursor.at('(') && cursor.tokens[cursor.index + 1]?.kind === 'integer') {
    cursor.index += 2;
    cursor.expect(')');
  }
  if (cursor.at('with', 'time', 'zone') || cursor.at('without', 'time', 'zone')) cursor.index += 3;
}
