import { describe, expect, test } from 'vitest';
import { checkValue, isFieldType, parseType } from './fieldTypes.js';

/** type → [accepted values, refused values with their SQLSTATE] */
const TABLE: Readonly<Record<string, readonly [readonly string[], readonly (readonly [string, string])[]]>> =
  {
    text: [['', 'anything at all', 'größe ✓'], []],
    'character varying(3)': [
      ['', 'abc', '✓✓✓', '😀😀😀'],
      [
        ['abcd', '22001'],
        ['😀😀😀😀', '22001'],
      ],
    ],
    boolean: [
      ['true', 'FALSE', 't', 'f', 'yes', 'no', 'on', 'off', '1', '0'],
      [
        ['', '22P02'],
        ['maybe', '22P02'],
        ['2', '22P02'],
        ['true\nfalse', '22P02'],
      ],
    ],
    smallint: [
      ['0', '-32768', '32767', '+7', '007'],
      [
        ['32768', '22003'],
        ['-32769', '22003'],
        ['1.0', '22P02'],
        ['', '22P02'],
        ['1e3', '22P02'],
        ['0x10', '22P02'],
        ['٣', '22P02'],
      ],
    ],
    integer: [
      ['2147483647', '-2147483648'],
      [
        ['2147483648', '22003'],
        ['-2147483649', '22003'],
        ['--1', '22P02'],
      ],
    ],
    bigint: [
      ['9223372036854775807', '-9223372036854775808'],
      [
        ['9223372036854775808', '22003'],
        ['99999999999999999999', '22003'],
        ['-', '22P02'],
      ],
    ],
    numeric: [
      ['0', '-1.5', '.5', '5.', '1e10', '1E-10', 'NaN', '123456789012345678901234567890.123'],
      [
        ['', '22P02'],
        ['.', '22P02'],
        ['1e', '22P02'],
        ['1,5', '22P02'],
        ['abc', '22P02'],
        ['1e5000', '22003'],
      ],
    ],
    'numeric(5,2)': [
      ['999.99', '-999.99', '999.994', '0.001', '1e2', '12345e-2'],
      [
        ['1000', '22003'],
        ['999.995', '22003'],
        ['-1000', '22003'],
        ['1e3', '22003'],
      ],
    ],
    'numeric(3,0)': [
      ['999', '999.4'],
      [
        ['999.5', '22003'],
        ['1000', '22003'],
      ],
    ],
    'numeric(2,4)': [
      ['0.0099', '-0.0099', '0.00991'],
      [
        ['0.01', '22003'],
        ['0.00995', '22003'],
        ['1', '22003'],
      ],
    ],
    'numeric(3,-2)': [
      ['99900', '49', '-99949'],
      [
        ['99950', '22003'],
        ['100000', '22003'],
      ],
    ],
    real: [
      ['0', '1.5', '-3.4e38', '1.2e-38', 'NaN', 'Infinity', '-infinity', '0e999'],
      [
        ['3.5e38', '22003'],
        ['1e-60', '22003'],
        ['', '22P02'],
        ['1.5f', '22P02'],
      ],
    ],
    'double precision': [
      ['1.7e308', '-1.7e308', '2.3e-308', 'nan', '.5'],
      [
        ['1.8e308', '22003'],
        ['1e-400', '22003'],
        ['0x1p3', '22P02'],
      ],
    ],
    date: [
      ['2026-01-31', '2024-02-29', '0001-01-01', '9999-12-31', '1815-12-10 +00', '1815-12-10 00:00:00Z'],
      [
        ['2026-02-29', '22008'],
        ['1900-02-29', '22008'],
        ['2026-13-01', '22008'],
        ['2026-00-10', '22008'],
        ['2026-04-31', '22008'],
        ['0000-01-01', '22008'],
        ['31.01.2026', '22007'],
        ['2026-1-1', '22007'],
        ['today', '22007'],
        ['', '22007'],
      ],
    ],
    'time without time zone': [
      ['00:00', '23:59:59', '12:30:00.123456'],
      [
        ['24:00', '22008'],
        ['12:60', '22008'],
        ['12:00:60', '22008'],
        ['noon', '22007'],
        ['12:00:00.1234567', '22007'],
      ],
    ],
    'timestamp without time zone': [
      ['2026-01-31', '2026-01-31 12:00', '2026-01-31T12:00:00.5', '2026-01-31T12:00:00Z'],
      [
        ['2026-02-30 12:00', '22008'],
        ['2026-01-31 25:00', '22008'],
        ['now', '22007'],
      ],
    ],
    'timestamp with time zone': [
      ['2026-01-31T12:00:00Z', '2026-01-31 12:00:00+02', '2026-01-31 12:00:00 -05:30', '2026-01-31'],
      [
        ['2026-01-31T12:00:00+15:00', '22007'],
        ['2026-01-31T12:00:00 Europe/Berlin', '22007'],
        ['2026-01-32T00:00:00Z', '22008'],
      ],
    ],
    uuid: [
      ['9b2f6a52-1c1e-4a51-8f7e-0123456789ab', '9B2F6A521C1E4A518F7E0123456789AB'],
      [
        ['9b2f6a52-1c1e-4a51-8f7e-0123456789a', '22P02'],
        ['', '22P02'],
        ['not a uuid', '22P02'],
      ],
    ],
    jsonb: [
      [
        'null',
        '1',
        '"x"',
        '{"a":[1,{"b":null}]}',
        ' {} ',
        // What looks like a number or an escape that is too much, and is part of a string.
        '{"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}',
        '{"path":"C:\\\\u0000dir","quote":"\\"1e99999\\""}',
        '"\\ud83d\\ude00 \\uD83D\\uDE00"',
        '[1e400,-2.5E-300,true,false]',
      ],
      [
        ['', '22P02'],
        ['{a:1}', '22P02'],
        ["{'a':1}", '22P02'],
        ['{"a":1}}', '22P02'],
        ['"\\u0000"', '22P02'],
        ['1e99999', '22003'],
        ['"\\ud800"', '22P02'],
        ['"\\ud83d\\u0041"', '22P02'],
        ['"\\ud83d x \\ude00"', '22P02'],
        ['"\\ude00"', '22P02'],
        ['"\\\\\\u0000"', '22P02'],
      ],
    ],
  };

describe.each(Object.entries(TABLE))('%s', (type, [good, bad]) => {
  test.each(good.map((value) => [value]))('takes %j', (value) => {
    checkValue(type, value);
  });
  if (bad.length > 0) {
    test.each(bad)('refuses %j with %s and does not repeat it', (value, sqlstate) => {
      let thrown: unknown = null;
      try {
        checkValue(type, value);
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toMatchObject({ sqlstate });
      if (value.length > 2) expect(String((thrown as Error).message)).not.toContain(value);
    });
  }
});

describe('types', () => {
  test('names and modifiers are told apart', () => {
    expect(parseType('numeric(10,2)')).toEqual({ name: 'numeric', modifiers: [10, 2] });
    expect(parseType('timestamp with time zone')).toEqual({
      name: 'timestamp with time zone',
      modifiers: [],
    });
  });

  test('only the supported ones are field types', () => {
    for (const type of Object.keys(TABLE)) expect(isFieldType(type)).toBe(true);
    for (const type of ['money', 'integer[]', 'toString', 'constructor', ''])
      expect(isFieldType(type)).toBe(false);
    expect(() => checkValue('money', '1')).toThrow(expect.objectContaining({ sqlstate: '42704' }));
  });
});

test.each([
  ['a number of 1,001 digits', `[${'1'.repeat(1001)}]`, '22003'],
  ['1,001 levels', '['.repeat(1001) + ']'.repeat(1001), '54000'],
  ['8,000,001 elements', `[${'0,'.repeat(8_000_000)}0]`, '54000'],
])('refuses JSON that PostgreSQL might not take: %s', (_, value, sqlstate) => {
  expect(() => checkValue('jsonb', value)).toThrow(expect.objectContaining({ sqlstate }) as Error);
});

test('takes JSON of 1,000 levels, and of a thousand digits', () => {
  checkValue('jsonb', '['.repeat(1000) + ']'.repeat(1000));
  checkValue('jsonb', '1'.repeat(1000));
});
