import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CopyAppendStatement } from '../../sql/statement.js';
import { CopyRows } from './copyRows.js';

function statement(options: Partial<CopyAppendStatement> = {}): CopyAppendStatement {
  const csv = options.format === 'csv';
  return {
    kind: 'copy',
    aggregateType: 'patient',
    eventType: 'created',
    columns: ['a', 'b'],
    format: 'text',
    header: false,
    delimiter: csv ? ',' : '\t',
    nullText: csv ? '' : '\\N',
    quote: '"',
    escape: '"',
    ...options,
  };
}

/** Feeds the data in pieces of `size` bytes. */
function read(
  data: string | Buffer,
  options: Partial<CopyAppendStatement> = {},
  size = 1,
): (string | null)[][] {
  const found: (string | null)[][] = [];
  const rows = new CopyRows(statement(options), (row) => void found.push([...row]));
  const bytes = typeof data === 'string' ? Buffer.from(data) : data;
  for (let i = 0; i < bytes.length; i += size) rows.push(bytes.subarray(i, i + size));
  rows.finish();
  return found;
}

describe('text format', () => {
  it('reads NULL, escapes and the end marker', () => {
    expect(read('1\t\\N\n\\\\x\\ty\té\n\\x41\\102\t\n\\.\nignored\n')).toEqual([
      ['1', null],
      ['\\x\ty', 'é'],
      ['AB', ''],
    ]);
  });

  it('keeps an escaped newline inside its row', () => {
    expect(read('a\\\nb\tc\n')).toEqual([['a\nb', 'c']]);
  });

  it('names the column that is missing, and refuses more than there are', () => {
    expect(() => read('1\n')).toThrow('missing data for column "b"');
    expect(() => read('1\t2\t3\n')).toThrow('extra data after last expected column');
  });
});

describe('csv format', () => {
  it('tells NULL from the empty string, and reads quotes, newlines and the header', () => {
    const data = 'a,b\r\n"x, ""y""",\n,""\n"two\nlines",last';
    expect(read(data, { format: 'csv', header: true })).toEqual([
      ['x, "y"', null],
      [null, ''],
      ['two\nlines', 'last'],
    ]);
  });

  it('refuses a quote that is never closed', () => {
    expect(() => read('"x,1\n', { format: 'csv' })).toThrow('unterminated CSV quoted field');
  });

  it('takes another delimiter, quote and escape', () => {
    const options = { format: 'csv', delimiter: ';', quote: "'", escape: '\\' } as const;
    expect(read("'a;\\'b';c\n", options)).toEqual([["a;'b", 'c']]);
  });
});

it('reads back any table whatever the pieces it arrives in', () => {
  const cell = fc.option(
    fc.string({ unit: 'grapheme' }).map((s) => s.replaceAll('\0', '')),
    { nil: null },
  );
  const quoteCell = (value: string | null): string =>
    value === null ? '' : `"${value.replaceAll('"', '""')}"`;
  fc.assert(
    fc.property(
      fc.array(fc.tuple(cell, cell), { minLength: 1 }),
      fc.integer({ min: 1, max: 7 }),
      (rows, size) => {
        const data = rows.map((row) => row.map(quoteCell).join(',') + '\n').join('');
        expect(read(data, { format: 'csv' }, size)).toEqual(rows);
      },
    ),
  );
});
