import fc from 'fast-check';
import { scanSync } from 'libpg-query';
import { beforeAll, describe, expect, it } from 'vitest';
import { DatabaseError } from '../engine/errors.js';
import { lexStatements } from './lexer.js';
import { isReservedWord } from './names.js';
import { prepareParser } from './parse.js';
import { failure, marked, parse } from './testing.js';

beforeAll(prepareParser);

const texts = (sql: string): string[] => lexStatements(sql).map(({ text }) => text.sql);

describe('splitting', () => {
  it.each([
    ['', []],
    [' ; -- nothing\n ;/* ; */', []],
    ['SELECT 1', ['SELECT 1']],
    ['SELECT 1; SELECT 2;', ['SELECT 1', ' SELECT 2']],
    ["SELECT ';'; SELECT $$;$$", ["SELECT ';'", ' SELECT $$;$$']],
    ['SELECT ";" /* ; /* ; */ ; */; SELECT 2', ['SELECT ";" /* ; /* ; */ ; */', ' SELECT 2']],
    ["SELECT 'é'; SELECT E'\\';'", ["SELECT 'é'", " SELECT E'\\';'"]],
    ['SELECT $a$;$b$;$a$; x', ['SELECT $a$;$b$;$a$', ' x']],
  ])('%j', (sql, expected) => expect(texts(sql)).toEqual(expected));

  it('keeps the number of characters before each statement', () => {
    expect(lexStatements("SELECT 'é€😀'; SELECT 2").map(({ text }) => text.offset)).toEqual([0, 13]);
  });
});

describe('lexical errors', () => {
  it.each([
    ["SELECT 'é', §'abc", 'unterminated quoted string at or near "\'abc"'],
    ['SELECT §"abc', 'unterminated quoted identifier at or near ""abc"'],
    ['é; SELECT §/* a /* b */', 'unterminated /* comment at or near "/* a /* b */"'],
    ['SELECT §$x$abc$$', 'unterminated dollar-quoted string at or near "$x$abc$$"'],
    ['SELECT §""', 'zero-length delimited identifier at or near """"'],
    ['SELECT §1a', 'trailing junk after numeric literal at or near "1a"'],
    [
      "INSERT INTO patient EVENTS x (aggregate_id) VALUES (§'a)",
      'unterminated quoted string at or near "\'a)"',
    ],
  ])('%s', (text, message) => {
    const { sql, position } = marked(text);
    expect(failure(sql)).toMatchObject({ sqlstate: '42601', message, position });
  });

  it('refuses NUL and lone surrogates', () => {
    expect(failure('SELECT \0')).toMatchObject({ sqlstate: '22021' });
    expect(failure('SELECT \ud800')).toMatchObject({ sqlstate: '22021' });
  });
});

describe('nesting', () => {
  const nested = (open: string, middle: string, close: string, times: number): string =>
    `SELECT ${open.repeat(times)}${middle}${close.repeat(times)}`;

  it.each([
    ['(', '1', ')'],
    ['', '1', '+1'],
    ['NOT ', 'true', ''],
    ['', '1', ' UNION SELECT 1'],
    ['f(', '1', ')'],
    ['CASE WHEN true THEN ', '1', ' END'],
    ['(SELECT 1 AS end FROM x WHERE ', '1', ')'],
    ['', '1', '::text'],
    ['', '* FROM a', ' NATURAL JOIN a'],
    ['ARRAY[', '1', ']'],
    ['', 'a', ' ISNULL'],
    ['', 'a', ' OPERATOR(pg_catalog.+) 1'],
    ['1 FROM (WITH a AS (SELECT ', '1', ') SELECT 1) b'],
  ])('is refused before it overflows the parser: %s%s%s', (open, middle, close) => {
    for (const times of [3000, 20_000]) {
      expect(failure(nested(open, middle, close, times))).toMatchObject({ sqlstate: '54001' });
    }
    expect(() => parse(nested(open, middle, close, 50))).not.toThrow();
  });

  it('allows long lists and conditions', () => {
    const list = Array.from({ length: 20_000 }, (_, index) => `'${index}'`).join(',');
    expect(() => parse(`SELECT * FROM patient WHERE aggregate_id IN (${list})`)).not.toThrow();
    expect(() =>
      parse(`SELECT 1 WHERE ${Array(3000).fill("a = 'x' OR b IS NULL").join(' AND ')}`),
    ).not.toThrow();
  });
});

const KINDS: Readonly<Record<string, number>> = {
  quoted: 258,
  unicodeQuoted: 259,
  float: 260,
  string: 261,
  unicodeString: 262,
  integer: 266,
  parameter: 267,
};
const pieces = fc.constantFrom(
  ...`SELECT,foo,Bar,é,'a','a''b','a\n,--x\n,'\\',E'\\'',E'a\\\\',U&'x',U&"y","q""r",$1,$12,$$a$$,$t$b$t$,$,1,1.5,.5,1.,1..2,1e5,1e-5,0x1F,0b1,0o7,1_000,99999999999,::,:=,=>,..,.,<=,<>,!=,@-,-,+,*,/,/* c */,=-1,||,?,(,),[,],B'1',N'z'`.split(
    ',',
  ),
  "'a'\n 'b'",
  ' ',
  '\n',
  ',',
);

describe('agreement with PostgreSQL', () => {
  it('finds the same tokens as its scanner', () => {
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 12 }), fc.constantFrom('', ' '), (parts, separator) => {
        const sql = parts.join(separator);
        let theirs;
        try {
          theirs = scanSync(sql).tokens.filter(({ tokenType }) => tokenType !== 275 && tokenType !== 276);
        } catch {
          return; // Their scanner hands no error over.
        }
        // libpg-query leaves out a check that PostgreSQL itself makes.
        fc.pre(!/\$\d+[A-Za-z_é]/.test(sql));
        const ours = lexStatements(sql).flatMap(({ tokens, text }) => {
          const begin = Buffer.byteLength([...sql].slice(0, text.offset).join(''));
          return tokens.map(({ start, end, kind }) => ({ start: begin + start, end: begin + end, kind }));
        });
        expect(ours.map(({ start, end }) => [start, end])).toEqual(
          theirs.map(({ start, end }) => [start, end]),
        );
        ours.forEach(({ kind }, index) => {
          const type = theirs[index]?.tokenType;
          // PostgreSQL gives integers beyond int4 to its grammar as FCONST.
          if (KINDS[kind] !== undefined && kind !== 'integer') expect(type).toBe(KINDS[kind]);
        });
      }),
      { numRuns: 2000 },
    );
  });

  it('fails only with a DatabaseError', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (sql) => {
        try {
          lexStatements(sql);
        } catch (error) {
          expect(error).toBeInstanceOf(DatabaseError);
        }
      }),
    );
  });

  it('knows which keywords are reserved', () => {
    const words =
      `a abort access aggregate all analyse analyze and any array as asc asymmetric between bigint both case
      cast check coalesce collate column concurrently constraint create cross current_date cursor data default deferrable
      desc distinct do else end event events except exists expect false fetch for foreign freeze from full grant group
      having ilike in initially inner intersect into is isnull join lateral leading left like limit localtime name natural
      not notnull null of offset on only or order outer overlaps placing position primary references returning right row
      select session_user similar some status symmetric system_user table tablesample text then timestamp to trailing true
      type union unique user using value values variadic verbose version when where window with zone
      authorization binary collation current_schema current_catalog current_role current_time current_timestamp
      current_user localtimestamp`.split(/\s+/);
    for (const word of words) {
      const kind = scanSync(word).tokens[0]?.keywordKind ?? 0;
      expect([word, isReservedWord(word)]).toEqual([word, kind >= 3]);
    }
  });
});
