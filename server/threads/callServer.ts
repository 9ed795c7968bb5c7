/** Runs the calls of one session thread on the engine's. */
import { DatabaseError, SqlState } from '../../engine/errors.js';
import { engineCalls, engineStreams, type Called, type EngineCalls, type Preview } from './calls.js';
import { fromPlain, toPlain } from './errors.js';
import type { Reply, Request } from './messages.js';

type Call = (signal: AbortSignal, ...args: readonly unknown[]) => unknown;
type Stream = (signal: AbortSignal, ...args: readonly unknown[]) => AsyncIterable<unknown>;

/** Calls that look at their signal; for the others it is not worth making one. */
const ABORTABLE: ReadonlySet<string> = new Set(['waitFor', 'verify', 'past'] satisfies (keyof EngineCalls)[]);
const NEVER = new AbortController().signal;

interface OpenStream {
  readonly iterator: AsyncIterator<unknown>;
  readonly controller: AbortController;
}

export class CallServer {
  private readonly calls: Readonly<Record<string, unknown>>;
  private readonly streams: Readonly<Record<string, unknown>>;
  private readonly previews = new Map<number, Preview>();
  private readonly running = new Map<number, AbortController>();
  private readonly open = new Map<number, OpenStream>();
  private replies: Reply[] = [];

  constructor(
    called: Called,
    /** Answers of one turn of the event loop. */
    private readonly send: (replies: readonly Reply[]) => void,
  ) {
    this.calls = engineCalls(called, this.previews);
    this.streams = engineStreams(called);
  }

  handle(requests: readonly Request[]): void {
    for (const request of requests) {
      const [op, id] = request;
      switch (op) {
        case 'call':
          void this.call(id, request[2], request.slice(3));
          break;
        case 'open':
          void this.openStream(id, request[2], request.slice(3));
          break;
        case 'next':
          void this.next(id);
          break;
        case 'end':
          this.end(id);
          break;
        case 'abort': {
          const controller = this.running.get(id) ?? this.open.get(id)?.controller;
          controller?.abort(fromPlain(request[2]));
        }
      }
    }
  }

  /** The thread has ended: nobody waits for any of it. */
  close(): void {
    const reason = new DatabaseError(SqlState.adminShutdown, 'the session thread has ended');
    for (const controller of this.running.values()) controller.abort(reason);
    for (const [id, { controller }] of this.open) {
      controller.abort(reason);
      this.end(id);
    }
    this.previews.clear();
  }

  private async call(id: number, name: string, args: readonly unknown[]): Promise<void> {
    const controller = ABORTABLE.has(name) ? new AbortController() : null;
    if (controller !== null) this.running.set(id, controller);
    try {
      this.reply([id, await (this.calls[name] as Call)(controller?.signal ?? NEVER, ...args)]);
    } catch (error) {
      this.reply([id, null, toPlain(error)]);
    } finally {
      this.running.delete(id);
    }
  }

  private async openStream(id: number, name: string, args: readonly unknown[]): Promise<void> {
    const controller = new AbortController();
    const batches = (this.streams[name] as Stream)(controller.signal, ...args);
    this.open.set(id, { iterator: batches[Symbol.asyncIterator](), controller });
    await this.next(id);
  }

  private async next(id: number): Promise<void> {
    const stream = this.open.get(id);
    if (stream === undefined) return;
    try {
      const result: IteratorResult<unknown, unknown> = await stream.iterator.next();
      const done = result.done === true;
      if (done) this.open.delete(id);
      this.reply([id, { done, value: done ? undefined : result.value }]);
    } catch (error) {
      this.open.delete(id);
      this.reply([id, null, toPlain(error)]);
    }
  }

  private end(id: number): void {
    const stream = this.open.get(id);
    if (stream === undefined) return;
    this.open.delete(id);
    // Behind a batch that is still being read.
    stream.iterator.return?.().catch(() => undefined);
  }

  private reply(reply: Reply): void {
    this.replies.push(reply);
    if (this.replies.length > 1) return;
    setImmediate(() => {
      const { replies } = this;
      this.replies = [];
      this.send(replies);
    });
  }
}
