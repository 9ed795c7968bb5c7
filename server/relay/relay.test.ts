import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodeCommandComplete, encodeBindComplete } from '../protocol/backend/complete.js';
import { encodeErrorResponse } from '../protocol/backend/error.js';
import { encodeParameterStatus, encodeReadyForQuery } from '../protocol/backend/status.js';
import { DatabaseError } from '../../engine/errors.js';
import { encodeSync } from '../protocol/frontend/control.js';
import type { BackendConnection } from './connect.js';
import { Relay, type Sink } from './relay.js';
import { ReusingSocket } from './reusingSocket.js';

/** A DataRow of one column; the relay does not look inside. */
function row(bytes: number): Buffer {
  const message = Buffer.alloc(11 + bytes, 0x61);
  message.write('D');
  message.writeUInt32BE(10 + bytes, 1);
  message.writeUInt16BE(1, 5);
  message.writeUInt32BE(bytes, 7);
  return message;
}

const READY = encodeReadyForQuery('I');
const NOTHING: Sink = { message: () => undefined, error: () => undefined };

describe('Relay', () => {
  const directory = mkdtempSync(join(tmpdir(), 'relay-'));
  let backend: Socket;
  let relay: Relay;
  let passed: Buffer[];
  let events: string[];
  let chunks: number;
  let stop: () => Promise<void>;

  beforeEach(async () => {
    const server = createServer();
    const path = join(directory, 'socket');
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
    const reading = new ReusingSocket(() => 0);
    const { socket } = reading;
    socket.connect(path);
    backend = await accepted;
    backend.setNoDelay(true);
    [passed, events, chunks] = [[], [], 0];
    const onAsync = (): void => void events.push(`async after ${Buffer.concat(passed).length}`);
    const onChunk = (): null => {
      chunks++;
      return null;
    };
    const parameters = new Map<string, string>();
    const listen: BackendConnection['listen'] = (receiver) => reading.listen(receiver);
    const connection = { socket, listen, parameters, cancel: () => undefined };
    relay = new Relay(connection, onAsync, onChunk, () => undefined);
    stop = async () => {
      backend.destroy();
      server.close();
      // What the relay says of its end belongs to this test.
      if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
    };
  });
  afterEach(() => stop());
  afterAll(() => rmSync(directory, { recursive: true }));

  const pass = (bytes: Buffer): void => void passed.push(Buffer.from(bytes));
  const passing: Sink = {
    pass,
    message: ({ type, raw }) => {
      if (type !== READY[0]) pass(raw);
    },
    error: (fields) => events.push(`error ${fields.get('C')} after ${Buffer.concat(passed).length}`),
  };

  /** Sends Bind, Execute and Sync; what goes out is not looked at. */
  function ask(sink: Sink): void {
    relay.send(Buffer.from('B'), 'bind', sink);
    relay.send(Buffer.from('E'), 'execute', sink);
    relay.send(encodeSync(), 'sync', passing);
  }

  async function answer(bytes: Buffer, sizes: readonly number[]): Promise<void> {
    let at = 0;
    for (let i = 0; at < bytes.length; i++) {
      const end = at + (sizes[i % sizes.length] ?? 1);
      await new Promise((resolve) => backend.write(bytes.subarray(at, end), resolve));
      // So that each piece is a chunk of its own.
      await new Promise((resolve) => setImmediate(resolve));
      at = end;
    }
  }

  it('passes on the same bytes whatever the pieces they come in', async () => {
    const rows = [row(3), row(0), row(900), row(17)];
    const expected = Buffer.concat([encodeBindComplete(), ...rows, encodeCommandComplete('SELECT 4')]);
    const setting = encodeParameterStatus({ name: 'TimeZone', value: 'UTC' });
    const at = encodeBindComplete().length + row(3).length;
    const bytes = Buffer.concat([expected.subarray(0, at), setting, expected.subarray(at), READY]);
    for (const sizes of [[bytes.length], [1], [2, 3], [7], [64, 1], [at + 4, 1, 500]]) {
      passed = [];
      events = [];
      ask(passing);
      const idle = relay.idle();
      await answer(bytes, sizes);
      await idle;
      expect(Buffer.concat(passed).equals(expected)).toBe(true);
      expect(events).toEqual([`async after ${at}`]);
    }
  });

  it('passes on one chunk in one piece, and leaves it to whoever waits to send it', async () => {
    const expected = Buffer.concat([encodeBindComplete(), row(5), encodeCommandComplete('SELECT 1')]);
    ask(passing);
    const idle = relay.idle();
    await answer(Buffer.concat([expected, READY]), [Infinity]);
    await idle;
    expect(passed).toEqual([expected]);
    expect(chunks).toBe(0);
  });

  it('hands a message on that completes the last of what is due when nothing is due any more', async () => {
    let busy: boolean | null = null;
    ask({ ...passing, message: () => undefined });
    relay.send(encodeSync(), 'sync', { ...NOTHING, message: () => (busy = relay.busy) });
    const idle = relay.idle();
    await answer(Buffer.concat([encodeBindComplete(), encodeCommandComplete('SELECT 0'), READY, READY]), [
      Infinity,
    ]);
    await idle;
    expect(busy).toBe(false);
  });

  it('sends on what nobody waits for yet', async () => {
    ask(passing);
    await answer(encodeBindComplete(), [Infinity]);
    await expect.poll(() => chunks).toBe(1);
  });

  it('keeps what is not to be passed on, and says where an error stands', async () => {
    relay.send(Buffer.from('B'), 'bind', passing);
    relay.send(Buffer.from('B'), 'bind', NOTHING);
    ask(passing);
    const idle = relay.idle();
    const failure = encodeErrorResponse(new DatabaseError('22012', 'division by zero'));
    const [bound, shown] = [encodeBindComplete(), Buffer.concat([encodeBindComplete(), row(5)])];
    await answer(Buffer.concat([bound, bound, shown, failure, READY]), [Infinity]);
    await idle;
    expect(passed).toEqual([bound, shown]);
    expect(events).toEqual([`error 22012 after ${bound.length + shown.length}`]);
    expect(relay.busy).toBe(false);
  });

  it('refuses a length that cannot be, and tells whoever waits', async () => {
    ask(passing);
    const idle = expect(relay.idle()).rejects.toMatchObject({ sqlstate: '08006' });
    await answer(Buffer.concat([encodeBindComplete(), Buffer.from([0x44, 0, 0, 0, 3]), row(2)]), [Infinity]);
    await idle;
  });
});
