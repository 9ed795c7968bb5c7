import { describe, expect, test } from 'vitest';
import { printedValue } from './stored.js';

describe('values that are printed as they are stored', () => {
  test.each([
    ['text', " anything\n'at all' ", " anything\n'at all' "],
    ['boolean', 'true', 't'],
    ['boolean', 'f', 'f'],
    ['integer', '-17', '-17'],
    ['bigint', '0', '0'],
    ['numeric', '-0.50', '-0.50'],
    ['numeric(10,2)', '12.50', '12.50'],
    ['numeric(5)', '12', '12'],
    ['uuid', '00000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-00000000000a'],
    ['date', '2026-01-31', '2026-01-31'],
    ['timestamp without time zone', '2026-01-31 17:05:00.25', '2026-01-31 17:05:00.25'],
    ['timestamp with time zone', '2026-01-31 17:05:00+00', '2026-01-31 17:05:00+00'],
  ])('%s %s', (type, stored, printed) => {
    expect(printedValue(stored, type)).toBe(printed);
  });
});

describe('values that only PostgreSQL can print', () => {
  test.each([
    ['boolean', 'yes'],
    ['integer', '+5'],
    ['integer', '007'],
    ['integer', '-0'],
    ['numeric', '1e3'],
    ['numeric', '.5'],
    ['numeric', '-0.0'],
    ['numeric(10,2)', '12.5'],
    ['numeric(10,2)', '12.505'],
    ['numeric(3,-1)', '120'],
    ['uuid', '00000000-0000-4000-8000-00000000000A'],
    ['date', '31 Jan 2026'],
    ['timestamp without time zone', '2026-01-31T17:05:00'],
    ['timestamp without time zone', '2026-01-31 17:05:00.250'],
    ['timestamp with time zone', '2026-01-31 17:05:00+01'],
    ['timestamp with time zone', '2026-01-31 24:00:00+00'],
    ['timestamp(0) with time zone', '2026-01-31 17:05:00+00'],
    ['character varying(3)', 'abc'],
    ['jsonb', '{}'],
    ['double precision', '1.5'],
    ['text[]', '{a}'],
  ])('%s %s', (type, stored) => {
    expect(printedValue(stored, type)).toBeNull();
  });
});
