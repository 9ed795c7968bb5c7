/** Splits the data of COPY … FROM STDIN into rows as it arrives, in PostgreSQL's text and CSV formats. */
import { DatabaseError, SqlState } from '../../engine/errors.js';
import type { CopyAppendStatement } from '../../sql/statement.js';
import { utf8Text } from '../protocol/bytes.js';

type Row = (string | null)[];

/** A row longer than this is not a row: a quote was never closed. */
const MAX_ROW_BYTES = 64 * 1024 * 1024;
const LF = 10;
const CR = 13;
const BACKSLASH = 92;

function badFormat(message: string, line: number): DatabaseError {
  return new DatabaseError('22P04', message, { detail: `Line ${line} of the data.` });
}

export class CopyRows {
  private rest: Buffer = Buffer.alloc(0);
  /** Our own memory behind `rest`, which begins at `from`; null while `rest` is the client's chunk. */
  private storage: Buffer | null = null;
  private from = 0;
  /** How much of `rest` was looked at, and whether that ends inside quotes. */
  private scanned = 0;
  private quoted = false;
  private line = 0;
  private ended = false;
  private readonly csv: boolean;

  constructor(private readonly statement: CopyAppendStatement) {
    this.csv = statement.format === 'csv';
  }

  /** The rows completed by these bytes. @throws DatabaseError 22P04, 22021 */
  *push(chunk: Buffer): Generator<Row> {
    this.append(chunk);
    let start = 0;
    for (;;) {
      const end = this.lineEnd(start);
      if (end < 0) break;
      const row = this.row(this.rest.subarray(start, end));
      start = end + 1;
      if (row !== null) yield row;
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

  /** The last row, which need not end in a newline. */
  *finish(): Generator<Row> {
    if (this.quoted) throw badFormat('unterminated CSV quoted field', this.line + 1);
    if (this.rest.length === 0) return;
    const row = this.row(this.rest);
    if (row !== null) yield row;
  }

  /** Index of the newline that ends the row at `start`; -1 while it is not complete. */
  private lineEnd(start: number): number {
    const { rest } = this;
    const quote = this.statement.quote.charCodeAt(0);
    const escape = this.statement.escape.charCodeAt(0);
    for (let i = Math.max(this.scanned, start); i < rest.length; i++) {
      const byte = rest[i];
      if (this.csv && byte === escape && escape !== quote && this.quoted) {
        if (i + 1 >= rest.length) {
          this.scanned = i;
          return -1;
        }
        i++;
      } else if (this.csv && byte === quote) this.quoted = !this.quoted;
      else if (!this.csv && byte === BACKSLASH) {
        if (i + 1 >= rest.length) {
          this.scanned = i;
          return -1;
        }
        i++;
      } else if (byte === LF && !this.quoted) {
        this.scanned = i + 1;
        return i;
      }
    }
    this.scanned = rest.length;
    return -1;
  }

  private row(bytes: Buffer): Row | null {
    this.line++;
    const line = bytes[bytes.length - 1] === CR ? bytes.subarray(0, bytes.length - 1) : bytes;
    const text = utf8Text(line);
    if (text === '\\.') this.ended = true;
    if (this.ended) return null;
    if (this.line === 1 && this.statement.header) return null;
    const row = this.csv ? this.csvRow(text) : this.textRow(text);
    const wanted = this.statement.columns.length;
    if (row.length === wanted) return row;
    throw badFormat(
      row.length < wanted
        ? `missing data for column "${this.statement.columns[row.length] ?? ''}"`
        : 'extra data after last expected column',
      this.line,
    );
  }

  private textRow(text: string): Row {
    const { delimiter, nullText } = this.statement;
    const row: Row = [];
    let start = 0;
    for (let i = 0; i <= text.length; i++) {
      if (i < text.length && text[i] === '\\') i++;
      else if (i >= text.length || text[i] === delimiter) {
        const raw = text.slice(start, i);
        row.push(raw === nullText ? null : unescape(raw));
        start = i + 1;
      }
    }
    return row;
  }

  private csvRow(text: string): Row {
    const { delimiter, nullText, quote, escape } = this.statement;
    const row: Row = [];
    let i = 0;
    for (;;) {
      let value = '';
      let wasQuoted = false;
      while (i < text.length && text[i] !== delimiter) {
        if (text[i] !== quote) {
          value += text[i++];
          continue;
        }
        wasQuoted = true;
        for (i++; i < text.length; i++) {
          if (text[i] === escape && (text[i + 1] === quote || text[i + 1] === escape)) value += text[++i];
          else if (text[i] === quote) break;
          else value += text[i];
        }
        i++;
      }
      row.push(!wasQuoted && value === nullText ? null : value);
      if (i >= text.length) return row;
      i++;
      if (i === text.length) {
        row.push(nullText === '' ? null : '');
        return row;
      }
    }
  }
}

const ESCAPES: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

/** Backslash sequences of the text format, octal and hexadecimal bytes included. */
function unescape(raw: string): string {
  if (!raw.includes('\\')) return raw;
  return raw.replaceAll(/\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|[^])/g, (_, code: string) => {
    if (code.length > 1 && code.startsWith('x')) return String.fromCharCode(parseInt(code.slice(1), 16));
    if (/^[0-7]+$/.test(code)) return String.fromCharCode(parseInt(code, 8) & 0xff);
    return ESCAPES[code] ?? code;
  });
}
