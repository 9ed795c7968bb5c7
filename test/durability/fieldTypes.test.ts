/**
 * Whatever the engine takes as a field's value, PostgreSQL's own cast takes too: otherwise one append would stop the
 * read model for good. The values are drawn close to what is valid, which is where the two could differ.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkValue, isFieldType } from '../../engine/schema/fieldTypes.js';
import { startTestServer, type TestServer } from '../harness.js';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server?.destroy());

function accepts(type: string, value: string): boolean {
  try {
    checkValue(type, value);
    return true;
  } catch {
    return false;
  }
}

const digits = (max: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom(...'0123456789'), maxLength: max });
const sign = fc.constantFrom('', '', '+', '-');
const space = fc.constantFrom('', '', '', ' ', '\n', '\t', '\u00a0');
const number = fc
  .tuple(
    space,
    sign,
    digits(25),
    fc.constantFrom('', '.'),
    digits(25),
    fc.constantFrom('', '', 'e', 'E'),
    sign,
    digits(4),
    space,
  )
  .map((parts) => (parts[5] === '' ? [...parts.slice(0, 5), parts[8]] : parts).join(''));
const special = fc.constantFrom(
  'NaN',
  'nan',
  'Infinity',
  '-Infinity',
  '+inf',
  'inf',
  '-NaN',
  '0x1F',
  '1_000',
  '0b1',
  '',
  ' ',
  '.',
  '+',
  '1e',
  '٣',
);
const near = (...around: readonly string[]): fc.Arbitrary<string> =>
  fc
    .tuple(fc.constantFrom(...around), fc.integer({ min: -3, max: 3 }))
    .map(([n, by]) => String(BigInt(n) + BigInt(by)));
const bounds = near(
  '32767',
  '-32768',
  '2147483647',
  '-2147483648',
  '9223372036854775807',
  '-9223372036854775808',
  '0',
);
const floats = fc.oneof(
  fc.double().map(String),
  fc.float().map(String),
  fc.constantFrom(
    '1.17549435e-38',
    '1.1754942e-38',
    '1e-45',
    '7e-46',
    '3.4028235e38',
    '3.4028236e38',
    '1e-323',
    '2e-324',
    '4.9e-324',
    '2.2250738585072014e-308',
    '1.7976931348623157e308',
    '1.7976931348623159e308',
    '0e400',
    '-0',
    '0.0e-9999',
  ),
);

const two = (max: number): fc.Arbitrary<string> =>
  fc.integer({ min: 0, max }).map((n) => String(n).padStart(2, '0'));
const year = fc
  .oneof(fc.integer({ min: 0, max: 9999 }), fc.constantFrom(0, 1, 4, 100, 400, 1900, 2000, 2024, 9999))
  .map((y) => String(y).padStart(4, '0'));
const date = fc.tuple(year, two(13), two(32)).map((parts) => parts.join('-'));
const time = fc
  .tuple(two(25), two(61), fc.option(two(61)), fc.option(digits(8)))
  .map(([h, m, s, f]) => `${h}:${m}${s === null ? '' : `:${s}${f === null ? '' : `.${f}`}`}`);
const zone = fc.oneof(
  fc.constantFrom('', 'Z', 'z', ' Z', '+00', ' UTC'),
  fc
    .tuple(fc.constantFrom('+', '-', ' +'), two(16), fc.option(two(61)), fc.constantFrom('', ':'))
    .map(([s, h, m, c]) => `${s}${h}${m === null ? '' : `${c}${m}`}`),
);
const timestamp = fc
  .tuple(date, fc.constantFrom(' ', 'T', 't', '  '), time, zone)
  .map((parts) => parts.join(''));
const moment = fc.oneof(
  date,
  time,
  timestamp,
  fc.tuple(date, zone).map((p) => p.join('')),
  fc.constantFrom(
    'now',
    'infinity',
    '-infinity',
    'epoch',
    'today',
    '0001-01-01',
    '9999-12-31 23:59:59.999999',
    '9999-12-31T23:59:59.9999999-14',
    '0001-01-01 00:00+14:59',
  ),
);

const hex = fc.string({ unit: fc.constantFrom(...'0123456789abcdefABCDEF'), minLength: 8, maxLength: 12 });
const uuid = fc.oneof(
  fc.uuid(),
  fc.uuid().map((u) => u.replaceAll('-', '')),
  fc.tuple(fc.uuid(), fc.nat(35)).map(([u, at]) => u.slice(0, at) + '-' + u.slice(at)),
  fc.uuid().map((u) => `{${u}}`),
  fc
    .tuple(fc.uuid(), fc.subarray([8, 13, 18, 23]))
    .map(([u, keep]) => [...u].filter((c, i) => c !== '-' || keep.includes(i)).join('')),
  hex,
);
const json = fc.oneof(
  fc.json(),
  fc.json({ stringUnit: 'binary' }),
  fc.jsonValue().map((v) => JSON.stringify(v, null, 2)),
  number,
  fc.constantFrom(
    '"\\u0000"',
    '"\\\\u0000"',
    '"\\ud83d\\ude00"',
    '"\\ud83d"',
    '"\\ude00"',
    '1e400',
    '1e-400',
    '[1e200000]',
    '{"a":1,"a":2}',
    '\ufeff1',
    '"\u2028"',
    '"\ud800"',
    '-0',
    '1E+5',
    '[',
    '"\t"',
  ),
  fc.string({ unit: fc.constantFrom(...'{}[]":,\\u0dn 1e-') }),
);
const anything = fc.string({ unit: 'binary', maxLength: 12 });

const VALUES: readonly (readonly [string, fc.Arbitrary<string>])[] = [
  ...['smallint', 'integer', 'bigint'].map((type) => [type, fc.oneof(bounds, number, special)] as const),
  ...[
    'numeric',
    'numeric(5,2)',
    'numeric(3,0)',
    'numeric(2,4)',
    'numeric(3,-2)',
    'numeric(38,10)',
    'numeric(1000,1000)',
  ].map((type) => [type, fc.oneof(number, special, bounds, floats)] as const),
  ...['real', 'double precision'].map((type) => [type, fc.oneof(floats, number, special)] as const),
  [
    'boolean',
    fc.oneof(
      fc.mixedCase(
        fc.constantFrom(
          'true',
          'false',
          'yes',
          'no',
          'on',
          'off',
          't',
          'f',
          'y',
          'n',
          'o',
          '1',
          '0',
          'tr',
          ' true',
        ),
      ),
      special,
    ),
  ],
  ...['date', 'time without time zone', 'timestamp without time zone', 'timestamp with time zone'].map(
    (type) => [type, moment] as const,
  ),
  ['uuid', uuid],
  ['json', json],
  ['jsonb', json],
  ['text', anything],
  ['character varying(3)', fc.string({ unit: 'grapheme', maxLength: 5 })],
];

describe('what the engine takes PostgreSQL takes', () => {
  test.each(VALUES)('%s', async (type, values) => {
    expect(isFieldType(type)).toBe(true);
    // NUL and lone surrogates never get as far as the type's own check (engine/schema/validate.ts).
    const whole = fc
      .oneof({ weight: 12, arbitrary: values }, { weight: 1, arbitrary: anything })
      .filter((v) => !v.includes('\0') && v.isWellFormed());
    const drawn = [...new Set(fc.sample(whole, { numRuns: 4000, seed: Number(process.env['SEED'] ?? 42) }))];
    const taken = drawn.filter((value) => accepts(type, value));
    expect(taken.length).toBeGreaterThan(10);
    if (type !== 'text') expect(taken.length).toBeLessThan(drawn.length);
    const { rows } = await server.server.readModel.query(
      'SELECT v FROM unnest($1::text[]) AS v WHERE NOT pg_input_is_valid(v, $2)',
      [taken, type],
    );
    expect(rows.map((row) => (row as { v: string }).v)).toEqual([]);
  });
});
