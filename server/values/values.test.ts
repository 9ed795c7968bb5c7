import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DatabaseError } from '../../engine/errors.js';
import { civilFromDays, daysFromCivil, isCivilDate } from './calendar.js';
import { formatFloat4, formatFloat8 } from './floats.js';
import { TypeOid } from './types.js';
import { decodeParameter, encodeResult, hasBinaryFormat } from './values.js';

type Vector = readonly [oid: number, text: string, hex: string];

/** Text and binary of the same value, seen on a PostgreSQL 16. */
const VECTORS: readonly Vector[] = [
  [TypeOid.bool, 't', '01'],
  [TypeOid.bool, 'f', '00'],
  [TypeOid.bytea, '\\x', ''],
  [TypeOid.bytea, '\\x00ff10', '00ff10'],
  [TypeOid.char, '', '00'],
  [TypeOid.char, 'a', '61'],
  [TypeOid.char, '\\377', 'ff'],
  [TypeOid.int2, '-32768', '8000'],
  [TypeOid.int4, '-1', 'ffffffff'],
  [TypeOid.int8, '-9223372036854775808', '8000000000000000'],
  [TypeOid.oid, '4294967295', 'ffffffff'],
  [TypeOid.text, 'é', 'c3a9'],
  [TypeOid.jsonb, '{"a": 1}', '017b2261223a20317d'],
  [TypeOid.uuid, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'a0eebc999c0b4ef8bb6d6bb9bd380a11'],
  [TypeOid.float8, '1.5', '3ff8000000000000'],
  [TypeOid.float8, '-0', '8000000000000000'],
  [TypeOid.float8, 'NaN', '7ff8000000000000'],
  [TypeOid.float4, '-Infinity', 'ff800000'],
  [TypeOid.float4, '0.1', '3dcccccd'],
  [TypeOid.numeric, '0', '0000000000000000'],
  [TypeOid.numeric, '0.00', '0000000000000002'],
  [TypeOid.numeric, '1234.5600', '000200000000000404d215e0'],
  [TypeOid.numeric, '-0.0001', '0001ffff400000040001'],
  [TypeOid.numeric, '100000000', '00010002000000000001'],
  [TypeOid.numeric, '0.00001', '0001fffe0000000503e8'],
  [TypeOid.numeric, 'NaN', '00000000c0000000'],
  [TypeOid.numeric, 'Infinity', '00000000d0000020'],
  [TypeOid.numeric, '-Infinity', '00000000f0000020'],
  [TypeOid.date, '2000-01-01', '00000000'],
  [TypeOid.date, '1999-12-31', 'ffffffff'],
  [TypeOid.date, '4714-11-24 BC', 'ffda97a7'],
  [TypeOid.date, '5874897-12-31', '7fda970c'],
  [TypeOid.date, 'infinity', '7fffffff'],
  [TypeOid.date, '-infinity', '80000000'],
  [TypeOid.time, '24:00:00', '000000141dd76000'],
  [TypeOid.time, '00:00:00.5', '000000000007a120'],
  [TypeOid.timestamp, '2000-01-01 00:00:00', '0000000000000000'],
  [TypeOid.timestamp, '1999-12-31 23:59:59.999999', 'ffffffffffffffff'],
  [TypeOid.timestamptz, '2000-01-01 00:00:01.25+00', '00000000001312d0'],
  [TypeOid.timestamptz, 'infinity', '7fffffffffffffff'],
  [TypeOid.timestamptz, '-infinity', '8000000000000000'],
  [TypeOid.textArray, '{}', '000000000000000000000019'],
  [
    TypeOid.textArray,
    '{a,NULL,"b c"}',
    '00000001000000010000001900000003000000010000000161ffffffff00000003622063',
  ],
  [TypeOid.int4Array, '[3:3]={7}', '000000010000000000000017000000010000000300000004' + '00000007'],
];

describe('binary values', () => {
  it.each(VECTORS)('of type %i: %s is %s', (oid, text, hex) => {
    expect(decodeParameter(Buffer.from(hex, 'hex'), oid, 1)).toBe(text);
    expect(encodeResult(text, oid, 1).toString('hex')).toBe(hex);
  });

  it('write text that PostgreSQL also accepts', () => {
    const same: Vector[] = [
      [TypeOid.timestamptz, '2000-01-01 02:00:00+02', '0000000000000000'],
      [TypeOid.timestamptz, '1999-12-31T18:30:00-05:30', '0000000000000000'],
      [TypeOid.timestamp, '2000-01-01', '0000000000000000'],
      [TypeOid.bool, ' TRUE ', '01'],
      [TypeOid.int4, '+7', '00000007'],
      [TypeOid.bytea, 'a\\\\\\001', '615c01'],
      [TypeOid.numeric, '1.5e3', '000100000000000005dc'],
      [TypeOid.numeric, '15e-1', '00020000000000010001' + '1388'],
      [TypeOid.numeric, '.5', '0001ffff000000011388'],
    ];
    for (const [oid, text, hex] of same) expect(encodeResult(text, oid, 1).toString('hex'), text).toBe(hex);
  });

  it('are refused when malformed', () => {
    const cases: [number, string, string][] = [
      [TypeOid.bool, '', '22P03'],
      [TypeOid.int4, '000000', '22P03'],
      [TypeOid.int8, '00000000', '22P03'],
      [TypeOid.uuid, '00', '22P03'],
      [TypeOid.jsonb, '', '22P03'],
      [TypeOid.jsonb, '027b7d', '22P03'],
      [TypeOid.numeric, '0001', '22P03'],
      [TypeOid.numeric, '0002000000000000' + '0001', '22P03'],
      [TypeOid.numeric, '0001000000000000' + '2710', '22P03'],
      [TypeOid.numeric, '0000000000010000', '22P03'],
      [TypeOid.numeric, '0000000000004000', '22P03'],
      [TypeOid.text, 'ff', '22021'],
      [TypeOid.text, '6100', '22021'],
      [TypeOid.date, '7ffffffe', '22008'],
      [TypeOid.timestamp, '7ffffffffffffffe', '22008'],
      [TypeOid.time, 'ffffffffffffffff', '22008'],
      [TypeOid.textArray, '000000010000000000000017' + '0000000100000001', '42804'],
      [TypeOid.textArray, '000000020000000000000019', '0A000'],
      [TypeOid.textArray, '000000010000000000000019' + '7fffffff00000001', '22P03'],
      [TypeOid.textArray, '000000010000000000000019' + '0000000100000001' + 'fffffffe', '22P03'],
      [TypeOid.textArray, '00000000000000000000001900', '22P03'],
      [600, '00', '0A000'],
    ];
    for (const [oid, hex, sqlstate] of cases) {
      const refused = expect.objectContaining({ sqlstate });
      expect(() => decodeParameter(Buffer.from(hex, 'hex'), oid, 1), hex).toThrow(refused);
    }
  });

  it('cannot be made from text that is no value', () => {
    const cases: [number, string, string][] = [
      [TypeOid.bool, 'maybe', '22P02'],
      [TypeOid.int2, '32768', '22003'],
      [TypeOid.int8, '9'.repeat(100), '22003'],
      [TypeOid.int4, '1.0', '22P02'],
      [TypeOid.float4, '1e39', '22003'],
      [TypeOid.float8, '1e-400', '22003'],
      [TypeOid.float8, 'abc', '22P02'],
      [TypeOid.numeric, '.', '22P02'],
      [TypeOid.numeric, '1e200000', '22003'],
      [TypeOid.date, '2023-02-29', '22008'],
      [TypeOid.date, '0000-01-01', '22008'],
      [TypeOid.date, 'yesterday', '22007'],
      [TypeOid.time, '25:00:00', '22008'],
      [TypeOid.timestamp, '294277-01-01 00:00:00', '22008'],
      [TypeOid.uuid, 'x', '22P02'],
      [TypeOid.bytea, '\\x1', '22P02'],
      [TypeOid.int4Array, '{1,x}', '22P02'],
    ];
    for (const [oid, text, sqlstate] of cases) {
      expect(() => encodeResult(text, oid, 1), text).toThrow(expect.objectContaining({ sqlstate }));
    }
  });

  it('of any bytes are decoded or refused', () => {
    const oids = Object.values(TypeOid);
    fc.assert(
      fc.property(fc.constantFrom(...oids), fc.uint8Array({ maxLength: 40 }), (oid, bytes) => {
        try {
          const text = decodeParameter(Buffer.from(bytes), oid, 1);
          expect(decodeParameter(encodeResult(text, oid, 1), oid, 1)).toBe(text);
        } catch (error) {
          if (!(error instanceof DatabaseError)) throw error;
        }
      }),
      { numRuns: 5000 },
    );
  });

  it('are known for every type named, and for parameters of no type', () => {
    for (const oid of Object.values(TypeOid)) expect(hasBinaryFormat(oid)).toBe(true);
    expect(hasBinaryFormat(600)).toBe(false);
    expect(decodeParameter(Buffer.from('x'), 0, 1)).toBe('x');
  });
});

describe('text values', () => {
  it('pass as they are, checked to be UTF-8', () => {
    expect(decodeParameter(Buffer.from(' 007'), TypeOid.int4, 0)).toBe(' 007');
    expect(encodeResult('é', 600, 0)).toEqual(Buffer.from('é'));
    expect(() => decodeParameter(Buffer.from([0xff]), 600, 0)).toThrow(
      expect.objectContaining({ sqlstate: '22021' }),
    );
    expect(() => decodeParameter(Buffer.from([0]), 25, 0)).toThrow(
      expect.objectContaining({ sqlstate: '22021' }),
    );
  });
});

describe('numeric', () => {
  it('survives the round trip with its scale', () => {
    const digits = fc.stringMatching(/^[0-9]{0,30}$/);
    fc.assert(
      fc.property(fc.bigInt(), digits, (whole, fraction) => {
        const text = fraction === '' ? String(whole) : `${whole}.${fraction}`;
        expect(decodeParameter(encodeResult(text, TypeOid.numeric, 1), TypeOid.numeric, 1)).toBe(text);
      }),
    );
  });
});

describe('floats', () => {
  it('are laid out as PostgreSQL does', () => {
    const wide: [number, string][] = [
      [1e20, '1e+20'],
      [1e15, '1e+15'],
      [1e14, '100000000000000'],
      [123456789012345.6, '123456789012345.6'],
      [0.0001, '0.0001'],
      [0.00001, '1e-05'],
      [-1.5e-300, '-1.5e-300'],
      [5e-324, '5e-324'],
      [1e23, '9.999999999999999e+22'],
      [9.5e21, '9.500000000000001e+21'],
      [1.9e22, '1.9000000000000002e+22'],
      [2 ** 53, '9.007199254740992e+15'],
    ];
    for (const [value, text] of wide) expect(formatFloat8(value)).toBe(text);
    const narrow: [number, string][] = [
      [1e6, '1e+06'],
      [123456, '123456'],
      [Math.fround(1234567), '1.234567e+06'],
      [2 ** -96, '1.2621775e-29'],
      [2 ** -12, '0.00024414062'],
      [117817456, '1.17817456e+08'],
      [2 ** -149, '1e-45'],
    ];
    for (const [value, text] of narrow) expect(formatFloat4(value)).toBe(text);
  });

  it('read back as the same value', () => {
    fc.assert(
      fc.property(fc.double(), fc.float(), (double, single) => {
        expect(Object.is(Number(formatFloat8(double)), double)).toBe(true);
        expect(Object.is(Math.fround(Number(formatFloat4(single))), single)).toBe(true);
      }),
    );
  });
});

describe('the calendar', () => {
  it('agrees with JavaScript where that reaches', () => {
    const epoch = Date.UTC(2000, 0, 1) / 86_400_000;
    fc.assert(
      fc.property(fc.integer({ min: -90_000_000, max: 90_000_000 }), (days) => {
        const date = new Date((days + epoch) * 86_400_000);
        const civil = civilFromDays(days);
        const expected = {
          year: date.getUTCFullYear(),
          month: date.getUTCMonth() + 1,
          day: date.getUTCDate(),
        };
        expect(civil).toEqual(expected);
        expect(daysFromCivil(civil)).toBe(days);
        expect(isCivilDate(civil)).toBe(true);
      }),
    );
    expect(isCivilDate({ year: 1900, month: 2, day: 29 })).toBe(false);
    expect(isCivilDate({ year: 2000, month: 13, day: 1 })).toBe(false);
  });
});
