/**
 * What JSON allows and PostgreSQL's jsonb does not take: its strings are text, its numbers numeric, and it is parsed
 * recursively into arrays of bounded size. All of it is refused when it is appended.
 */
import { DatabaseError, SqlState } from '../errors.js';

/** PostgreSQL's own limit is that of its stack, at several thousand levels. */
const DEPTH_MAX = 1000;
/** PostgreSQL's memory for the elements of one array or object ends between 8 and 16 million. */
const ELEMENTS_MAX = 8_000_000;
/** Characters of a number; numeric ends at 131,072 digits. */
const NUMBER_MAX = 1000;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** @throws DatabaseError 22P02 for what is not JSON, or not to PostgreSQL; 22003; 54000 */
export function checkJson(value: string, type: string): void {
  try {
    JSON.parse(value);
  } catch {
    throw malformed(type);
  }
  if (value.includes('\\u') || value.length > NUMBER_MAX || /\d[eE]/.test(value)) scan(value, type);
}

/** Goes through well-formed JSON. */
function scan(value: string, type: string): void {
  let [depth, elements] = [0, 0];
  for (let i = 0; i < value.length; i++) {
    switch (value.charCodeAt(i)) {
      case QUOTE:
        i = endOfString(value, i + 1, type);
        break;
      case 0x5b: // [
      case 0x7b: // {
        if (++depth > DEPTH_MAX) throw tooLarge(`nested ${DEPTH_MAX} levels deep`);
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth--;
        break;
      case 0x2c: // ,
        if (++elements >= ELEMENTS_MAX) throw tooLarge(`${ELEMENTS_MAX} elements`);
        break;
      default:
        if (isOfNumber(value.charCodeAt(i))) i = endOfNumber(value, i, type);
    }
  }
}

/** @returns where its closing quote is */
function endOfString(value: string, start: number, type: string): number {
  let i = start;
  for (let code = value.charCodeAt(i); code !== QUOTE; code = value.charCodeAt(++i)) {
    if (code !== BACKSLASH) continue;
    i++;
    if (value[i] !== 'u') continue;
    const unit = Number.parseInt(value.slice(i + 1, i + 5), 16);
    i += 4;
    if (unit === 0 || (unit >= 0xdc00 && unit <= 0xdfff)) throw malformed(type);
    if (unit < 0xd800 || unit > 0xdbff) continue;
    // The first half of a pair: the second half must follow, written the same way.
    if (!/^\\u[dD][c-fC-F]/.test(value.slice(i + 1, i + 5))) throw malformed(type);
    i += 6;
  }
  return i;
}

/** @returns where its last character is */
function endOfNumber(value: string, start: number, type: string): number {
  let end = start + 1;
  while (isOfNumber(value.charCodeAt(end))) end++;
  const isLong = end - start > NUMBER_MAX;
  if (isLong || /[eE][+-]?\d{4,}$/.test(value.slice(start, end)))
    throw new DatabaseError(SqlState.numericValueOutOfRange, `value out of range for type ${type}`);
  return end - 1;
}

/** Digits, signs, the point, e and E. Of words only `true` and `false` hold any, which does no harm. */
function isOfNumber(code: number): boolean {
  return (
    (code >= 0x30 && code <= 0x39) ||
    code === 0x2d ||
    code === 0x2b ||
    code === 0x2e ||
    code === 0x65 ||
    code === 0x45
  );
}

function malformed(type: string): DatabaseError {
  return new DatabaseError(SqlState.invalidTextRepresentation, `invalid input syntax for type ${type}`);
}

function tooLarge(what: string): DatabaseError {
  return new DatabaseError(SqlState.programLimitExceeded, `JSON is limited to ${what}`);
}
