/** Splits the data of COPY … FROM STDIN into rows as it arrives, in PostgreSQL's text and CSV formats. */
import { isAscii } from 'node:buffer';
import { DatabaseError, SqlState } from '../../engine/errors.js';
import type { CopyAppendStatement } from '../../sql/statement.js';
import { checkUtf8, utf8Text } from '../protocol/bytes.js';

/** The values of a row. The array is used again for the next one. */
export type CopyRow = readonly (string | null)[];

/** A row longer than this is not a row: a quote was never closed. */
const MAX_ROW_BYTES = 64 * 1024 * 1024;
/** V8 copies the characters of a shorter slice; a longer one would keep the whole chunk in memory. */
const COPIED_SLICE = 12;
const LF = 10;
const CR = 13;
const DOT = 46;
const BACKSLASH = 92;

function badFormat(message: string, line: number): DatabaseError {
  return new DatabaseError('22P04', message, { detail: `Line ${line} of the data.` });
}

export class CopyRows {
  private rest: Buffer = Buffer.alloc(0);
  /** Our own memory behind `rest`, which begins at `from`; null while `rest` is the client's chunk. */
  private storage: Buffer | null = null;
  private from = 0;
  /** `rest` as a string, character for byte, if it is all ASCII without zeros: the quickest to cut values from. */
  private plain: string | null = null;
  /** How much of `rest` was looked at, and whether that ends inside quotes. */
  private scanned = 0;
  private quoted = false;
  private line = 0;
  private ended = false;
  private readonly row: (string | null)[] = [];
  private readonly csv: boolean;
  private readonly delimiter: number;
  private readonly quote: number;
  private readonly escape: number;

  constructor(
    private readonly statement: CopyAppendStatement,
    private readonly take: (row: CopyRow) => void,
  ) {
    this.csv = statement.format === 'csv';
    this.delimiter = statement.delimiter.charCodeAt(0);
    this.quote = statement.quote.charCodeAt(0);
    this.escape = statement.escape.charCodeAt(0);
  }

  /** Takes the rows completed by these bytes. @throws DatabaseError 22P04, 22021, and what taking throws */
  push(chunk: Buffer): void {
    this.append(chunk);
    let start = 0;
    let end = this.lineEnd(start);
    if (end >= 0) this.plain = plainText(this.rest);
    for (; end >= 0; end = this.lineEnd(start)) {
      this.takeLine(start, end);
      start = end + 1;
    }
    this.rest = this.rest.subarray(start);
    this.from += start;
    this.scanned -= start;
    if (this.rest.length > MAX_ROW_BYTES)
      throw new DatabaseError(SqlState.programLimitExceeded, 'a row of the COPY data is too long');
  }

  /** Joins the chunk to what is left. The storage doubles as it fills: a large row may come in many small chunks. */
  private append(chunk: Buffer): void {
    const { rest } = this;
    if (rest.length === 0) {
      this.rest = chunk;
      this.storage = null;
      return;
    }
    const needed = rest.length + chunk.length;
    if (this.storage === null || this.from + needed > this.storage.length) {
      this.storage = Buffer.allocUnsafe(needed * 2);
      rest.copy(this.storage);
      this.from = 0;
    }
    chunk.copy(this.storage, this.from + rest.length);
    this.rest = this.storage.subarray(this.from, this.from + needed);
  }

  /** Takes the last row, which need not end in a newline. */
  finish(): void {
    if (this.quoted) throw badFormat('unterminated CSV quoted field', this.line + 1);
    if (this.rest.length === 0) return;
    this.plain = plainText(this.rest);
    this.takeLine(0, this.rest.length);
  }

  /** Index of the newline that ends the row at `start`; -1 while it is not complete. */
  private lineEnd(start: number): number {
    const { rest, csv, quote, escape } = this;
    const { length } = rest;
    const skips = csv ? (escape === quote ? -1 : escape) : BACKSLASH;
    let { quoted } = this;
    let i = Math.max(this.scanned, start);
    let end = -1;
    for (; i < length; i++) {
      const byte = rest[i];
      if (byte === LF && !quoted) {
        end = i++;
        break;
      }
      if (byte === skips && quoted === csv) {
        // What it escapes has not come yet.
        if (i + 1 >= length) break;
        i++;
      } else if (csv && byte === quote) quoted = !quoted;
    }
    this.quoted = quoted;
    this.scanned = i;
    return end;
  }

  private takeLine(start: number, newline: number): void {
    const { rest } = this;
    this.line++;
    const end = newline > start && rest[newline - 1] === CR ? newline - 1 : newline;
    if (this.plain === null) checkUtf8(rest.subarray(start, end));
    if (end - start === 2 && rest[start] === BACKSLASH && rest[start + 1] === DOT) this.ended = true;
    if (this.ended || (this.line === 1 && this.statement.header)) return;
    this.row.length = 0;
    if (this.csv) this.csvRow(start, end);
    else this.textRow(start, end);
    const missing = this.statement.columns[this.row.length];
    if (missing !== undefined) throw badFormat(`missing data for column "${missing}"`, this.line);
    this.take(this.row);
  }

  private add(value: string | null): void {
    if (this.row.length === this.statement.columns.length)
      throw badFormat('extra data after last expected column', this.line);
    this.row.push(value);
  }

  /** The bytes as a string that holds nothing else in memory. */
  private cut(start: number, end: number): string {
    const { plain, rest } = this;
    if (plain === null) return rest.toString('utf8', start, end);
    return end - start <= COPIED_SLICE ? plain.slice(start, end) : rest.toString('latin1', start, end);
  }

  private textRow(start: number, end: number): void {
    const { rest, delimiter } = this;
    const { nullText } = this.statement;
    let from = start;
    let escaped = false;
    for (let i = start; i <= end; i++) {
      const byte = i === end ? delimiter : rest[i];
      if (byte === BACKSLASH) {
        escaped = true;
        i++;
      } else if (byte === delimiter) {
        const raw = this.cut(from, i);
        if (raw === nullText) this.add(null);
        else this.add(escaped ? unescape(rest.subarray(from, i)) : raw);
        from = i + 1;
        escaped = false;
      }
    }
  }

  private csvRow(start: number, end: number): void {
    const { rest, delimiter, quote } = this;
    const { nullText } = this.statement;
    let at = start;
    for (;;) {
      const from = at;
      while (at < end && rest[at] !== delimiter && rest[at] !== quote) at++;
      if (at < end && rest[at] === quote) at = this.quotedValue(from, at, end);
      else {
        const value = this.cut(from, at);
        this.add(value === nullText ? null : value);
      }
      if (at >= end) return;
      at++;
    }
  }

  /** Adds the value at `from`, whose first quote is at `first`, and returns the index of what ends it. */
  private quotedValue(from: number, first: number, end: number): number {
    const { rest, delimiter, quote, escape } = this;
    let value = this.cut(from, first);
    let at = first;
    while (at < end && rest[at] !== delimiter) {
      let piece = at;
      if (rest[at] !== quote) {
        while (at < end && rest[at] !== delimiter && rest[at] !== quote) at++;
        value += this.cut(piece, at);
        continue;
      }
      for (piece = ++at; at < end; at++) {
        const next = at + 1 < end ? rest[at + 1] : -1;
        if (rest[at] === escape && (next === quote || next === escape)) {
          value += this.cut(piece, at);
          piece = ++at;
        } else if (rest[at] === quote) break;
      }
      value += this.cut(piece, at);
      at++;
    }
    this.add(value);
    return Math.min(at, end);
  }
}

/** The bytes as a string of as many characters, if they are ASCII without a zero. */
function plainText(bytes: Buffer): string | null {
  return isAscii(bytes) && !bytes.includes(0) ? bytes.toString('latin1') : null;
}

const ESCAPES: ReadonlyMap<number, number> = new Map(
  Object.entries({ b: 8, t: 9, n: 10, v: 11, f: 12, r: 13 }).map(([name, byte]) => [
    name.charCodeAt(0),
    byte,
  ]),
);

/**
 * Backslash sequences of the text format. Octal and hexadecimal ones are bytes of the encoding, as in PostgreSQL.
 * @throws DatabaseError 22021 when they do not make UTF-8
 */
function unescape(raw: Buffer): string {
  const bytes = Buffer.allocUnsafe(raw.length);
  let length = 0;
  for (let i = 0; i < raw.length; i++) {
    let byte = raw[i] ?? 0;
    if (byte === BACKSLASH && i + 1 < raw.length) {
      const rest = raw.toString('latin1', i + 1, i + 4);
      const code = /^(?:x([0-9a-fA-F]{1,2})|([0-7]{1,3}))/.exec(rest);
      if (code === null) {
        byte = raw[++i] ?? 0;
        byte = ESCAPES.get(byte) ?? byte;
      } else {
        i += code[0].length;
        byte = code[1] === undefined ? parseInt(code[2] ?? '', 8) & 0xff : parseInt(code[1], 16);
      }
    }
    bytes[length++] = byte;
  }
  return utf8Text(bytes.subarray(0, length));
}
