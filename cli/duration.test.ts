import { describe, expect, it } from 'vitest';
import { parseExpiration } from './duration.js';

const NOW = new Date('2026-03-01T12:00:00Z');
const parse = (text: string): string => parseExpiration(text, NOW).toISOString();

describe('parseExpiration', () => {
  it.each([
    ['90s', '2026-03-01T12:01:30.000Z'],
    ['15m', '2026-03-01T12:15:00.000Z'],
    ['12h', '2026-03-02T00:00:00.000Z'],
    ['30d', '2026-03-31T12:00:00.000Z'],
    ['2w', '2026-03-15T12:00:00.000Z'],
    ['1y', '2027-03-01T12:00:00.000Z'],
    ['2030-12-31', '2030-12-31T00:00:00.000Z'],
    ['2030-12-31 23:30', '2030-12-31T23:30:00.000Z'],
    ['2030-12-31T23:30:00+02:00', '2030-12-31T21:30:00.000Z'],
  ])('reads %s', (text, expected) => expect(parse(text)).toBe(expected));

  it.each(['', '30', 'd', '-1d', '1.5d', 'tomorrow', '2030-13-40', '12-31-2030', '30 days'])(
    'refuses "%s"',
    (text) => expect(() => parse(text)).toThrow(/neither a duration nor a date/),
  );

  it.each(['0d', '2020-01-01', '2026-03-01'])('refuses %s, which has passed', (text) =>
    expect(() => parse(text)).toThrow(/not in the future/),
  );

  it('refuses what nobody will live to see', () => expect(() => parse('999y')).toThrow(/100 years/));
});
