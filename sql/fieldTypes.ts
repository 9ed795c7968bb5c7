import { SqlState } from '../engine/errors.js';
import type { Token } from './lexer.js';
import { isName, nameOf } from './names.js';
import type { TokenCursor } from './tokenCursor.js';

/** Spellings of the supported types → their canonical name, as PostgreSQL's format_type() prints it. */
const CANONICAL: ReadonlyMap<string, string> = new Map([
  ['text', 'text'],
  ['varchar', 'character varying'],
  ['bool', 'boolean'],
  ['boolean', 'boolean'],
  ['smallint', 'smallint'],
  ['int2', 'smallint'],
  ['integer', 'integer'],
  ['int', 'integer'],
  ['int4', 'integer'],
  ['bigint', 'bigint'],
  ['int8', 'bigint'],
  ['numeric', 'numeric'],
  ['decimal', 'numeric'],
  ['dec', 'numeric'],
  ['real', 'real'],
  ['float4', 'real'],
  ['float8', 'double precision'],
  ['float', 'double precision'],
  ['date', 'date'],
  ['time', 'time without time zone'],
  ['timestamp', 'timestamp without time zone'],
  ['timestamptz', 'timestamp with time zone'],
  ['uuid', 'uuid'],
  ['json', 'json'],
  ['jsonb', 'jsonb'],
]);

const SUPPORTED =
  'Supported types are text, varchar(n), boolean, smallint, integer, bigint, numeric(p,s), real, double precision, ' +
  'date, time, timestamp, timestamptz, uuid, json and jsonb.';

/** Reads a field's type at the cursor and returns its canonical text. */
export function parseFieldType(cursor: TokenCursor): string {
  const token = cursor.token;
  if (!isName(token)) throw cursor.unexpected();
  if (cursor.accept('pg_catalog', '.')) return parseFieldType(cursor);
  cursor.index++;
  const name = canonicalName(cursor, token);
  const modifiers = parseModifiers(cursor);
  const type = withZone(cursor, name, token);
  if (cursor.at('[') || cursor.at('array'))
    throw unsupported(cursor, token, `${nameOf(cursor.text, token)}[]`);
  return withModifiers(cursor, type, modifiers, token);
}

function canonicalName(cursor: TokenCursor, token: Token): string {
  if (token.word === 'double' && cursor.accept('precision')) return 'double precision';
  if (token.word === 'character' && cursor.accept('varying')) return 'character varying';
  const name = nameOf(cursor.text, token);
  const canonical = CANONICAL.get(name);
  if (canonical === undefined) throw unsupported(cursor, token, name);
  return canonical;
}

function unsupported(cursor: TokenCursor, token: Token, name: string): Error {
  return cursor.text.error(SqlState.undefinedObject, `type "${name}" does not exist`, token.start, {
    detail: 'A field has one of a few types that print as text and read back without loss.',
    hint: SUPPORTED,
  });
}

function withZone(cursor: TokenCursor, name: string, token: Token): string {
  const zoned = token.word === 'timestamp' || token.word === 'time';
  if (zoned && cursor.accept('without', 'time', 'zone')) return name;
  if (zoned && cursor.accept('with', 'time', 'zone')) {
    if (token.word === 'time') throw unsupported(cursor, token, 'time with time zone');
    return 'timestamp with time zone';
  }
  return name;
}

function parseModifiers(cursor: TokenCursor): number[] {
  const modifiers: number[] = [];
  if (!cursor.accept('(')) return modifiers;
  do modifiers.push(cursor.integer());
  while (cursor.accept(','));
  cursor.expect(')');
  return modifiers;
}

function withModifiers(
  cursor: TokenCursor,
  type: string,
  modifiers: readonly number[],
  token: Token,
): string {
  if (modifiers.length === 0) return type;
  const invalid = (message: string): Error =>
    cursor.text.error(SqlState.invalidParameterValue, message, token.start);
  const [first = 0, second = 0] = modifiers;
  if (type === 'character varying' && modifiers.length === 1) {
    if (first < 1) throw invalid('length for type varchar must be at least 1');
    if (first > 10_485_760) throw invalid('length for type varchar cannot exceed 10485760');
    return `character varying(${first})`;
  }
  if (type === 'numeric' && modifiers.length <= 2) {
    if (first < 1 || first > 1000) throw invalid(`NUMERIC precision ${first} must be between 1 and 1000`);
    if (second > 1000) throw invalid(`NUMERIC scale ${second} must be between -1000 and 1000`);
    // PostgreSQL gives numeric(p) the scale 0 and prints it so.
    return `numeric(${first},${second})`;
  }
  throw cursor.text.error(
    SqlState.syntaxError,
    `type modifier is not allowed for type "${type}"`,
    token.start,
  );
}
