import { describe, expect, it } from 'vitest';
import { typeModifier, typeOid, typeSize } from './types.js';

describe('types', () => {
  it.each([
    ['text', 25, -1, -1],
    ['character varying(20)', 1043, -1, 24],
    ['character varying', 1043, -1, -1],
    ['boolean', 16, 1, -1],
    ['smallint', 21, 2, -1],
    ['integer', 23, 4, -1],
    ['bigint', 20, 8, -1],
    ['numeric', 1700, -1, -1],
    ['numeric(10,2)', 1700, -1, 655366],
    ['numeric(10)', 1700, -1, 655364],
    ['numeric(3,-2)', 1700, -1, 198658],
    ['real', 700, 4, -1],
    ['double precision', 701, 8, -1],
    ['date', 1082, 4, -1],
    ['time without time zone', 1083, 8, -1],
    ['timestamp without time zone', 1114, 8, -1],
    ['timestamp(3) without time zone', 1114, 8, 3],
    ['timestamp with time zone', 1184, 8, -1],
    ['uuid', 2950, 16, -1],
    ['json', 114, -1, -1],
    ['jsonb', 3802, -1, -1],
    ['text[]', 1009, -1, -1],
  ])('%s', (name, oid, size, modifier) => {
    expect(typeOid(name)).toBe(oid);
    expect(typeSize(oid)).toBe(size);
    expect(typeModifier(name)).toBe(modifier);
  });

  it('unknown names are refused', () => {
    expect(() => typeOid('money')).toThrow(expect.objectContaining({ sqlstate: '42704' }));
    expect(typeModifier('money')).toBe(-1);
  });
});
