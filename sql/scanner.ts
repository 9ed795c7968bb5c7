import { SqlState } from '../engine/errors.js';
import type { Token, TokenKind } from './lexer.js';
import type { SqlText } from './text.js';

/**
 * PostgreSQL's lexical rules (src/backend/parser/scan.l) on a byte string. libpg-query exports PostgreSQL's own
 * scanner too, but hands its tokens over as JSON that breaks on control characters, drops error positions and takes
 * four times as long as parsing; a property test holds this one to it.
 */
const BLANK = /[ \t\n\r\f\v]/;
const WORD = /[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*/y;
const DOLLAR_QUOTE = /\$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$/y;
const PARAMETER = /\$[0-9]+/y;
const RADIX_INTEGER = /0(?:[xX](?:_?[0-9A-Fa-f])+|[oO](?:_?[0-7])+|[bB](?:_?[01])+)/y;
const DECIMAL =
  /(?:[0-9](?:_?[0-9])*(?:\.(?!\.)(?:[0-9](?:_?[0-9])*)?)?|\.[0-9](?:_?[0-9])*)(?:[eE][-+]?[0-9](?:_?[0-9])*)?/y;
const OPERATOR = /[~!@#^&|`?+\-*/%<>=]+/y;
const IDENTIFIER_START = /[A-Za-z_\x80-\xff]/;
/** Between two parts of one string constant: blanks with a line break (libpg-query allows no comments there). */
const CONTINUATION = /[ \t\f\v]*[\n\r][ \t\n\r\f\v]*'/y;

function match(pattern: RegExp, bytes: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.test(bytes) ? pattern.lastIndex : -1;
}

/** The offset of the first byte from `at` that is neither blank nor in a comment. */
export function skipBlanks(text: SqlText, at: number): number {
  const { bytes } = text;
  for (let index = at; ;) {
    const character = bytes.charAt(index);
    if (character === '') return index;
    if (BLANK.test(character)) index++;
    else if (character === '-' && bytes.charAt(index + 1) === '-') {
      while (index < bytes.length && bytes.charAt(index) !== '\n' && bytes.charAt(index) !== '\r') index++;
    } else if (character === '/' && bytes.charAt(index + 1) === '*') index = skipComment(text, index);
    else return index;
  }
}

function skipComment(text: SqlText, at: number): number {
  let depth = 0;
  for (let index = at; index < text.bytes.length;) {
    const pair = text.bytes.slice(index, index + 2);
    if (pair === '/*') depth++;
    else if (pair === '*/') depth--;
    index += pair === '/*' || pair === '*/' ? 2 : 1;
    if (depth === 0) return index;
  }
  throw unterminated(text, '/* comment', at);
}

function unterminated(text: SqlText, what: string, at: number): Error {
  const message = `unterminated ${what} at or near "${text.slice({ start: at, end: text.bytes.length })}"`;
  return text.error(SqlState.syntaxError, message, at);
}

/** Reads the token that begins at `at`, which must not be blank. */
export function scanToken(text: SqlText, at: number): Token {
  const { bytes } = text;
  const character = bytes.charAt(at);
  const next = bytes.charAt(at + 1);
  if (character === "'") return token('string', at, quoted(text, at, at + 1, 'quoted string'));
  if (character === '"') return identifier(text, 'quoted', at, at + 1);
  if (next === "'" && (character === 'e' || character === 'E')) {
    return token('string', at, quoted(text, at, at + 2, 'quoted string', true));
  }
  if (next === "'" && /[bBxX]/.test(character)) {
    return token(
      'bits',
      at,
      quoted(text, at, at + 2, /[bB]/.test(character) ? 'bit string literal' : 'hexadecimal string literal'),
    );
  }
  if (next === '&' && (character === 'u' || character === 'U')) {
    const quote = bytes.charAt(at + 2);
    if (quote === "'") return token('unicodeString', at, quoted(text, at, at + 3, 'quoted string'));
    if (quote === '"') return identifier(text, 'unicodeQuoted', at, at + 3);
  }
  if (IDENTIFIER_START.test(character)) {
    const end = match(WORD, bytes, at);
    return { kind: 'word', start: at, end, word: lowerAscii(bytes.slice(at, end)) };
  }
  if (character === '$') return dollar(text, at);
  if (/[0-9]/.test(character) || (character === '.' && /[0-9]/.test(next))) return number(text, at);
  return symbol(text, at);
}

function token(kind: TokenKind, start: number, end: number): Token {
  return { kind, start, end, word: '' };
}

/** PostgreSQL folds only ASCII letters in a UTF-8 database. */
function lowerAscii(word: string): string {
  return word.replace(/[A-Z]+/g, (part) => part.toLowerCase());
}

function quoted(text: SqlText, start: number, from: number, what: string, escapes = false): number {
  const { bytes } = text;
  const doubled = what === 'quoted string';
  for (let index = from; index < bytes.length; index++) {
    const character = bytes.charAt(index);
    if (escapes && character === '\\') index++;
    else if (character === "'") {
      // Bit strings know no doubled quote.
      if (doubled && bytes.charAt(index + 1) === "'") index++;
      else {
        const continued = match(CONTINUATION, bytes, index + 1);
        if (continued < 0) return index + 1;
        index = continued - 1;
      }
    }
  }
  throw unterminated(text, what, start);
}

function identifier(text: SqlText, kind: TokenKind, start: number, from: number): Token {
  const { bytes } = text;
  let end = from - 1;
  do {
    end = bytes.indexOf('"', end + 1);
    if (end < 0) throw unterminated(text, 'quoted identifier', start);
    if (bytes.charAt(end + 1) !== '"') break;
    end++;
  } while (end >= 0);
  if (end === from) {
    const message = `zero-length delimited identifier at or near "${text.slice({ start, end: end + 1 })}"`;
    throw text.error(SqlState.syntaxError, message, start);
  }
  return token(kind, start, end + 1);
}

function dollar(text: SqlText, at: number): Token {
  const { bytes } = text;
  const parameter = match(PARAMETER, bytes, at);
  if (parameter >= 0) return token('parameter', at, withoutJunk(text, at, parameter, 'parameter'));
  const opened = match(DOLLAR_QUOTE, bytes, at);
  if (opened < 0) return { kind: 'symbol', start: at, end: at + 1, word: '$' };
  const tag = bytes.slice(at, opened);
  const closed = bytes.indexOf(tag, opened);
  if (closed < 0) throw unterminated(text, 'dollar-quoted string', at);
  return token('string', at, closed + tag.length);
}

function number(text: SqlText, at: number): Token {
  const { bytes } = text;
  const radix = match(RADIX_INTEGER, bytes, at);
  const end = radix >= 0 ? radix : match(DECIMAL, bytes, at);
  const digits = bytes.slice(at, end);
  const integral = radix >= 0 || /^[0-9_]+$/.test(digits);
  withoutJunk(text, at, end, 'numeric literal');
  return token(integral ? 'integer' : 'float', at, end);
}

function withoutJunk(text: SqlText, start: number, end: number, what: string): number {
  if (IDENTIFIER_START.test(text.bytes.charAt(end))) {
    const junk = match(WORD, text.bytes, end);
    const message = `trailing junk after ${what} at or near "${text.slice({ start, end: junk })}"`;
    throw text.error(SqlState.syntaxError, message, start);
  }
  return end;
}

function symbol(text: SqlText, at: number): Token {
  const { bytes } = text;
  let end = match(OPERATOR, bytes, at);
  if (end < 0) {
    const pair = bytes.slice(at, at + 2);
    end = pair === '::' || pair === '..' || pair === ':=' ? at + 2 : at + 1;
  } else {
    const run = bytes.slice(at, end);
    const comment = run.search(/--|\/\*/);
    if (comment > 0) end = at + comment;
    // `a=-1` is three tokens: an operator ends in + or - only if it holds a sign that SQL itself never uses.
    while (end > at + 1 && /[+-]$/.test(bytes.slice(at, end)) && !/[~!@#^&|`?%]/.test(bytes.slice(at, end)))
      end--;
  }
  return { kind: 'symbol', start: at, end, word: bytes.slice(at, end) };
}
