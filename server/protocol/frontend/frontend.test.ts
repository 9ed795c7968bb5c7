import fc from 'fast-check';
import { serialize } from 'pg-protocol';
import { describe, expect, it } from 'vitest';
import type { Format } from '../bytes.js';
import { startMessage } from '../bytes.js';
import { FrameReader } from '../frames.js';
import type { Bind } from './bind.js';
import { decodeBind, encodeBind, formatAt, rewriteBind } from './bind.js';
import { encodeClose } from './close.js';
import { encodeFlush, encodeSync, encodeTerminate } from './control.js';
import type { FrontendMessage } from './decode.js';
import { decodeFrontend } from './decode.js';
import { encodeDescribe } from './describe.js';
import { encodeExecute } from './execute.js';
import { encodeParse } from './parse.js';
import { encodePassword } from './password.js';
import { encodeQuery } from './query.js';

function decode(raw: Buffer): FrontendMessage {
  const reader = new FrameReader({ mode: 'normal' });
  reader.push(raw);
  const frame = reader.next();
  if (frame === null) throw new Error('not a whole message');
  return decodeFrontend(frame);
}

const text = fc.string({ unit: 'grapheme' }).filter((value) => !value.includes('\0'));
const formats = fc.array(fc.constantFrom<Format>(0, 1), { maxLength: 5 });
const values = fc.array(fc.option(fc.uint8Array().map((bytes) => Buffer.from(bytes))), { maxLength: 5 });

describe('frontend messages', () => {
  it('decode what pg sends', () => {
    const bind = serialize.bind({
      portal: 'p',
      statement: 's',
      values: ['a', null, Buffer.from([1])],
      binary: true,
    });
    expect([
      decode(serialize.query('SELECT 1')),
      decode(serialize.parse({ name: 's', text: 'SELECT $1', types: [25, 4_000_000_000] })),
      decode(bind),
      decode(serialize.describe({ type: 'S', name: 's' })),
      decode(serialize.execute({ portal: 'p', rows: 9 })),
      decode(serialize.close({ type: 'P', name: 'p' })),
      decode(serialize.sync()),
      decode(serialize.flush()),
      decode(serialize.end()),
      decode(serialize.password('geheim')),
      decode(serialize.copyData(Buffer.from('x\n'))),
      decode(serialize.copyDone()),
      decode(serialize.copyFail('no')),
    ]).toEqual([
      { kind: 'query', text: 'SELECT 1' },
      { kind: 'parse', statement: 's', text: 'SELECT $1', parameterTypes: [25, 4_000_000_000] },
      {
        kind: 'bind',
        portal: 'p',
        statement: 's',
        parameterFormats: [0, 0, 1],
        parameters: [Buffer.from('a'), null, Buffer.from([1])],
        resultFormats: [1],
      },
      { kind: 'describe', target: 'statement', name: 's' },
      { kind: 'execute', portal: 'p', maxRows: 9 },
      { kind: 'close', target: 'portal', name: 'p' },
      { kind: 'sync' },
      { kind: 'flush' },
      { kind: 'terminate' },
      { kind: 'password', password: 'geheim' },
      { kind: 'copyData', data: Buffer.from('x\n') },
      { kind: 'copyDone' },
      { kind: 'copyFail', reason: 'no' },
    ]);
  });

  it('encode as pg does', () => {
    const target = { target: 'portal', name: 'p' } as const;
    const pairs: [Buffer, Buffer][] = [
      [encodeQuery('SELECT 1'), serialize.query('SELECT 1')],
      [
        encodeParse({ statement: 's', text: 'é', parameterTypes: [25] }),
        serialize.parse({ name: 's', text: 'é', types: [25] }),
      ],
      [encodeDescribe(target), serialize.describe({ type: 'P', name: 'p' })],
      [encodeClose({ target: 'statement', name: 's' }), serialize.close({ type: 'S', name: 's' })],
      [encodeExecute('p', 9), serialize.execute({ portal: 'p', rows: 9 })],
      [encodeSync(), serialize.sync()],
      [encodeFlush(), serialize.flush()],
      [encodeTerminate(), serialize.end()],
      [encodePassword('geheim'), serialize.password('geheim')],
    ];
    for (const [ours, theirs] of pairs) expect(ours.toString('hex')).toBe(theirs.toString('hex'));
  });

  it('read back what they encode', () => {
    fc.assert(
      fc.property(
        text,
        text,
        fc.array(fc.nat(0xffffffff)),
        values,
        formats,
        (one, two, oids, parameters, result) => {
          const parse = { kind: 'parse', statement: one, text: two, parameterTypes: oids } as const;
          expect(decode(encodeParse(parse))).toEqual(parse);
          const parameterFormats: Format[] = parameters.map((_, index) => (index % 2 === 0 ? 1 : 0));
          const bind = { portal: one, statement: two, parameterFormats, parameters, resultFormats: result };
          expect(decode(encodeBind(bind))).toEqual({ kind: 'bind', ...bind });
        },
      ),
    );
  });

  it('count up to 65,535 parameters', () => {
    const parameters = new Array<Buffer | null>(65_535).fill(null);
    const bind = { portal: '', statement: '', parameterFormats: [], parameters, resultFormats: [] };
    const decoded = decode(encodeBind(bind));
    expect(decoded.kind === 'bind' && decoded.parameters.length).toBe(65_535);
    const refused = expect.objectContaining({ sqlstate: '54000' });
    expect(() => rewriteBind({ kind: 'bind', ...bind }, { extraText: ['x'] })).toThrow(refused);
  });

  it('refuse names that would forge fields', () => {
    expect(() => encodeQuery('a\0b')).toThrow(expect.objectContaining({ sqlstate: '22021' }));
  });

  it('refuse bad counts, lengths, kinds and text', () => {
    const cases: [string, string | Buffer, string][] = [
      ['Q', 'SELECT 1', '08P01'],
      ['Q', 'SELECT 1\0x', '08P01'],
      ['Q', Buffer.from([0xc3, 0x28, 0]), '22021'],
      ['S', 'x', '08P01'],
      ['D', 'Xname\0', '08P01'],
      ['B', '\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0', '08P01'],
      ['B', '\0\0\0\x02\0\0\0\x01\0\x01\0\0\0\0\0\0', '08P01'],
      ['B', '\0\0\0\x01\0\x02\0\0\0\0', '22023'],
      ['B', '\0\0\0\0\xff\xff\0\0', '08P01'],
      ['P', '\0\0\0\x02\0\0\0\x19', '08P01'],
      ['P', '\0\0\0\0\0\0\0\x19', '08P01'],
      ['F', '\0\0\0\x01\0\0\0\0\0\0x', '08P01'],
      ['z', '', '08P01'],
    ];
    for (const [type, body, sqlstate] of cases) {
      const bytes = typeof body === 'string' ? Buffer.from(body, 'latin1') : body;
      const frame = { type: type.charCodeAt(0), body: bytes };
      expect(() => decodeFrontend(frame), type).toThrow(expect.objectContaining({ sqlstate }));
    }
  });

  it('reads a function call to its end', () => {
    const body = Buffer.from('00000539' + '0001' + '0001' + '0001' + '00000001' + '07' + '0000', 'hex');
    expect(decodeFrontend({ type: 0x46, body })).toEqual({ kind: 'functionCall', functionOid: 0x539 });
    expect(startMessage(0x46, body.length).length).toBe(5 + body.length);
  });
});

describe('rewriteBind', () => {
  const bind = (parameterFormats: Format[], count: number): Bind => ({
    kind: 'bind',
    portal: 'p',
    statement: 's',
    parameterFormats,
    parameters: new Array<Buffer>(count).fill(Buffer.from([9])),
    resultFormats: [1],
  });

  it('renames', () => {
    const renamed = rewriteBind(bind([1], 1), { portal: 'q', statement: 't' });
    expect(renamed).toEqual({ ...bind([1], 1), portal: 'q', statement: 't' });
  });

  it('keeps every format when text parameters are appended', () => {
    const lists: [Format[], number][] = [
      [[], 0],
      [[0], 0],
      [[1], 0],
      [[], 3],
      [[0], 3],
      [[1], 3],
      [[1], 1],
      [[1, 0, 1], 3],
    ];
    for (const [list, count] of lists) {
      const before = bind(list, count);
      const after = decodeBind(encodeBind(rewriteBind(before, { extraText: ['é', null] })).subarray(5));
      expect(after.parameters).toEqual([...before.parameters, Buffer.from('é'), null]);
      for (let index = 0; index < count; index++) {
        expect(formatAt(after.parameterFormats, index)).toBe(formatAt(list, index));
      }
      expect(formatAt(after.parameterFormats, count)).toBe(0);
      expect(formatAt(after.parameterFormats, count + 1)).toBe(0);
      expect(after.resultFormats).toEqual([1]);
    }
  });
});
