import { closeSync, fstatSync, openSync } from 'node:fs';
import { connect, createServer, Socket, type AddressInfo, type Server } from 'node:net';
import { devNull } from 'node:os';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { lend, Returned, type Lent } from './lent.js';

let server: Server;
let accepted: (socket: Socket) => void;
beforeEach(async () => {
  server = createServer({ pauseOnConnect: true }, (socket) => accepted(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterEach(() => void server.close());

async function connected(): Promise<{ client: Socket; lent: Lent }> {
  const taken = new Promise<Socket>((resolve) => (accepted = resolve));
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  client.on('error', () => undefined);
  const lent = lend(await taken);
  if (lent === null) throw new Error('nothing was lent');
  return { client, lent };
}

/** Opens the descriptor a second time, as another thread does, answers once and closes it. */
async function borrow(client: Socket, { fd }: Lent): Promise<void> {
  const socket = new Socket({ fd, readable: true, writable: true });
  socket.once('data', (chunk) => socket.end(chunk));
  let text = '';
  client.on('data', (chunk) => (text += chunk.toString()));
  client.end('hello');
  await Promise.all(
    [socket, client].map((one) => new Promise<void>((resolve) => one.once('close', () => resolve()))),
  );
  expect(text).toBe('hello');
}

function isOpen(fd: number): boolean {
  try {
    fstatSync(fd);
    return true;
  } catch {
    return false;
  }
}

it('closes the handle of a returned descriptor, and nothing that had its number meanwhile', async () => {
  const { client, lent } = await connected();
  await borrow(client, lent);
  const returned = new Returned();
  // A stranger takes the number before the handle is given back.
  const strangers: number[] = [];
  do strangers.push(openSync(devNull, 'r'));
  while (strangers[strangers.length - 1] !== lent.fd && strangers.length < 100);
  expect(strangers).toContain(lent.fd);
  returned.add(lent);
  expect(returned.size).toBe(1);
  expect(lent.socket.destroyed).toBe(false);
  expect(strangers.every(isOpen)).toBe(true);
  const closed = new Promise((resolve) => lent.socket.once('close', resolve));
  for (const fd of strangers) closeSync(fd);
  await expect.poll(() => returned.size, { timeout: 5000 }).toBe(0);
  expect(lent.socket.destroyed).toBe(true);
  await closed;
  expect(isOpen(lent.fd)).toBe(false);
});

it('leaves no descriptor and no handle behind', async () => {
  const returned = new Returned();
  for (let round = 0; round < 50; round++) {
    const { client, lent } = await connected();
    await borrow(client, lent);
    returned.add(lent);
  }
  await expect.poll(() => returned.size, { timeout: 5000 }).toBe(0);
  const count = await new Promise((resolve) => server.getConnections((_, n) => resolve(n)));
  expect(count).toBe(0);
});

it('closes a connection that nobody took over', async () => {
  const { client, lent } = await connected();
  const closed = new Promise((resolve) => client.once('close', resolve));
  client.resume();
  const returned = new Returned();
  returned.addUnsure(lent);
  await closed;
  expect(returned.size).toBe(0);
});
