/**
 * One client's connection to the read model. Messages go out without waiting; what comes back is matched to what was
 * sent through a queue of expectations, each with a sink that says what to do with it: pass it on to the client as it
 * is, keep it, or drop it.
 */
import type { Socket } from 'node:net';
import { DatabaseError, SqlState } from '../../engine/errors.js';
import { decodeErrorFields, errorFromFields, type ErrorFields } from '../protocol/backend/error.js';
import { FrameReader, type Frame } from '../protocol/frames.js';
import { encodeFlush } from '../protocol/frontend/control.js';
import { encodeQuery } from '../protocol/frontend/query.js';
import type { BackendConnection } from './connect.js';
import type { Keep } from './reusingSocket.js';

/** What a message sent to the read model is answered with. */
export type Expected = 'parse' | 'bind' | 'describe' | 'execute' | 'close' | 'sync' | 'query';

export interface Sink {
  /** A message that belongs to the expectation, completing ones included. */
  message(frame: Frame): void;
  error(fields: ErrorFields): void;
  /**
   * Where it is given, what only carries an answer comes here as the bytes that came, many messages at once. They change
   * after the call unless they are kept.
   */
  readonly pass?: (bytes: Buffer, keep: Keep) => void;
}

/** Messages that may come at any time and belong to no request. */
export type AsyncListener = (frame: Frame) => void;

/** What may wait for the read model to take it before the client is no longer read from. */
const SENT_BYTES = 1024 * 1024;
/** Type and length. */
const HEADER_BYTES = 5;
const MAX_BACKEND_MESSAGE = 300 * 1024 * 1024;
/** How long a request to cancel has until the next one. */
const FIRST_CANCEL_MS = 100;
/** From so many bytes on an answer is a long one; and so many are worth a write of their own. */
const LONG_BYTES = 64 * 1024;
const STRIDE_MS = 1;
const code = (letter: string): number => letter.charCodeAt(0);

/** The message types that end each expectation. */
const COMPLETES: Readonly<Record<Expected, ReadonlySet<number>>> = {
  parse: new Set([code('1')]),
  bind: new Set([code('2')]),
  close: new Set([code('3')]),
  describe: new Set([code('T'), code('n')]),
  execute: new Set([code('C'), code('I'), code('s')]),
  sync: new Set([code('Z')]),
  query: new Set([code('Z')]),
};
/** What a sink that passes takes without looking: completions, descriptions, rows, COPY out. */
const PASSED = new Set(Array.from('123CDHIcdnsTt', code));
const ASYNCHRONOUS = new Set([code('N'), code('S'), code('A')]);
const ERROR = code('E');
const DATA_ROW = code('D');

interface Expectation {
  readonly kind: Expected;
  readonly sink: Sink;
  /** The client has been told of an error already. */
  failed: boolean;
}

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: DatabaseError) => void;
}

const DISCARD: Sink = { message: () => undefined, error: () => undefined };

export class Relay {
  private queue: Expectation[] = [];
  private outgoing: Buffer[] = [];
  private waiters: Waiter[] = [];
  private readonly reader = new FrameReader({ mode: 'backend', maxMessageBytes: MAX_BACKEND_MESSAGE });
  private lost: DatabaseError | null = null;
  private farewell: string | undefined;
  /** An error was met and no Sync has answered it yet: the read model skips everything until one. */
  skipping = false;
  /** The chunk that is being read held what somebody waits for. */
  private woken = false;
  /** Bytes of the answer that has begun, so far. */
  private going = 0;
  private insisting: NodeJS.Timeout | undefined;
  /** Something was sent since the last Sync. */
  dirty = false;

  constructor(
    private readonly backend: BackendConnection,
    private readonly onAsync: AsyncListener,
    /**
     * Called after each chunk, unless it held what somebody waits for, who then goes on writing; a promise makes the
     * relay stop reading until it resolves.
     */
    private readonly onChunk: () => Promise<void> | null,
    /** Called once the connection has ended, by whichever side; with the SQLSTATE of what the read model said last. */
    private readonly onLost: (sqlstate: string | undefined) => void,
  ) {
    const { socket } = backend;
    backend.listen((bytes, keep) => this.receive(bytes, keep));
    socket.on('error', () => undefined);
    socket.on('close', () => this.fail());
    socket.resume();
  }

  get parameters(): ReadonlyMap<string, string> {
    return this.backend.parameters;
  }

  get isLost(): boolean {
    return this.lost !== null;
  }

  get busy(): boolean {
    return this.queue.length > 0;
  }

  /** @throws DatabaseError 08006 once the connection is lost */
  send(bytes: Buffer, kind: Expected, sink: Sink): void {
    if (this.lost !== null) throw this.lost;
    // The read model would drop it unanswered; the client is told nothing more until its Sync either.
    if (this.skipping && kind !== 'sync') return;
    this.queue.push({ kind, sink, failed: false });
    this.dirty = kind !== 'sync' && kind !== 'query';
    if (kind === 'sync') this.skipping = false;
    this.write(bytes);
  }

  /** Resolves once the read model has taken most of what was sent to it; null where it has. */
  get backlog(): Promise<void> | null {
    const { socket } = this;
    if (socket.writableLength <= SENT_BYTES) return null;
    return new Promise((resolve) => {
      const taken = (): void => {
        socket.off('drain', taken).off('close', taken);
        resolve();
      };
      socket.on('drain', taken).on('close', taken);
    });
  }

  /** Asks for everything that is due, without ending the implicit transaction. */
  flush(): void {
    if (this.lost === null) this.write(encodeFlush());
  }

  /** Resolves when every expectation is met, or dropped by an error or a lost connection. */
  idle(): Promise<void> {
    if (this.lost !== null) return Promise.reject(this.lost);
    if (this.queue.length === 0) return Promise.resolve();
    return new Promise((resolve, reject) => this.waiters.push({ resolve, reject }));
  }

  /** Runs a statement of ours and keeps its answer to itself. @throws DatabaseError */
  async run(sql: string): Promise<void> {
    let failure: DatabaseError | null = null;
    this.send(encodeQuery(sql), 'query', {
      message: () => undefined,
      error: (fields) => (failure = errorFromFields(fields)),
    });
    await this.idle();
    if (failure !== null) throw failure as DatabaseError;
  }

  /**
   * Cancels what runs. PostgreSQL drops a request to cancel that reaches it before the statement does, which may still
   * be on its way there; so it is asked again, less and less often, for as long as what ran then is not answered.
   */
  cancel(): void {
    clearTimeout(this.insisting);
    const { queue } = this;
    const ran = queue.find(({ kind }) => kind === 'sync' || kind === 'query') ?? queue.at(-1);
    if (ran !== undefined) this.insist(ran, FIRST_CANCEL_MS);
  }

  private insist(ran: Expectation, ms: number): void {
    if (this.lost !== null || !this.queue.includes(ran)) return;
    this.backend.cancel();
    this.insisting = setTimeout(() => this.insist(ran, ms * 2), ms).unref();
  }

  close(): void {
    clearTimeout(this.insisting);
    this.socket.end(Buffer.from([0x58, 0, 0, 0, 4]));
    this.socket.destroySoon();
  }

  /** Everything sent in one turn of the event loop goes out together: Bind, Execute and Sync are one write. */
  private write(bytes: Buffer): void {
    if (this.outgoing.length === 0) process.nextTick(() => this.writeOutgoing());
    this.outgoing.push(bytes);
  }

  private writeOutgoing(): void {
    const bytes = joined(this.outgoing);
    this.outgoing = [];
    if (this.lost === null) this.socket.write(bytes);
  }

  private get socket(): Socket {
    return this.backend.socket;
  }

  private receive(bytes: Buffer, keep: Keep): number {
    this.woken = false;
    let begun = 0;
    try {
      begun = this.read(bytes, keep);
    } catch {
      this.socket.destroy();
      return 0;
    }
    if (this.woken) return begun;
    const backlog = this.onChunk();
    if (backlog === null && !this.isLong(bytes.length)) return begun;
    this.socket.pause();
    const readOn = (): void => void this.socket.resume();
    if (backlog === null) setTimeout(readOn, STRIDE_MS).unref();
    else void backlog.then(readOn);
    return begun;
  }

  /**
   * PostgreSQL sends in pieces of 8 KB. In the midst of a long answer they are let gather for a moment, else each would
   * wake us, and the client, for itself.
   */
  private isLong(read: number): boolean {
    this.going = this.queue[0]?.sink.pass === undefined ? 0 : this.going + read;
    return this.going > LONG_BYTES && read < LONG_BYTES;
  }

  /** @returns how many of the last bytes are a message that has only begun, to be read as a whole next time */
  private read(bytes: Buffer, keep: Keep): number {
    const { reader } = this;
    let chunk = bytes;
    let at = 0;
    while (at < chunk.length) {
      if (reader.missing === 0) {
        const start = at;
        at = this.passRun(chunk, at, keep);
        if (isPart(chunk, at)) return chunk.length - at;
        // What follows may be somebody else's, who takes it unseen as well.
        if (at > start) continue;
      }
      // Frames are views of what they were read from, and whoever gets them may keep them.
      if (chunk === bytes) [chunk, at] = [Buffer.from(bytes.subarray(at)), 0];
      // No more of the chunk is copied than the message needs that began in the one before.
      const end = reader.missing > 0 ? at + reader.missing : at + messageBytes(chunk, at);
      reader.push(chunk.subarray(at, end));
      at = end;
      const frame = reader.next();
      if (frame !== null) this.dispatch(frame);
    }
    return 0;
  }

  /** Passes on the messages from `start` that need no looking at; returns where they end. */
  private passRun(chunk: Buffer, start: number, keep: Keep): number {
    const pass = this.queue[0]?.sink.pass;
    if (pass === undefined) return start;
    const last = chunk.length - HEADER_BYTES;
    let at = start;
    let isLast = false;
    while (at <= last) {
      const type = chunk[at] ?? 0;
      const end = at + messageBytes(chunk, at);
      if (end > chunk.length) break;
      // Of all that comes most is rows, and a row ends nothing.
      if (type !== DATA_ROW) {
        const front = this.queue[0];
        if (front?.sink.pass !== pass || !PASSED.has(type)) break;
        if (this.complete(front, type)) isLast = true;
      } else if (this.queue[0]?.sink.pass !== pass) break;
      at = end;
    }
    if (at > start) pass(at - start === chunk.length ? chunk : chunk.subarray(start, at), keep);
    if (isLast) this.wake();
    return at;
  }

  private dispatch(frame: Frame): void {
    if (ASYNCHRONOUS.has(frame.type)) {
      this.onAsync(frame);
      return;
    }
    const front = this.queue[0];
    if (front === undefined) {
      if (frame.type === ERROR) this.farewell = decodeErrorFields(frame.body).get('C');
      return;
    }
    if (frame.type === ERROR) {
      front.failed = true;
      front.sink.error(decodeErrorFields(frame.body));
      if (front.kind !== 'query' && front.kind !== 'sync') this.skipToSync();
      return;
    }
    const isLast = this.complete(front, frame.type);
    front.sink.message(frame);
    if (isLast) this.wake();
  }

  /** @returns true when that was the last that is due */
  private complete(front: Expectation, type: number): boolean {
    if (!COMPLETES[front.kind].has(type)) return false;
    this.queue.shift();
    this.going = 0;
    return this.queue.length === 0;
  }

  /** What was sent behind a failed message is skipped by the read model too. */
  private skipToSync(): void {
    const sync = this.queue.findIndex(({ kind }) => kind === 'sync');
    this.skipping = sync < 0;
    this.queue = sync < 0 ? [] : this.queue.slice(sync);
    if (this.queue.length === 0) this.wake();
  }

  private wake(): void {
    const { waiters } = this;
    if (waiters.length === 0) return;
    this.woken = true;
    this.waiters = [];
    for (const { resolve, reject } of waiters) {
      if (this.lost === null) resolve();
      else reject(this.lost);
    }
  }

  private fail(): void {
    this.lost = connectionLost();
    const front = this.queue[0];
    this.queue = [];
    if (front !== undefined && !front.failed && front.sink !== DISCARD) front.sink.error(lostFields());
    this.wake();
    this.onLost(this.farewell);
  }
}

/** Of the message that begins there; the reader is to judge a length that cannot be told or cannot be. */
function messageBytes(chunk: Buffer, at: number): number {
  if (chunk.length - at < HEADER_BYTES) return Infinity;
  const length = readLength(chunk, at + 1);
  return length < 4 || length > MAX_BACKEND_MESSAGE ? Infinity : 1 + length;
}

/** Nothing, or the beginning of a message that is small enough to wait for the rest where it lies. */
function isPart(chunk: Buffer, at: number): boolean {
  const size = messageBytes(chunk, at);
  const isWhole = at + size <= chunk.length;
  return !isWhole && (size <= LONG_BYTES || chunk.length - at < HEADER_BYTES);
}

/** As readUInt32BE, without its checks: it is called for every row. */
function readLength(chunk: Buffer, at: number): number {
  const high = ((chunk[at] ?? 0) << 8) | (chunk[at + 1] ?? 0);
  return high * 0x10000 + (((chunk[at + 2] ?? 0) << 8) | (chunk[at + 3] ?? 0));
}

/** One buffer of all; without copying where they lie behind each other already, as a client sent them. */
function joined(parts: readonly Buffer[]): Buffer {
  const [first] = parts;
  if (first === undefined) return Buffer.alloc(0);
  let end = first.byteOffset;
  for (const part of parts) {
    if (part.buffer !== first.buffer || part.byteOffset !== end) return Buffer.concat(parts);
    end += part.length;
  }
  return parts.length === 1 ? first : Buffer.from(first.buffer, first.byteOffset, end - first.byteOffset);
}

/** What every call throws once the connection is lost. */
export function isConnectionLost(error: unknown): boolean {
  return error instanceof DatabaseError && error.sqlstate === SqlState.connectionFailure;
}

function connectionLost(): DatabaseError {
  return new DatabaseError(SqlState.connectionFailure, 'the connection to the read model was lost', {
    hint: 'It is being restarted; nothing that was appended is lost. Retry the query.',
  });
}

/** What a client is told whose answer was lost with the connection. */
export function lostFields(): ErrorFields {
  const { sqlstate, message, hint } = connectionLost();
  return new Map([
    ['S', 'ERROR'],
    ['V', 'ERROR'],
    ['C', sqlstate],
    ['M', message],
    ['H', hint ?? ''],
  ]);
}
