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

  it('keeps an answer one write when it outgrows what most take, and begins the next one anew', () => {
    const stream = new PassThrough({ highWaterMark: 1_000_000 });
    const writes: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => writes.push(Buffer.from(chunk)));
    const output = new Output(stream);
    const answers = [3, 9, 60, 2].map((pieces) =>
      Array.from({ length: pieces }, (_, i) => Buffer.alloc(1000, pieces + i)),
    );
    for (const pieces of answers) {
      for (const piece of pieces) output.write(piece);
      output.flush();
    }
    expect(writes.map((write) => write.length)).toEqual([3000, 9000, 60_000, 2000]);
    expect(Buffer.concat(writes).equals(Buffer.concat(answers.flat()))).toBe(true);
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

  it('sends borrowed bytes as they were, and keeps the large ones until they are written', async () => {
    const { ours, theirs } = await pair();
    const output = new Output(ours);
    const wanted: Buffer[] = [];
    let kept = 0;
    let most = 0;
    for (let i = 0; i < 400; i++) {
      const bytes = Buffer.alloc(i % 3 === 0 ? 100 : 60_000, i % 251);
      wanted.push(Buffer.from(bytes));
      let isKept = false;
      output.pass(bytes, () => {
        isKept = true;
        most = Math.max(most, ++kept);
        return () => kept--;
      });
      if (!isKept) bytes.fill(255);
      if (i % 7 === 0) {
        const own = Buffer.from(`own ${i}`);
        output.write(own);
        wanted.push(own);
      }
      if (i % 10 === 0) output.flush();
    }
    output.flush();
    expect(most).toBeGreaterThan(10);
    const bytes = Buffer.concat(wanted);
    expect((await take(theirs, bytes.length)).equals(bytes)).toBe(true);
    await expect.poll(() => kept).toBe(0);
  });

  it('keeps nothing of a client that is gone', async () => {
    const { ours } = await pair();
    const output = new Output(ours);
    let kept = 0;
    const keep = (): (() => void) => {
      kept++;
      return () => kept--;
    };
    for (let i = 0; i < 400; i++) output.pass(Buffer.alloc(60_000), keep);
    expect(kept).toBeGreaterThan(0);
    ours.destroy();
    await expect.poll(() => kept).toBe(0);
    output.pass(Buffer.alloc(60_000), keep);
    expect(kept).toBe(0);
  });

  it('holds back borrowed bytes as they were', () => {
    const stream = new PassThrough();
    const output = new Output(stream);
    output.hold({ kind: 'held' });
    const bytes = Buffer.from('lent');
    output.pass(bytes, () => () => undefined);
    bytes.fill('x');
    output.settle(() => [Buffer.from('answer ')]);
    output.flush();
    expect(String(stream.read())).toBe('answer lent');
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
