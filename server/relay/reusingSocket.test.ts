import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { READ_BUFFER_BYTES, ReusingSocket, type Keep } from './reusingSocket.js';

interface Read {
  /** As it is now, and as it was when it came. */
  readonly bytes: Buffer;
  readonly was: Buffer;
  readonly keep: Keep;
}

let directory: string;
let server: Server;
let theirs: Socket;
let reading: ReusingSocket;
let reads: Read[];
/** Called for each read, as it comes. */
let look: (read: Read) => void;
/** How many bytes of a read are to come again. */
let again: number;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'reusing-'));
  server = createServer().listen(join(directory, 'socket'));
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  reads = [];
  look = () => undefined;
  again = 0;
  reading = new ReusingSocket(() => 0);
  reading.listen((bytes, keep) => {
    const read = { bytes, was: Buffer.from(bytes), keep };
    reads.push(read);
    look(read);
    return again;
  });
  reading.socket.connect(join(directory, 'socket'));
  [theirs] = await accepted;
});
afterEach(() => {
  reading.socket.destroy();
  theirs.destroy();
  server.close();
  rmSync(directory, { recursive: true });
});

async function send(text: string): Promise<void> {
  const before = reads.length;
  theirs.write(text);
  await expect.poll(() => reads.length, { interval: 1 }).toBe(before + 1);
}

describe('ReusingSocket', () => {
  it('reads into the same memory again, but not where something is kept until it is let go', async () => {
    await send('one');
    await send('two');
    expect(String(reads[0]?.bytes)).toBe('two');
    const letGo: (() => void)[] = [];
    look = ({ keep }) => letGo.push(keep(), keep());
    await send('kept');
    look = () => undefined;
    await send('next');
    await send('last');
    expect(String(reads[2]?.bytes)).toBe('kept');
    expect(reads[3]?.bytes.buffer).not.toBe(reads[2]?.bytes.buffer);
    expect(String(reads[3]?.bytes)).toBe('last');
    letGo[0]?.();
    look = ({ keep }) => letGo.push(keep());
    await send('while one still keeps the first');
    expect(String(reads[2]?.bytes)).toBe('kept');
    look = ({ keep }) => {
      letGo[1]?.();
      letGo.push(keep());
    };
    await send('both have let go');
    look = () => undefined;
    await send('free');
    // What was let go is taken before anything new is made.
    expect(reads[7]?.bytes.buffer).toBe(reads[2]?.bytes.buffer);
  });

  it('shows what is to come again in front of what it reads next, also where the bytes are kept', async () => {
    again = 2;
    await send('abc');
    look = ({ keep }) => keep();
    await send('def');
    look = () => undefined;
    again = 0;
    await send('ghi');
    await send('jkl');
    expect(reads.map(({ was }) => String(was))).toEqual(['abc', 'bcdef', 'efghi', 'jkl']);
    expect(String(reads[1]?.bytes)).toBe('bcdef');
  });

  it('hands what it read into on once it is closed', async () => {
    await send('one');
    reading.socket.destroy();
    await once(reading.socket, 'close');
    const other = new ReusingSocket(() => 0);
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const read = new Promise<Buffer>((resolve) => other.listen((bytes) => (resolve(bytes), 0)));
    other.socket.connect(join(directory, 'socket'));
    const [end] = await accepted;
    end.write('two');
    expect((await read).buffer).toBe(reads[0]?.bytes.buffer);
    other.socket.destroy();
    end.destroy();
  });

  it('gives all that comes, in order, also after a pause', async () => {
    const wanted = Buffer.alloc(5 * READ_BUFFER_BYTES + 17, 'every byte counts ');
    const sent = new Promise<void>((resolve) => theirs.write(wanted, () => resolve()));
    look = () => {
      reading.socket.pause();
      setImmediate(() => reading.socket.resume());
    };
    await sent;
    const got = (): Buffer => Buffer.concat(reads.map(({ was }) => was));
    await expect.poll(() => got().length).toBe(wanted.length);
    expect(got().equals(wanted)).toBe(true);
  });
});
