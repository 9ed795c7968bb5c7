import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Output } from './output.js';

let server: Server;
const sockets: Socket[] = [];

/** Both ends of a real connection. */
async function pair(): Promise<{ ours: Socket; theirs: Socket }> {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const theirs = connect({ port: address.port, host: '127.0.0.1' });
  theirs.pause();
  const [ours] = await accepted;
  sockets.push(ours, theirs);
  return { ours, theirs };
}

/** Everything the socket gets until `bytes` have come. */
async function take(socket: Socket, bytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size >= bytes) break;
  }
  return Buffer.concat(chunks);
}

/** An answer of two messages that no other answer has. */
function answer(number: number, bytes: number): [Buffer, Buffer] {
  return [Buffer.from(`${String(number).padStart(8, '0')}:`), Buffer.alloc(bytes, number % 251)];
}

beforeEach(async () => {
  server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  server.close();
});

describe('Output', () => {
  it('sends an answer of several messages as one write', () => {
    const stream = new PassThrough();
    const writes: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => writes.push(Buffer.from(chunk)));
    const output = new Output(stream);
    for (const chunk of ['a', 'bc', 'd']) output.write(Buffer.from(chunk));
    output.flush();
    output.flush();
    expect(writes.map(String)).toEqual(['abcd']);
  });

  it('keeps what the client does not read yet as it was, whatever goes to it and to others meanwhile', async () => {
    const slow = await pair();
    const quick = await pair();
    const slowOutput = new Output(slow.ours);
    const quickOutput = new Output(quick.ours);
    const slowWanted: Buffer[] = [];
    const quickWanted: Buffer[] = [];
    // Far more than the kernel keeps for a socket whose other end does not read.
    for (let i = 0; i < 3000; i++) {
      for (const chunk of answer(i, 12_000)) {
        slowOutput.write(chunk);
        slowWanted.push(chunk);
      }
      slowOutput.flush();
      if (i % 500 > 0) continue;
      for (const chunk of answer(i + 100, 12_000)) {
        quickOutput.write(chunk);
        quickWanted.push(chunk);
      }
      quickOutput.flush();
    }
    expect(slow.ours.writableLength).toBeGreaterThan(0);
    expect(slowOutput.backlog).not.toBeNull();
    expect(quick.ours.writableLength).toBe(0);
    const [slowBytes, quickBytes] = [Buffer.concat(slowWanted), Buffer.concat(quickWanted)];
    expect((await take(quick.theirs, quickBytes.length)).equals(quickBytes)).toBe(true);
    expect((await take(slow.theirs, slowBytes.length)).equals(slowBytes)).toBe(true);
    await slowOutput.backlog;
    expect(slowOutput.backlog).toBeNull();
  });

  it('puts held answers in their places, and ends the output at one that is not to come', () => {
    const stream = new PassThrough();
    const output = new Output(stream);
    const said = (): string => String((stream.read() as Buffer | null) ?? '');
    const held = { kind: 'held' } as const;
    const hold = (): void => {
      output.write(Buffer.from('a'));
      output.hold(held);
      output.write(Buffer.from('b'));
      output.hold(held);
      output.write(Buffer.from('c'));
    };
    hold();
    output.flush();
    expect(said()).toBe('a');
    const answers = ['1', '2'];
    output.settle(() => [Buffer.from(answers.shift() ?? '')]);
    output.flush();
    expect(said()).toBe('1b2c');
    hold();
    output.settle(() => null);
    output.flush();
    expect(said()).toBe('a');
  });
});
