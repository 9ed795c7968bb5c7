/**
 * Bounds how many connections the read model sees. A session takes one when it first needs it and gives it back after
 * a while of idleness, at once when others wait, unless it keeps state there (SET, LISTEN, cursors, …).
 */
import { DatabaseError, SqlState } from '../../engine/errors.js';

const WAIT_MS = 10_000;

/** A session that holds a connection. */
export interface Holder {
  /** Gives the connection back if nothing depends on it; tells whether it did. */
  giveBack(): boolean;
}

/** The places for connections; several pools, each on its thread, may share them. */
export interface Places {
  /** Takes a place; false when none is free. */
  take(): boolean;
  give(): void;
  /** None is free and nothing of ours is idle: those who share the places are asked for one. */
  ask(): void;
  /** Places that others give back are noticed by looking again after so long. */
  readonly lookAgainMs: number;
}

/** Places of one pool alone. */
export class OwnPlaces implements Places {
  readonly lookAgainMs = Infinity;
  private taken = 0;

  constructor(private readonly limit: number) {}

  take(): boolean {
    if (this.taken >= this.limit) return false;
    this.taken++;
    return true;
  }

  give(): void {
    this.taken--;
  }

  ask(): void {
    // There is nobody else.
  }
}

export class RelayPool {
  /** In the order of last use, longest ago first. */
  private readonly holders = new Set<Holder>();
  private readonly waiting: (() => void)[] = [];
  /** Another pool waits for a place and nothing here was idle yet. */
  private obliged = false;

  constructor(private readonly places: Places) {}

  get size(): number {
    return this.holders.size;
  }

  /**
   * Takes a place for a connection.
   * @throws DatabaseError 53300 when none is free within ten seconds, and the signal's reason when it aborts
   */
  async acquire(holder: Holder, signal?: AbortSignal): Promise<void> {
    const deadline = Date.now() + WAIT_MS;
    while (!this.places.take()) {
      if (this.evict()) continue;
      const left = deadline - Date.now();
      if (left <= 0)
        throw new DatabaseError(SqlState.tooManyConnections, 'too many sessions are reading at once', {
          hint: 'End transactions and LISTEN sessions that are not needed, or retry.',
        });
      this.places.ask();
      await this.wait(Math.min(left, this.places.lookAgainMs), signal);
      signal?.throwIfAborted();
    }
    this.holders.add(holder);
  }

  /** Marks the holder as the one used last. */
  touch(holder: Holder): void {
    if (this.holders.delete(holder)) this.holders.add(holder);
    if ((this.waiting.length > 0 || this.obliged) && holder.giveBack()) {
      this.obliged = false;
      this.release(holder);
    }
  }

  release(holder: Holder): void {
    if (!this.holders.delete(holder)) return;
    this.places.give();
    this.waiting.shift()?.();
  }

  /** Another pool waits: gives a place back, now or as soon as one is idle. */
  oblige(): void {
    this.obliged = !this.evict();
  }

  private evict(): boolean {
    for (const holder of this.holders) {
      if (!holder.giveBack()) continue;
      this.holders.delete(holder);
      this.places.give();
      return true;
    }
    return false;
  }

  private wait(ms: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', done);
        // One that gave up must not use up the next release.
        const index = this.waiting.indexOf(done);
        if (index >= 0) this.waiting.splice(index, 1);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal?.addEventListener('abort', done, { once: true });
      this.waiting.push(done);
    });
  }
}
