import { parseSync } from 'libpg-query';
import type { SqlText } from './text.js';
import type { Token } from './lexer.js';
import { unwrap } from './ast.js';

/** Keywords PostgreSQL does not take as a column's or table's name without quotes. */
const RESERVED = new Set(
  `all analyse analyze and any array as asc asymmetric both case cast check collate column constraint create
  current_catalog current_date current_role current_time current_timestamp current_user default deferrable desc
  distinct do else end except false fetch for foreign from grant group having in initially intersect into lateral
  leading limit localtime localtimestamp not null offset on only or order placing primary references returning
  select session_user some symmetric system_user table then to trailing true union unique user using variadic when
  where window with
  authorization binary collation concurrently cross current_schema freeze full ilike inner is isnull join left like
  natural notnull outer overlaps right similar tablesample verbose`.split(/\s+/),
);

/** PostgreSQL's limit on names, in bytes. */
export const MAXIMUM_NAME_BYTES = 63;

export function isReservedWord(word: string): boolean {
  return RESERVED.has(word);
}

/** Whether a token can be a name. */
export function isName(token: Token | undefined): token is Token {
  if (token === undefined) return false;
  return (
    token.kind === 'quoted' ||
    token.kind === 'unicodeQuoted' ||
    (token.kind === 'word' && !RESERVED.has(token.word))
  );
}

/** The name that a token spells. */
export function nameOf(text: SqlText, token: Token): string {
  const written = text.slice(token);
  if (token.kind === 'quoted') return written.slice(1, -1).replace(/""/g, '"');
  if (token.kind === 'unicodeQuoted') {
    const select = unwrap(parseSync(`SELECT 1 AS ${written}`).stmts?.[0]?.stmt, 'SelectStmt');
    return unwrap(select?.targetList?.[0], 'ResTarget')?.name ?? '';
  }
  return written.replace(/[A-Z]+/g, (part) => part.toLowerCase());
}

/** A name as it must be written in SQL; quoted only where needed, for people to read. */
export function displayName(name: string): string {
  return /^[a-z_][a-z0-9_$]*$/.test(name) && !RESERVED.has(name) ? name : quoteName(name);
}

export function quoteName(name: string): string {
  return `"${name.replace(/"/g, '""')}"`;
}

/** A string constant that means the same whether or not standard_conforming_strings is on. */
export function quoteLiteral(value: string): string {
  const doubled = value.replace(/'/g, "''");
  return doubled.includes('\\') ? `E'${doubled.replace(/\\/g, '\\\\')}'` : `'${doubled}'`;
}

/** The candidate nearest to a misspelt name, as a hint; undefined where none is near enough to be meant. */
export function nearestHint(name: string, candidates: Iterable<string>, what: string): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(name.length / 2)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(name, candidate, bestDistance);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best === undefined ? undefined : `Perhaps you meant the ${what} "${best}".`;
}

/** Levenshtein distance, or `limit` as soon as it cannot be less. */
function editDistance(left: string, right: string, limit: number): number {
  if (Math.abs(left.length - right.length) >= limit) return limit;
  let row = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 1; i <= left.length; i++) {
    const next = [i];
    for (let j = 1; j <= right.length; j++) {
      const change = left[i - 1] === right[j - 1] ? 0 : 1;
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + change));
    }
    row = next;
  }
  return Math.min(limit, row[right.length] ?? limit);
}
