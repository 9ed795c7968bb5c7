import fc from 'fast-check';
import { expect, it } from 'vitest';
import { payloadFields } from './payload.js';

it('keeps every digit of numbers, also inside objects', () => {
  const text =
    '{"balance": 12345678901234567890.1234567890 , "extra": {"n": [98765432109876543210, "}"]},"ok":true}';
  expect(payloadFields(text)).toEqual({
    balance: '12345678901234567890.1234567890',
    extra: '{"n": [98765432109876543210, "}"]}',
    ok: 'true',
  });
});

it('reads strings, null and an empty object', () => {
  expect(payloadFields(' { "a\\"b" : "x\\ny" , "c":null } ')).toEqual({ 'a"b': 'x\ny', c: null });
  expect(payloadFields('{}')).toEqual({});
  expect(payloadFields(null)).toEqual({});
});

it('does not lose a member called __proto__', () => {
  expect(Object.keys(payloadFields('{"__proto__":"x"}'))).toEqual(['__proto__']);
});

it.each(['[1]', '"x"', 'null', '{', '{"a":1,}', ''])('refuses %s', (text) => {
  expect(() => payloadFields(text)).toThrow(/payload/);
});

it('agrees with JSON.parse on any object of strings', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.option(fc.string(), { nil: null })), (object) => {
      const plain = Object.fromEntries(Object.entries(object));
      expect(payloadFields(JSON.stringify(plain, null, 2))).toEqual(JSON.parse(JSON.stringify(plain)));
    }),
  );
});
