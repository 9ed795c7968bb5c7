/** A client made of bare messages, for what no driver would send. */
import { connect, type Socket } from 'node:net';
import { decodeBackendKeyData, type BackendKeyData } from '../../server/protocol/backend/authentication.js';
import { decodeErrorFields } from '../../server/protocol/backend/error.js';
import { decodeParameterDescription } from '../../server/protocol/backend/parameter-description.js';
import { decodeDataRow, decodeRowDescription } from '../../server/protocol/backend/row.js';
import { decodeParameterStatus } from '../../server/protocol/backend/status.js';
import type { Format } from '../../server/protocol/bytes.js';
import { FrameReader, type Frame } from '../../server/protocol/frames.js';
import { encodeBind } from '../../server/protocol/frontend/bind.js';
import { encodeClose } from '../../server/protocol/frontend/close.js';
import { encodeFlush, encodeSync } from '../../server/protocol/frontend/control.js';
import { encodeDescribe } from '../../server/protocol/frontend/describe.js';
import { encodeExecute } from '../../server/protocol/frontend/execute.js';
import { encodeParse } from '../../server/protocol/frontend/parse.js';
import { encodePassword } from '../../server/protocol/frontend/password.js';
import { encodeQuery } from '../../server/protocol/frontend/query.js';

const TIMEOUT_MS = 20_000;

export const m = {
  parse: (text: string, statement = '', parameterTypes: readonly number[] = []): Buffer =>
    encodeParse({ statement, text, parameterTypes }),
  bind: (
    parameters: readonly (string | Buffer | null)[] = [],
    options: {
      readonly portal?: string;
      readonly statement?: string;
      readonly formats?: readonly Format[];
      readonly results?: readonly Format[];
    } = {},
  ): Buffer =>
    encodeBind({
      portal: options.portal ?? '',
      statement: options.statement ?? '',
      parameterFormats: options.formats ?? [],
      parameters: parameters.map((p) => (typeof p === 'string' ? Buffer.from(p) : p)),
      resultFormats: options.results ?? [],
    }),
  describe: (name = ''): Buffer => encodeDescribe({ target: 'statement', name }),
  describePortal: (name = ''): Buffer => encodeDescribe({ target: 'portal', name }),
  execute: (rows = 0, portal = ''): Buffer => encodeExecute(portal, rows),
  close: (name = ''): Buffer => encodeClose({ target: 'statement', name }),
  closePortal: (name = ''): Buffer => encodeClose({ target: 'portal', name }),
  sync: encodeSync,
  flush: encodeFlush,
  query: encodeQuery,
  password: encodePassword,
};

/** A startup packet of protocol 3.`minor`. */
export function startupPacket(parameters: Readonly<Record<string, string>>, minor = 0): Buffer {
  const text = Object.entries(parameters).map(([name, value]) => `${name}\0${value}\0`);
  const body = Buffer.from(`${text.join('')}\0`);
  const head = Buffer.alloc(8);
  head.writeUInt32BE(8 + body.length, 0);
  head.writeUInt32BE((3 << 16) | minor, 4);
  return Buffer.concat([head, body]);
}

/** A message in short: `1`, `2`, `t:20,25`, `T:name=25`, `D:a|b`, `C:SELECT 1`, `E:42703`, `Z:I`. */
function brief(frame: Frame): string {
  const letter = String.fromCharCode(frame.type);
  const text = frame.body.toString('utf8').replace(/\0$/, '');
  switch (letter) {
    case 't':
      return `t:${decodeParameterDescription(frame.body).join(',')}`;
    case 'T':
      return `T:${decodeRowDescription(frame.body)
        .map((field) => `${field.name}=${field.typeOid}${field.format === 1 ? 'b' : ''}`)
        .join(',')}`;
    case 'D':
      return `D:${decodeDataRow(frame.body)
        .map((value) => value?.toString('utf8') ?? 'NULL')
        .join('|')}`;
    case 'E':
    case 'N':
      return `${letter}:${decodeErrorFields(frame.body).get('C')}`;
    case 'C':
    case 'Z':
      return `${letter}:${text}`;
    default:
      return letter;
  }
}

export class RawClient {
  readonly frames: Frame[] = [];
  readonly settings = new Map<string, string>();
  key: BackendKeyData | null = null;
  closed = false;
  private readonly reader = new FrameReader({ mode: 'backend' });
  private wake: () => void = () => undefined;

  constructor(readonly socket: Socket) {
    socket.on('data', (chunk: Buffer) => {
      this.reader.push(Buffer.from(chunk));
      for (let frame = this.reader.next(); frame !== null; frame = this.reader.next())
        this.frames.push(frame);
      this.wake();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.closed = true;
      this.wake();
    });
  }

  static async open(target: number | string): Promise<RawClient> {
    return new RawClient(await openSocket(target));
  }

  /** Connected, authenticated and ready. */
  static async ready(
    target: number | string,
    token: string,
    parameters: Readonly<Record<string, string>> = {},
    minor = 0,
  ): Promise<RawClient> {
    const client = await RawClient.open(target);
    client.send(startupPacket({ user: 'raw', database: 'eventful', ...parameters }, minor));
    await client.until('R');
    client.send(m.password(token));
    for (const frame of await client.until('Z')) {
      if (frame.type === 0x53) {
        const { name, value } = decodeParameterStatus(frame.body);
        client.settings.set(name, value);
      }
      if (frame.type === 0x4b) client.key = decodeBackendKeyData(frame.body);
    }
    return client;
  }

  send(...messages: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(messages));
  }

  /** Takes messages up to the first of that letter. @throws Error when it does not come */
  async until(letter: string): Promise<Frame[]> {
    const deadline = Date.now() + TIMEOUT_MS;
    for (;;) {
      const end = this.frames.findIndex(({ type }) => type === letter.charCodeAt(0));
      if (end >= 0) return this.frames.splice(0, end + 1);
      if (this.closed || Date.now() > deadline)
        throw new Error(
          `${this.closed ? 'closed' : 'timed out'} before ${letter}; got ${this.frames.map(brief).join(' ')}`,
        );
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 500);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Sends and gives, in short, everything up to ReadyForQuery, without ParameterStatus. */
  async run(...messages: readonly Buffer[]): Promise<string[]> {
    this.send(...messages);
    return (await this.until('Z')).filter(({ type }) => type !== 0x53).map(brief);
  }

  async ended(): Promise<void> {
    if (this.closed) return;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('the connection stays open')), TIMEOUT_MS);
      this.socket.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  close(): void {
    this.socket.destroy();
  }
}

export function openSocket(target: number | string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket =
      typeof target === 'string' ? connect({ path: target }) : connect({ port: target, host: '127.0.0.1' });
    socket.once('connect', () => {
      socket.setNoDelay(true);
      resolve(socket);
    });
    socket.once('error', reject);
  });
}

/** The first bytes a server answers, or all of them up to its closing. */
export function answerTo(target: number | string, bytes: Buffer, untilClosed = false): Promise<Buffer> {
  return openSocket(target).then(
    (socket) =>
      new Promise((resolve, reject) => {
        const chunks: Buffer[] = [];
        const timer = setTimeout(() => {
          socket.destroy();
          reject(new Error('no answer'));
        }, TIMEOUT_MS);
        const done = (): void => {
          clearTimeout(timer);
          socket.destroy();
          resolve(Buffer.concat(chunks));
        };
        socket.on('error', () => undefined);
        socket.on('close', done);
        socket.on('data', (chunk: Buffer) => {
          chunks.push(chunk);
          if (!untilClosed) done();
        });
        socket.write(bytes);
      }),
  );
}

/** The SQLSTATE of an ErrorResponse given as bare bytes. */
export function stateIn(bytes: Buffer): string | undefined {
  return /\0C([0-9A-Z]{5})\0/.exec(bytes.toString('latin1'))?.[1];
}
