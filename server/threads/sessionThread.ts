/** One session thread as the engine's thread knows it. */
import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads';
import { workerModule } from '../../engine/workerModule.js';
import type { Called } from './calls.js';
import { CallServer } from './callServer.js';
import type { Lent } from './lent.js';
import type { FromThread, News, ThreadData, ToThread } from './messages.js';

const ENTRY = workerModule(import.meta.url, 'server/threads/worker.js');

/** A connection that the thread serves. */
export interface Served {
  readonly lent: Lent;
  readonly onClose: () => void;
}

export interface ThreadEvents {
  message(message: FromThread): void;
  ended(reason: unknown): void;
}

export class SessionThread {
  readonly connections = new Map<number, Served>();
  readonly started = performance.now();
  private readonly worker: Worker;
  private readonly news: MessagePort;
  private readonly server: CallServer;
  private failure: unknown = null;
  private serving = false;
  /** Rejects when it ends before it can serve. */
  readonly ready: Promise<void>;

  constructor(
    readonly slot: number,
    data: Omit<ThreadData, 'news' | 'slot'>,
    called: Called,
    events: ThreadEvents,
  ) {
    const { port1, port2 } = new MessageChannel();
    this.news = port1;
    this.news.unref();
    const workerData: ThreadData = { ...data, slot, news: port2 };
    this.worker = new Worker(ENTRY, { workerData, transferList: [port2], name: `eventful sessions ${slot}` });
    this.server = new CallServer(called, (replies) => this.send({ kind: 'replies', replies }));
    this.ready = new Promise((resolve, reject) => {
      this.worker.on('message', (message: FromThread) => {
        if (message.kind === 'requests') this.server.handle(message.requests);
        else if (message.kind !== 'ready') events.message(message);
        else {
          this.serving = true;
          resolve();
        }
      });
      this.worker.on('error', (error: unknown) => (this.failure = error));
      this.worker.once('exit', (code) => {
        this.server.close();
        this.news.close();
        const reason = this.failure ?? new Error(`exit code ${code}`);
        events.ended(reason);
        reject(reason instanceof Error ? reason : new Error('a session thread failed', { cause: reason }));
      });
    });
    // Only the first threads are waited for.
    this.ready.catch(() => undefined);
  }

  get isReady(): boolean {
    return this.serving;
  }

  send(message: ToThread): void {
    this.worker.postMessage(message);
  }

  /** Puts a piece of news where the thread finds it; it looks there once the count has grown. */
  tell(news: News): void {
    this.news.postMessage(news);
  }

  async end(): Promise<void> {
    await this.worker.terminate();
  }
}
