import { DatabaseError, SqlState } from '../engine/errors.js';
import type { ErrorDetails } from '../engine/errors.js';

/**
 * PostgreSQL's parser counts in bytes, its error positions in characters. All of `sql/` works on the UTF-8 bytes of a
 * text held in a latin1 string: one string index is one byte, so offsets need no conversion until an error is raised.
 */
export function toBytes(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** The text that a byte string holds. */
export function fromBytes(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

/** Number of characters (code points) that begin in `bytes[start, end)`. */
export function countCharacters(bytes: string, start: number, end: number): number {
  let count = 0;
  for (let index = start; index < end; index++) {
    if ((bytes.charCodeAt(index) & 0xc0) !== 0x80) count++;
  }
  return count;
}

/** The byte offset of the character with the given number, counted from 0. */
export function byteOffset(bytes: string, character: number): number {
  let seen = -1;
  for (let index = 0; index < bytes.length; index++) {
    if ((bytes.charCodeAt(index) & 0xc0) !== 0x80) seen++;
    if (seen === character) return index;
  }
  return bytes.length;
}

export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** Replaces every byte of the ranges by a space; what follows keeps its place. */
export function blank(bytes: string, ranges: readonly ByteRange[]): string {
  let result = bytes;
  for (const { start, end } of ranges) {
    result = result.slice(0, start) + ' '.repeat(end - start) + result.slice(end);
  }
  return result;
}

/** One statement of a text that may hold several. Offsets are bytes from the statement's beginning. */
export class SqlText {
  constructor(
    readonly bytes: string,
    /** Characters of the client's text before this statement. */
    readonly offset: number,
    /** Whether a semicolon follows, which PostgreSQL names in its messages. */
    readonly terminated: boolean,
  ) {}

  /** The statement as the client wrote it, without the semicolon. */
  get sql(): string {
    return fromBytes(this.bytes);
  }

  slice(range: ByteRange): string {
    return fromBytes(this.bytes.slice(range.start, range.end));
  }

  /** The position, counted from 1 in characters of the client's whole text, of a byte of this statement. */
  position(byte: number): number {
    return this.offset + countCharacters(this.bytes, 0, Math.min(byte, this.bytes.length)) + 1;
  }

  /** An error at a byte of this statement; -1 or undefined where it concerns no one place. */
  error(
    sqlstate: string,
    message: string,
    byte?: number,
    details: Omit<ErrorDetails, 'position'> = {},
  ): DatabaseError {
    if (byte === undefined || byte < 0) return new DatabaseError(sqlstate, message, details);
    return new DatabaseError(sqlstate, message, { ...details, position: this.position(byte) });
  }

  /** PostgreSQL's own wording for a token that cannot stand where it does; no range means the end of the text. */
  syntaxError(range: ByteRange | undefined, details: Omit<ErrorDetails, 'position'> = {}): DatabaseError {
    if (range !== undefined) {
      return this.error(
        SqlState.syntaxError,
        `syntax error at or near "${this.slice(range)}"`,
        range.start,
        details,
      );
    }
    const message = this.terminated ? 'syntax error at or near ";"' : 'syntax error at end of input';
    return this.error(SqlState.syntaxError, message, this.bytes.length, details);
  }

  /** The same place in the client's text with other bytes of the same length. */
  withBytes(bytes: string): SqlText {
    return new SqlText(bytes, this.offset, this.terminated);
  }
}
