import { DatabaseError, SqlState } from '../engine/errors.js';

interface Waiter {
  readonly position: bigint;
  /** Called once; later calls do nothing. */
  readonly settle: (error?: Error) => void;
}

/** How long the read model may be out of order before those who wait for it are told. */
const PATIENCE_MS = 10_000;

/** Those who wait until a position was applied, in order of position. */
export class Waiters {
  private readonly queue: Waiter[] = [];
  private current: bigint;
  private failure: DatabaseError | null = null;
  private timer: NodeJS.Timeout | null = null;

  constructor(
    applied: bigint,
    private readonly patience = PATIENCE_MS,
    private readonly onChange: () => void = () => undefined,
  ) {
    this.current = applied;
  }

  get applied(): bigint {
    return this.current;
  }

  get isAwaited(): boolean {
    return this.queue.length > 0;
  }

  waitFor(position: bigint, signal?: AbortSignal): Promise<void> {
    if (position <= this.current) return Promise.resolve();
    if (this.failure !== null) return Promise.reject(this.failure);
    if (signal?.aborted === true) return Promise.reject(abortError(signal));
    return new Promise((resolve, reject) => {
      const onAbort = (): void => settle(abortError(signal));
      const settle = (error?: Error): void => {
        signal?.removeEventListener('abort', onAbort);
        if (error === undefined) resolve();
        else {
          const index = this.queue.indexOf(waiter);
          if (index >= 0) this.queue.splice(index, 1);
          reject(error);
        }
      };
      const waiter: Waiter = { position, settle };
      signal?.addEventListener('abort', onAbort, { once: true });
      // Positions mostly come in order: the search from the end is short.
      let index = this.queue.length;
      while (index > 0 && (this.queue[index - 1]?.position ?? 0n) > position) index -= 1;
      this.queue.splice(index, 0, waiter);
    });
  }

  /** From now on nothing counts as applied, until the next `advance`. */
  reset(): void {
    this.current = -1n;
    this.onChange();
  }

  advance(position: bigint): void {
    if (position > this.current) {
      this.current = position;
      this.onChange();
    }
    let count = 0;
    while (count < this.queue.length && (this.queue[count]?.position ?? 0n) <= position) count += 1;
    for (const waiter of this.queue.splice(0, count)) waiter.settle();
  }

  /** The read model does not work at the moment. Waiters are patient for a while; from then on all are refused. */
  failing(reason: string): void {
    this.timer ??= setTimeout(() => this.fail(unavailable(reason)), this.patience).unref();
  }

  /** Refuses everyone from now on, without patience. */
  fail(error: DatabaseError): void {
    this.failure = error;
    for (const waiter of this.queue.splice(0)) waiter.settle(error);
  }

  working(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.failure = null;
  }

  close(): void {
    this.working();
    this.fail(new DatabaseError(SqlState.adminShutdown, 'the read model is stopped'));
  }
}

function unavailable(reason: string): DatabaseError {
  return new DatabaseError(SqlState.cannotConnectNow, 'the read model is not available', {
    detail: reason,
    hint: "Appends, look-backs and SET eventful.read_consistency = 'eventual' do not wait for it. Try again later.",
  });
}

function abortError(signal: AbortSignal | undefined): DatabaseError {
  if (signal?.reason instanceof DatabaseError) return signal.reason;
  return new DatabaseError(SqlState.queryCanceled, 'canceling statement due to user request');
}
