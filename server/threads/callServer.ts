/** Runs the calls of one session thread on the engine's. */
import { DatabaseError, SqlState } from '../../engine/errors.js';
import { engineCalls, engineStreams, type Called, type Preview } from './calls.js';
import { fromPlain, toPlain } from './errors.js';
import type { Reply, Request } from './messages.js';

type Call = (signal: AbortSignal, ...args: readonly unknown[]) => unknown;
type Stream = (signal: AbortSignal, ...args: readonly unknown[]) => AsyncIterable<unknown>;

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
      switch (request.op) {
        case 'call':
          void this.call(request.id, request.name, request.args);
          break;
        case 'open':
          void this.openStream(request.id, request.name, request.args);
          break;
        case 'next':
          void this.next(request.id);
          break;
        case 'end':
          this.end(request.id);
          break;
        case 'abort': {
          const controller = this.running.get(request.id) ?? this.open.get(request.id)?.controller;
          controller?.abort(fromPlain(request.reason));
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
    const controller = new AbortController();
    this.running.set(id, controller);
    try {
      this.reply({ id, value: await (this.calls[name] as Call)(controller.signal, ...args) });
    } catch (error) {
      this.reply({ id, error: toPlain(error) });
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
      this.reply({ id, value: { done, value: done ? undefined : result.value } });
    } catch (error) {
      this.open.delete(id);
      this.reply({ id, error: toPlain(error) });
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
