import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ByteWriter } from './byteWriter.js';

function written(put: (writer: ByteWriter) => void): Buffer {
  const writer = new ByteWriter(1);
  put(writer);
  return Buffer.from(writer.bytes());
}

const text = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.string({ unit: 'binary-ascii', maxLength: 200 }),
  fc.stringMatching(/^[a-z\\\t\n\r\v]{0,90}$/),
);

test('strings are UTF-8, null has length −1', () => {
  fc.assert(
    fc.property(fc.array(fc.option(text)), (values) => {
      const bytes = written((writer) => {
        for (const value of values) writer.nullableText(value);
      });
      let at = 0;
      for (const value of values) {
        const length = bytes.readInt32BE(at);
        at += 4;
        if (value === null) expect(length).toBe(-1);
        else expect(bytes.toString('utf8', at, (at += length))).toBe(value);
      }
      expect(at).toBe(bytes.length);
    }),
  );
});

test("COPY's escapes are those its text format needs, and no others", () => {
  const escapes = new Map(Object.entries({ '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' }));
  fc.assert(
    fc.property(text, (value) => {
      const expected = [...value].map((c) => escapes.get(c) ?? c).join('');
      expect(written((writer) => writer.copyText(value)).toString()).toBe(expected);
    }),
  );
});

test('integers of eight bytes, negative ones too', () => {
  fc.assert(
    fc.property(fc.maxSafeInteger(), (value) => {
      expect(written((writer) => writer.int64(value)).readBigInt64BE()).toBe(BigInt(value));
    }),
  );
});

test('timestamps keep their microseconds, also before 1970', () => {
  const of = (micros: number): string => written((writer) => writer.timestamp(micros)).toString();
  expect(of(1)).toBe('1970-01-01T00:00:00.000001Z');
  expect(of(-1)).toBe('1969-12-31T23:59:59.999999Z');
  expect(of(1767225600123456)).toBe('2026-01-01T00:00:00.123456Z');
  fc.assert(
    fc.property(fc.integer({ min: -9e12, max: 9e12 }), fc.integer({ min: 0, max: 999 }), (millis, micros) => {
      const expected = new Date(millis).toISOString().replace('Z', `${String(micros).padStart(3, '0')}Z`);
      expect(of(millis * 1000 + micros)).toBe(expected);
    }),
  );
});

test('what was cut off or cleared is written over', () => {
  const writer = new ByteWriter(1);
  const start = writer.startLength();
  writer.text('much too long');
  writer.truncate(start);
  writer.text('ab');
  writer.endLength(start, 4);
  expect(writer.bytes()).toEqual(Buffer.from('\0\0\0\x06ab'));
  writer.clear(1024);
  writer.digits(42, 5);
  expect(writer.bytes().toString()).toBe('00042');
});
