import { serialize } from 'pg-protocol';
import { describe, expect, it } from 'vitest';
import { FrameReader } from './frames.js';
import { looksLikeHttp, looksLikeTls } from './garbage.js';
import { encodeCancelRequest, encodeSslRequest, encodeStartup, parseStartup } from './startup.js';

function startupBody(code: number, text: string | Buffer): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(code);
  return Buffer.concat([head, Buffer.from(text)]);
}

const V3 = 3 << 16;

describe('parseStartup', () => {
  it('reads what pg sends', () => {
    const body = serialize.startup({ user: 'ann', database: 'main' }).subarray(4);
    const packet = parseStartup(body);
    expect(packet).toMatchObject({ kind: 'startup', minor: 0 });
    if (packet.kind !== 'startup') return;
    expect([...packet.parameters]).toEqual([
      ['user', 'ann'],
      ['database', 'main'],
      ['client_encoding', 'UTF8'],
    ]);
    expect(parseStartup(serialize.requestSsl().subarray(4))).toEqual({ kind: 'ssl' });
    const cancel = parseStartup(serialize.cancel(42, 7).subarray(4));
    expect(cancel).toEqual({ kind: 'cancel', processId: 42, secret: Buffer.from([0, 0, 0, 7]) });
    expect(parseStartup(startupBody(80877104, ''))).toEqual({ kind: 'gssenc' });
  });

  it('keeps protocol options and the minor version apart', () => {
    const packet = parseStartup(startupBody(V3 | 2, 'user\0ann\0_pq_.x\0on\0a\0\0\0'));
    expect(packet).toMatchObject({ kind: 'startup', minor: 2 });
    if (packet.kind !== 'startup') return;
    expect([...packet.extensions]).toEqual([['_pq_.x', 'on']]);
    expect([...packet.parameters]).toEqual([
      ['user', 'ann'],
      ['a', ''],
    ]);
  });

  it('reads back what it encodes', () => {
    const packet = parseStartup(encodeStartup([['user', 'ännä']]).subarray(4));
    expect(packet).toMatchObject({ parameters: new Map([['user', 'ännä']]) });
    expect(encodeSslRequest().equals(serialize.requestSsl())).toBe(true);
    expect(encodeCancelRequest(42, Buffer.from([0, 0, 0, 7])).equals(serialize.cancel(42, 7))).toBe(true);
  });

  it('refuses what is not a startup packet', () => {
    const cases: [Buffer, string][] = [
      [startupBody(V3, ''), '08P01'],
      [startupBody(V3, '\0'), '28000'],
      [startupBody(V3, 'user\0\0\0'), '28000'],
      [startupBody(V3, 'user\0ann\0'), '08P01'],
      [startupBody(V3, 'user\0ann'), '08P01'],
      [startupBody(V3, 'user\0ann\0\0x'), '08P01'],
      [startupBody(V3, 'user\0'), '08P01'],
      [startupBody(V3, Buffer.from([0x75, 0xff, 0, 0x61, 0, 0])), '08P01'],
      [startupBody(2 << 16, 'user\0ann\0\0'), '0A000'],
      [startupBody(4 << 16, ''), '0A000'],
      [startupBody(80877103, 'x'), '08P01'],
      [startupBody(80877102, 'abc'), '08P01'],
      [startupBody(80877102, '1234abc'), '08P01'],
      [startupBody(80877102, Buffer.alloc(4 + 257)), '08P01'],
      [Buffer.alloc(3), '08P01'],
    ];
    for (const [body, sqlstate] of cases) {
      expect(() => parseStartup(body)).toThrow(expect.objectContaining({ sqlstate }));
    }
    expect(parseStartup(startupBody(80877102, Buffer.alloc(4 + 256)))).toMatchObject({ kind: 'cancel' });
  });

  it('knows HTTP and TLS when it sees them', () => {
    expect(looksLikeHttp(Buffer.from('GET / HTTP/1.1'))).toBe(true);
    expect(looksLikeHttp(encodeSslRequest())).toBe(false);
    expect(looksLikeTls(Buffer.from([0x16, 3, 1]))).toBe(true);
    const reader = new FrameReader();
    reader.push(Buffer.from('POST / HTTP/1.1\r\n'));
    const hint = expect.stringContaining('HTTP') as string;
    expect(() => reader.next()).toThrow(expect.objectContaining({ sqlstate: '08P01', hint }));
  });
});
