import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readClient } from './clientSocket.js';

interface Taken {
  readonly socket: Socket;
  readonly chunks: Buffer[];
}

let server: Server;
const taken: Taken[] = [];
beforeEach(async () => {
  taken.length = 0;
  server = createServer((accepted) => {
    const chunks: Buffer[] = [];
    taken.push({ socket: readClient(accepted, (bytes) => void chunks.push(bytes)), chunks });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(() => {
  for (const { socket } of taken) socket.destroy();
  server.close();
});

async function open(): Promise<{ client: Socket; ours: Taken }> {
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  await once(client, 'connect');
  await expect.poll(() => taken.some(({ socket }) => socket.remotePort === client.localPort)).toBe(true);
  const ours = taken.find(({ socket }) => socket.remotePort === client.localPort);
  if (ours === undefined) throw new Error('not accepted');
  return { client, ours };
}

const bytesOf = ({ chunks }: Taken): Buffer => Buffer.concat(chunks);

test('what was read stays as it was, whatever others and the same client send later', async () => {
  const all = await Promise.all(Array.from({ length: 5 }, open));
  for (let round = 0; round < 20; round++) {
    for (const [i, { client }] of all.entries()) client.write(`${i}:${round} `);
    const expected = Array.from({ length: round + 1 }, (_, r) => r);
    for (const [i, { ours }] of all.entries())
      await expect.poll(() => bytesOf(ours).toString()).toBe(expected.map((r) => `${i}:${r} `).join(''));
  }
  expect(all[0]?.ours.chunks).toHaveLength(20);
});

test('more than one read holds comes whole, and waits while the socket is paused', async () => {
  const { client, ours } = await open();
  ours.socket.pause();
  const sent = Buffer.alloc(1_000_000, 'every byte counts ');
  client.end(sent);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(ours.chunks).toHaveLength(0);
  const ended = once(ours.socket, 'end');
  ours.socket.resume();
  await ended;
  expect(bytesOf(ours).equals(sent)).toBe(true);
});

test('writes reach the client, and the end of either side is told', async () => {
  const [first, second] = [await open(), await open()];
  const answer = once(first.client, 'data');
  first.ours.socket.write('hello');
  expect(String((await answer)[0])).toBe('hello');
  const closed = once(first.ours.socket, 'close');
  first.client.destroy();
  await closed;
  const gone = once(second.client, 'close');
  second.client.resume();
  second.ours.socket.destroy();
  await gone;
});

test('a socket that has ended already tells so', async () => {
  const { client } = await open();
  client.destroy();
  const socket = readClient(client, () => undefined);
  if (!socket.closed) await once(socket, 'close');
  expect(socket.destroyed).toBe(true);
});
