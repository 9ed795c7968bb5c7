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

export class RelayPool {
  /** In the order of last use, longest ago first. */
  private readonly holders = new Set<Holder>();
  private readonly waiting: (() => void)[] = [];

  constructor(private readonly limit: number) {}

  get size(): number {
    return this.holders.size;
  }

  /** Takes a place for a connection. @throws DatabaseError 53300 when none is free within ten seconds */
  async acquire(holder: Holder): Promise<void> {
    const deadline = Date.now() + WAIT_MS;
    while (this.holders.size >= this.limit && !this.evict()) {
      const left = deadline - Date.now();
      if (left <= 0)
        throw new DatabaseError(SqlState.tooManyConnections, 'too many sessions are reading at once', {
          hint: 'End transactions and LISTEN sessions that are not needed, or retry.',
        });
      await this.wait(left);
    }
    this.holders.add(holder);
  }

  /** Marks the holder as the one used last. */
  touch(holder: Holder): void {
    if (this.holders.delete(holder)) this.holders.add(holder);
    if (this.waiting.length > 0 && holder.giveBack()) this.release(holder);
  }

  release(holder: Holder): void {
    if (this.holders.delete(holder)) this.waiting.shift()?.();
  }

  private evict(): boolean {
    for (const holder of this.holders) {
      if (!holder.giveBack()) continue;
      this.holders.delete(holder);
      return true;
    }
    return false;
  }

  private wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.waiting.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}
