/** CopyRows against a slow reading of the same rules, character by character over the whole text. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { DatabaseError } from '../../engine/errors.js';
import type { CopyAppendStatement } from '../../sql/statement.js';
import { CopyRows } from './copyRows.js';

type Row = (string | null)[];
type Options = Pick<CopyAppendStatement, 'format' | 'header' | 'delimiter' | 'nullText' | 'quote' | 'escape'>;

function statement(options: Options): CopyAppendStatement {
  return { kind: 'copy', aggregateType: 'a', eventType: 'b', columns: ['x', 'y'], ...options };
}

/** Rows up to the first fault, and its message. */
interface Outcome {
  readonly rows: Row[];
  readonly fault: string | null;
}

function read(data: Buffer, options: Options, size: number): Outcome {
  const rows: Row[] = [];
  try {
    const parser = new CopyRows(statement(options), (row) => void rows.push([...row]));
    for (let i = 0; i < data.length; i += size) parser.push(data.subarray(i, i + size));
    parser.finish();
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    return { rows, fault: `${error.sqlstate} ${error.message} ${error.detail ?? ''}` };
  }
  return { rows, fault: null };
}

function splitLines(text: string, { format, quote, escape }: Options): { lines: string[]; open: boolean } {
  const lines = [''];
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i] ?? '';
    const skips = format === 'csv' ? quoted && escape !== quote && c === escape : c === '\\';
    if (c === '\n' && !quoted) lines.push('');
    else lines[lines.length - 1] += skips ? c + (text[++i] ?? '') : c;
    if (format === 'csv' && c === quote && !skips) quoted = !quoted;
  }
  if (lines.at(-1) === '') lines.pop();
  return { lines, open: quoted };
}

function csvRow(text: string, { delimiter, nullText, quote, escape }: Options): Row {
  const row: Row = [];
  for (let i = 0; ; i++) {
    let value = '';
    let wasQuoted = false;
    for (; i < text.length && text[i] !== delimiter; i++) {
      if (text[i] !== quote) {
        value += text[i];
        continue;
      }
      wasQuoted = true;
      for (i++; i < text.length; i++) {
        if (text[i] === escape && (text[i + 1] === quote || text[i + 1] === escape)) value += text[++i];
        else if (text[i] === quote) break;
        else value += text[i];
      }
    }
    row.push(!wasQuoted && value === nullText ? null : value);
    if (i >= text.length) return row;
  }
}

const NAMED: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

function textRow(text: string, { delimiter, nullText }: Options): Row {
  const row: Row = [];
  let raw = '';
  for (let i = 0; i <= text.length; i++) {
    const c = text[i];
    if (c === '\\') {
      // Nothing is escaped by the end: the value is lost.
      if (++i >= text.length) return row;
      raw += c + (text[i] ?? '');
    } else if (c !== undefined && c !== delimiter) raw += c;
    else {
      // Sequences below 0x80 only: those are characters of their own in UTF-8.
      const value = raw.replaceAll(/\\(x[0-7][0-9a-f]|[01]?[0-7]{1,2}|[^])/g, (_, code: string) => {
        if (/^x./.test(code)) return String.fromCharCode(parseInt(code.slice(1), 16));
        return /^\d/.test(code) ? String.fromCharCode(parseInt(code, 8)) : (NAMED[code] ?? code);
      });
      row.push(raw === nullText ? null : value);
      raw = '';
    }
  }
  return row;
}

function expected(text: string, options: Options): Outcome {
  const { lines, open } = splitLines(text, options);
  const rows: Row[] = [];
  for (const [index, line] of lines.entries()) {
    const unterminated = open && index === lines.length - 1;
    if (unterminated)
      return { rows, fault: `22P04 unterminated CSV quoted field Line ${index + 1} of the data.` };
    const content = line.endsWith('\r') ? line.slice(0, -1) : line;
    if (content === '\\.') break;
    if (index === 0 && options.header) continue;
    const row = options.format === 'csv' ? csvRow(content, options) : textRow(content, options);
    const message =
      row.length < 2
        ? `missing data for column "${row.length === 0 ? 'x' : 'y'}"`
        : 'extra data after last expected column';
    if (row.length !== 2) return { rows, fault: `22P04 ${message} Line ${index + 1} of the data.` };
    rows.push(row);
  }
  return { rows, fault: null };
}

const piece = fc.constantFrom('a', 'bc', 'plain words of some length', ' ', 'é', '😀', '');
const pieceSize = fc.integer({ min: 1, max: 40 });

function compare(line: fc.Arbitrary<string>, options: fc.Arbitrary<Options>): void {
  fc.assert(
    fc.property(
      fc.array(line, { maxLength: 6 }),
      options,
      pieceSize,
      fc.boolean(),
      (lines, chosen, size, ends) => {
        const text = lines.join('\n') + (ends ? '\n' : '');
        // After the end marker nothing counts, not even an open quote: only the parser knows.
        fc.pre(!/(^|\n)\\\.\r?(\n|$)/.test(text) || !splitLines(text, chosen).open);
        expect(read(Buffer.from(text), chosen, size)).toEqual(expected(text, chosen));
      },
    ),
    { numRuns: 3000 },
  );
}

it('reads CSV as the slow reading does, faults and their lines included', () => {
  const mark = fc.constantFrom('"', '""', '"a', ',', '","', ';', "'", '\\', '\\"', "\\'", '\r', 'NULL');
  const cell = fc.array(fc.oneof(piece, mark), { maxLength: 4 }).map((parts) => parts.join(''));
  const line = fc.oneof(
    { weight: 3, arbitrary: fc.tuple(cell, cell).map((cells) => cells.join(',')) },
    fc.array(fc.oneof(piece, mark), { maxLength: 8 }).map((parts) => parts.join('')),
    fc.constantFrom('\\.', '', ',', 'a,b\r', '"x\ny",z'),
  );
  const options = fc.record({
    format: fc.constant('csv' as const),
    header: fc.boolean(),
    delimiter: fc.constantFrom(',', ';'),
    nullText: fc.constantFrom('', 'NULL'),
    quote: fc.constantFrom('"', "'"),
    escape: fc.constantFrom('"', "'", '\\'),
  });
  compare(line, options);
});

it('reads the text format as the slow reading does, faults and their lines included', () => {
  const mark = fc.constantFrom(
    '\t',
    '|',
    '\\N',
    '\\\\',
    '\\t',
    '\\\t',
    '\\101',
    '\\x41',
    '\\7',
    '\\xz',
    '\\\n',
    '\r',
    '\\',
  );
  const line = fc.oneof(
    fc.array(fc.oneof(piece, mark), { maxLength: 8 }).map((parts) => parts.join('')),
    fc.tuple(piece, fc.oneof(piece, mark)).map((cells) => cells.join('\t')),
    fc.constantFrom('\\.', '', 'a\tb\r', '\\N\t\\N'),
  );
  const options = fc.record({
    format: fc.constant('text' as const),
    header: fc.boolean(),
    delimiter: fc.constantFrom('\t', '|'),
    nullText: fc.constantFrom('\\N', '', 'a'),
    quote: fc.constant('"'),
    escape: fc.constant('"'),
  });
  compare(line, options);
});

it('takes octal and hexadecimal sequences as bytes, and refuses what is not UTF-8', () => {
  const options: Options = {
    ...{ format: 'text', header: false, delimiter: '\t', nullText: '\\N', quote: '"', escape: '"' },
  };
  expect(read(Buffer.from('\\xc3\\xa9\t\\303\\251\n'), options, 100).rows).toEqual([['é', 'é']]);
  const invalid = '22021 invalid byte sequence for encoding "UTF8" ';
  for (const data of ['\\xc3\tb\n', '\\0\tb\n', Buffer.from([0x61, 9, 0xc3, 10]), 'a\t\0\n'])
    expect(read(Buffer.from(data), options, 100)).toEqual({ rows: [], fault: invalid });
});

it('keeps nothing of the chunk that a value was cut from', () => {
  const options: Options = {
    ...{ format: 'csv', header: false, delimiter: ',', nullText: '', quote: '"', escape: '"' },
  };
  const chunk = Buffer.from('first,a value longer than V8 copies when it cuts\nsecond,é\n');
  const values: (string | null)[] = [];
  const rows = new CopyRows(statement(options), (row) => void values.push(...row));
  rows.push(chunk);
  chunk.fill(0x7a);
  expect(values).toEqual(['first', 'a value longer than V8 copies when it cuts', 'second', 'é']);
});
