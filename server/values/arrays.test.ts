import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatTextArray, parseTextArray } from './arrays.js';
import { TypeOid } from './types.js';
import { decodeParameter, encodeResult } from './values.js';

describe('array text', () => {
  it.each<[string, (string | null)[]]>([
    ['{}', []],
    [' { } ', []],
    ['{a,b c}', ['a', 'b c']],
    ['{ a , "b,c" ,null,"NULL"}', ['a', 'b,c', null, 'NULL']],
    ['{"\\"\\\\"}', ['"\\']],
    ['{a\\,b,\\null}', ['a,b', 'null']],
    ['{a\\ ,b }', ['a ', 'b']],
    ['[0:1]={x,y}', ['x', 'y']],
    ['{""}', ['']],
  ])('%s', (text, elements) => {
    expect(parseTextArray(text)).toEqual(elements);
  });

  it('is refused when malformed', () => {
    const malformed = [
      '',
      'a',
      '{',
      '{a',
      '{a,}',
      '{,a}',
      '{a}b',
      '{"a"b}',
      '{a"b"}',
      '{"a',
      '{a\\',
      '[1:2]={a}',
    ];
    for (const text of [...malformed, '[99999999999:99999999999]={a}', '[9999999999:9999999999]={a}']) {
      expect(() => parseTextArray(text), text).toThrow(expect.objectContaining({ sqlstate: '22P02' }));
    }
    expect(() => parseTextArray('{{a},{b}}')).toThrow(expect.objectContaining({ sqlstate: '0A000' }));
  });

  it('is quoted only where it must be', () => {
    expect(formatTextArray(['a', '', null, 'null', 'b c', '{', '"', '\\', '\u00a0'])).toBe(
      '{a,"",NULL,"null","b c","{","\\"","\\\\",\u00a0}',
    );
  });

  it('survives the round trip, as text and in binary', () => {
    const element = fc.string({ unit: 'grapheme' }).filter((value) => !value.includes('\0'));
    fc.assert(
      fc.property(fc.array(fc.option(element)), (elements) => {
        const text = formatTextArray(elements);
        expect(parseTextArray(text)).toEqual(elements);
        const bytes = encodeResult(text, TypeOid.textArray, 1);
        expect(decodeParameter(bytes, TypeOid.textArray, 1)).toBe(text);
      }),
    );
  });
});
