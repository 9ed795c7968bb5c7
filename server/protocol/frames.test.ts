import fc from 'fast-check';
import { serialize } from 'pg-protocol';
import { describe, expect, it } from 'vitest';
import { startMessage } from './bytes.js';
import type { Frame, FrameMode } from './frames.js';
import { FrameReader } from './frames.js';

const STREAM = Buffer.concat([
  serialize.query('SELECT 1'),
  serialize.parse({ name: 's', text: 'SELECT $1', types: [25] }),
  serialize.bind({ statement: 's', values: ['é'] }),
  serialize.describe({ type: 'P' }),
  serialize.execute({ rows: 7 }),
  serialize.sync(),
  serialize.end(),
]);

function drain(reader: FrameReader): Frame[] {
  const frames: Frame[] = [];
  for (let frame = reader.next(); frame !== null; frame = reader.next()) frames.push(frame);
  return frames;
}

function read(mode: FrameMode, ...chunks: Buffer[]): Frame[] {
  const reader = new FrameReader({ mode });
  return chunks.flatMap((chunk) => {
    reader.push(chunk);
    return drain(reader);
  });
}

function rawOf(frames: readonly Frame[]): string[] {
  return frames.map((frame) => frame.raw.toString('hex'));
}

describe('FrameReader', () => {
  const whole = read('normal', STREAM);

  it('splits a stream into its messages', () => {
    expect(whole.map((frame) => String.fromCharCode(frame.type)).join('')).toBe('QPBDESX');
    expect(Buffer.concat(whole.map((frame) => frame.raw))).toEqual(STREAM);
    expect(whole[0]?.body.toString()).toBe('SELECT 1\0');
  });

  it('gives the same messages when split at every byte', () => {
    for (let at = 0; at <= STREAM.length; at++) {
      expect(rawOf(read('normal', STREAM.subarray(0, at), STREAM.subarray(at)))).toEqual(rawOf(whole));
    }
    const bytes = [...STREAM].map((byte) => Buffer.from([byte]));
    expect(rawOf(read('normal', ...bytes))).toEqual(rawOf(whole));
  });

  it('gives the same messages in chunks of any size, read late or at once', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 80 });
    fc.assert(
      fc.property(sizes, fc.boolean(), (lengths, late) => {
        const reader = new FrameReader({ mode: 'normal' });
        const frames: Frame[] = [];
        let at = 0;
        for (let index = 0; at < STREAM.length; index++) {
          const next = at + (lengths[index % lengths.length] ?? 1);
          reader.push(Buffer.from(STREAM.subarray(at, next)));
          at = next;
          if (!late || index % 3 === 0) frames.push(...drain(reader));
        }
        frames.push(...drain(reader));
        expect(rawOf(frames)).toEqual(rawOf(whole));
        expect(reader.buffered).toBe(0);
      }),
    );
  });

  it('gathers a large message in linear time', () => {
    const size = 16 * 1024 * 1024;
    const message = startMessage('d'.charCodeAt(0), size).fill(7, 5);
    for (const step of [64 * 1024, 512]) {
      const reader = new FrameReader({ mode: 'normal' });
      const started = performance.now();
      let found: Frame | null = null;
      for (let at = 0; at < message.length; at += step) {
        expect(found).toBeNull();
        reader.push(message.subarray(at, at + step));
        found = reader.next();
      }
      expect(found?.raw.equals(message)).toBe(true);
      // Quadratic copying would move 2 GB for the large chunks and 250 GB for the small ones.
      expect(performance.now() - started).toBeLessThan(5000);
    }
  });

  it('never writes into bytes it has handed out', () => {
    const reader = new FrameReader({ mode: 'normal' });
    const first = serialize.query('A'.repeat(300));
    const second = serialize.query('B'.repeat(300));
    const stream = Buffer.concat([first, second]);
    reader.push(stream.subarray(0, 100));
    reader.push(stream.subarray(100, 400));
    const frame = reader.next();
    reader.push(stream.subarray(400));
    reader.next();
    expect(frame?.raw.equals(first)).toBe(true);
  });

  it('refuses impossible lengths and unknown types, again and again', () => {
    const cases: [FrameMode, string, string][] = [
      ['normal', '5100000003', 'invalid message length'],
      ['normal', '51ffffffff', 'invalid message length'],
      ['normal', '5300007531', 'invalid message length'],
      ['normal', '00', 'invalid frontend message type 0'],
      ['normal', '5a', 'invalid frontend message type 90'],
      ['backend', '00', 'invalid backend message type 0'],
      ['authentication', '51', 'expected password response, got message type 81'],
      ['authentication', '7000010000', 'invalid message length'],
      ['startup', '00000007', 'invalid length of startup packet'],
      ['startup', '00002711', 'invalid length of startup packet'],
      ['startup', '160301', ''],
    ];
    for (const [mode, hex, message] of cases) {
      const reader = new FrameReader({ mode });
      reader.push(Buffer.from(hex, 'hex'));
      if (message === '') {
        expect(reader.next()).toBeNull();
        continue;
      }
      const refused = expect.objectContaining({ sqlstate: '08P01', message });
      expect(() => reader.next()).toThrow(refused);
      expect(() => reader.next()).toThrow(refused);
    }
  });

  it('holds data messages to the limit it was given', () => {
    const reader = new FrameReader({ mode: 'normal', maxMessageBytes: 100 });
    reader.push(Buffer.from('5100000064', 'hex'));
    expect(reader.next()).toBeNull();
    reader.discard();
    reader.push(Buffer.from('5100000065', 'hex'));
    expect(() => reader.next()).toThrow(expect.objectContaining({ sqlstate: '08P01' }));
  });

  it('reads startup packets, then messages', () => {
    const reader = new FrameReader();
    const startup = serialize.startup({ user: 'ann' });
    reader.push(Buffer.concat([startup, serialize.password('secret'), serialize.query('SELECT 1')]));
    const first = reader.next();
    expect(first?.type).toBe(0);
    expect(first?.raw.equals(startup)).toBe(true);
    expect(first?.body.equals(startup.subarray(4))).toBe(true);
    reader.mode = 'authentication';
    expect(reader.next()?.type).toBe('p'.charCodeAt(0));
    reader.mode = 'normal';
    expect(reader.next()?.type).toBe('Q'.charCodeAt(0));
  });

  it('shows and drops what was sent behind an SSLRequest', () => {
    const reader = new FrameReader();
    reader.push(Buffer.concat([serialize.requestSsl(), Buffer.from('smuggled')]));
    reader.next();
    expect(reader.buffered).toBe(8);
    expect(reader.discard()).toBe(8);
    expect(reader.buffered).toBe(0);
    reader.push(Buffer.from('abc'));
    expect(reader.takeRest().toString()).toBe('abc');
  });
});
