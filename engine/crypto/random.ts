import { randomFillSync } from 'node:crypto';

const POOL_BYTES = 16 * 1024;

/** Random bytes drawn from the system in large pieces: a call per event costs more than all its hashing. */
class RandomPool {
  private pool = Buffer.alloc(0);
  private used = 0;

  /** `size` fresh bytes that are never handed out again. */
  take(size: number): Buffer {
    if (this.used + size > this.pool.length) {
      // A new buffer each time: what was handed out before is a view of the old one.
      this.pool = randomFillSync(Buffer.allocUnsafeSlow(Math.max(POOL_BYTES, size)));
      this.used = 0;
    }
    this.used += size;
    return this.pool.subarray(this.used - size, this.used);
  }
}

export const randomPool = new RandomPool();
