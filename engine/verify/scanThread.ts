/** Scans a store in threads of their own: they use other cores, and leave this one to whoever reads and writes meanwhile. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { workerModule } from '../workerModule.js';
import type { Scanned } from './scan.js';
import type { FromScan, ScanJob, ToScan } from './scanMessages.js';

const ENTRY = workerModule(import.meta.url, 'engine/verify/scanWorker.js');
/** Fewer events are scanned sooner than a thread has started. */
const EVENTS_MIN = 20_000;
const THREADS_MAX = 8;

/** Half of the cores: the others are for the server's sessions and the read model. */
export function defaultScanThreads(events: number): number {
  if (events < EVENTS_MIN) return 0;
  return Math.min(THREADS_MAX, Math.floor(availableParallelism() / 2));
}

/** One thread with a store of its own to read. */
export class ScanThread {
  private readonly worker: Worker;
  private readonly waiting: { resolve: (reply: FromScan) => void; reject: (error: Error) => void }[] = [];
  private failure: Error | null = null;

  constructor(job: ScanJob) {
    this.worker = new Worker(ENTRY, { workerData: job, name: 'eventful verify' });
    this.worker.on('message', (reply: FromScan) => this.waiting.shift()?.resolve(reply));
    this.worker.on('error', (error: unknown) => {
      this.fail(error instanceof Error ? error : new Error(String(error)));
    });
    this.worker.once('exit', () => this.fail(new Error('a thread that verifies has ended')));
  }

  /** false when the store cannot be opened a second time. */
  async open(): Promise<boolean> {
    return (await this.reply()).kind === 'opened';
  }

  /** @param newest a position no younger than anything that was in the store when it was opened */
  async *scanned(newest: number): AsyncGenerator<readonly Scanned[]> {
    this.send({ kind: 'begin', newest });
    let ahead = this.next();
    for (let reply = await ahead; reply.kind === 'scanned'; reply = await ahead) {
      ahead = this.next();
      // Its failure counts once it is its turn.
      ahead.catch(() => undefined);
      yield reply.scanned;
    }
  }

  end(): void {
    this.send({ kind: 'end' });
  }

  private next(): Promise<FromScan> {
    this.send({ kind: 'next' });
    return this.reply();
  }

  private send(message: ToScan): void {
    this.worker.postMessage(message);
  }

  private reply(): Promise<FromScan> {
    if (this.failure !== null) return Promise.reject(this.failure);
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  }

  private fail(error: Error): void {
    this.failure ??= error;
    for (const { reject } of this.waiting.splice(0)) reject(this.failure);
  }
}
