/** The read model's side of a replication connection: one command at a time, or a stream. */
import { DatabaseError, SqlState } from '../../engine/errors.js';
import type { ReadModelConnection } from '../../readmodel/index.js';
import { decodeDataRow, encodeDataRow } from '../protocol/backend/row.js';
import { READY_FOR_QUERY, type TransactionStatus } from '../protocol/backend/status.js';
import { FrameReader, type Frame } from '../protocol/frames.js';
import { encodeQuery } from '../protocol/frontend/query.js';
import { connectBackend, type BackendConnection } from '../relay/connect.js';
import type { Output } from '../session/output.js';
import type { ChangeFilter } from './changes.js';
import { formatLsn, parseLsn } from './lsn.js';

const MAX_BACKEND_MESSAGE = 300 * 1024 * 1024;
const code = (letter: string): number => letter.charCodeAt(0);
const [ERROR, DATA_ROW, COPY_BOTH, COPY_DATA] = [code('E'), code('D'), code('W'), code('d')];

type MapRow = (frame: Frame) => Buffer;

/** Shows a row's WAL position as a subscriber sees it. */
export function moveColumn(index: number, lsnBase: bigint): MapRow {
  return (frame) => {
    const values = decodeDataRow(frame.body);
    const lsn = parseLsn(values[index]?.toString() ?? '');
    if (lsn !== null) values[index] = Buffer.from(formatLsn(lsn + lsnBase));
    return encodeDataRow(values);
  };
}

interface Running {
  readonly mapRow: MapRow | null;
  failed: boolean;
  /** True: it went well, or the stream has begun. */
  readonly done: (succeeded: boolean) => void;
  readonly lost: (error: DatabaseError) => void;
}

export class Walsender {
  onStreamEnd: () => void = () => undefined;
  onFailure: (error: unknown) => void = () => undefined;
  /** As the latest ReadyForQuery said. */
  status: TransactionStatus = 'I';
  private readonly reader = new FrameReader({ mode: 'backend', maxMessageBytes: MAX_BACKEND_MESSAGE });
  private running: Running | null = null;
  /** Through which every CopyData of a stream goes; null outside of one. */
  private filter: ChangeFilter | null = null;
  private streaming = false;
  private closed = false;

  private constructor(
    private readonly backend: BackendConnection,
    private readonly output: Output,
  ) {
    const { socket } = backend;
    // Frames are views of what came, and some are kept.
    backend.listen((bytes) => {
      this.receive(Buffer.from(bytes));
      return 0;
    });
    socket.on('error', () => undefined);
    socket.on('close', () => this.lose());
    socket.resume();
  }

  /** @throws pg's DatabaseError when PostgreSQL refuses */
  static async connect(
    target: ReadModelConnection,
    settings: ReadonlyMap<string, string>,
    output: Output,
  ): Promise<Walsender> {
    return new Walsender(await connectBackend(target, settings, 'database'), output);
  }

  get parameters(): ReadonlyMap<string, string> {
    return this.backend.parameters;
  }

  get isStreaming(): boolean {
    return this.streaming;
  }

  /** Runs a command and passes its answer on, but for ReadyForQuery. False when PostgreSQL answered with an error. */
  async run(text: string, mapRow: MapRow | null = null): Promise<boolean> {
    return new Promise((done, lost) => {
      this.running = { mapRow, failed: false, done, lost };
      void this.send(encodeQuery(text));
    });
  }

  /** Starts a stream; its ReadyForQuery is passed on when it ends. False when it did not start. */
  async stream(text: string, filter: ChangeFilter): Promise<boolean> {
    this.filter = filter;
    return this.run(text);
  }

  /** Resolves when PostgreSQL takes more. */
  async send(bytes: Buffer): Promise<void> {
    const { socket } = this.backend;
    if (this.closed || socket.write(bytes)) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        socket.off('drain', done);
        socket.off('close', done);
        resolve();
      };
      socket.on('drain', done);
      socket.on('close', done);
    });
  }

  cancel(): void {
    if (this.running !== null || this.streaming) this.backend.cancel();
  }

  close(): void {
    this.closed = true;
    this.running?.lost(lostError());
    this.running = null;
    // At once: PostgreSQL's own shutdown waits for walsenders that have a reader.
    this.backend.socket.destroy();
  }

  private receive(chunk: Buffer): void {
    this.reader.push(chunk);
    try {
      for (let frame = this.reader.next(); frame !== null && !this.closed; frame = this.reader.next())
        this.dispatch(frame);
    } catch (error) {
      this.onFailure(error);
      return;
    }
    this.output.flush();
    const { backlog } = this.output;
    if (backlog === null) return;
    const { socket } = this.backend;
    socket.pause();
    void backlog.then(() => socket.resume());
  }

  private dispatch(frame: Frame): void {
    const { running } = this;
    if (frame.type === READY_FOR_QUERY) {
      this.ready(frame);
      return;
    }
    if (frame.type === COPY_DATA && this.filter !== null) {
      for (const message of this.filter.pass(frame.body, frame.raw)) this.output.write(message);
      return;
    }
    if (frame.type === ERROR && running !== null) running.failed = true;
    if (frame.type === DATA_ROW && running !== null && running.mapRow !== null) {
      this.output.write(running.mapRow(frame));
      return;
    }
    this.output.write(frame.raw);
    if (frame.type === COPY_BOTH && running !== null) {
      this.streaming = true;
      this.running = null;
      running.done(true);
    }
  }

  private ready(frame: Frame): void {
    this.status = String.fromCharCode(frame.body[0] ?? 0x49) as TransactionStatus;
    this.filter = null;
    const { running } = this;
    this.running = null;
    if (this.streaming) {
      this.streaming = false;
      this.onStreamEnd();
      this.output.write(frame.raw);
    } else running?.done(!running.failed);
  }

  private lose(): void {
    if (this.closed) return;
    this.closed = true;
    const error = lostError();
    this.running?.lost(error);
    this.running = null;
    this.onFailure(error);
  }
}

function lostError(): DatabaseError {
  return new DatabaseError(SqlState.connectionFailure, 'the connection to the read model was lost', {
    hint: 'It is being restarted. A subscriber connects again by itself and goes on.',
  });
}
