/** Makes calls to the engine's thread from a session thread. Those of one turn of the event loop go together. */
import type { EngineCalls, EngineStreams } from './calls.js';
import { fromPlain, toPlain } from './errors.js';
import type { Reply, Request } from './messages.js';

type Rest<F> = F extends (signal: AbortSignal, ...args: infer A) => unknown ? A : [];
type Result<F> = F extends (...args: never[]) => infer R ? Awaited<R> : never;
type Item<F> = F extends (...args: never[]) => AsyncIterable<infer T> ? T : never;

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

interface Batch {
  readonly done: boolean;
  readonly value: unknown;
}

export class CallClient {
  private readonly pending = new Map<number, Pending>();
  private requests: Request[] = [];
  private lastId = 0;

  constructor(private readonly send: (requests: readonly Request[]) => void) {}

  receive(replies: readonly Reply[]): void {
    for (const reply of replies) {
      const [id, value] = reply;
      const pending = this.pending.get(id);
      this.pending.delete(id);
      if (reply.length === 3) pending?.reject(fromPlain(reply[2]));
      else pending?.resolve(value);
    }
  }

  call<K extends keyof EngineCalls>(
    name: K,
    args: Rest<EngineCalls[K]>,
    signal?: AbortSignal,
  ): Promise<Result<EngineCalls[K]>> {
    const id = ++this.lastId;
    const answer = this.ask(['call', id, name, ...args]) as Promise<Result<EngineCalls[K]>>;
    return signal === undefined ? answer : this.abortable(id, answer, signal);
  }

  /** A call whose answer nobody needs. */
  tell<K extends keyof EngineCalls>(name: K, args: Rest<EngineCalls[K]>): void {
    this.post(['call', ++this.lastId, name, ...args]);
  }

  async *stream<K extends keyof EngineStreams>(
    name: K,
    args: Rest<EngineStreams[K]>,
    signal?: AbortSignal,
  ): AsyncGenerator<Item<EngineStreams[K]>> {
    const id = ++this.lastId;
    let request: Request = ['open', id, name, ...args];
    let finished = false;
    try {
      for (;;) {
        const asked = this.ask(request) as Promise<Batch>;
        const batch = await (signal === undefined ? asked : this.abortable(id, asked, signal));
        if (batch.done) {
          finished = true;
          return;
        }
        yield batch.value as Item<EngineStreams[K]>;
        request = ['next', id];
      }
    } catch (error) {
      finished = true;
      throw error;
    } finally {
      if (!finished) this.post(['end', id]);
    }
  }

  private ask(request: Request): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.pending.set(request[1], { resolve, reject });
      this.post(request);
    });
  }

  private async abortable<T>(id: number, answer: Promise<T>, signal: AbortSignal): Promise<T> {
    const abort = (): void => this.post(['abort', id, toPlain(signal.reason)]);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    try {
      return await answer;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  private post(request: Request): void {
    this.requests.push(request);
    if (this.requests.length > 1) return;
    setImmediate(() => {
      const { requests } = this;
      this.requests = [];
      this.send(requests);
    });
  }
}
