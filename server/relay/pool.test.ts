import { describe, expect, it, vi } from 'vitest';
import { OwnPlaces, RelayPool, type Holder } from './pool.js';

class TestHolder implements Holder {
  given = 0;
  constructor(public idle: boolean) {}

  giveBack(): boolean {
    if (this.idle) this.given++;
    return this.idle;
  }
}

describe('RelayPool', () => {
  it('gives places up to its limit, then takes back the one idle longest', async () => {
    const pool = new RelayPool(new OwnPlaces(2));
    const [a, b, c] = [new TestHolder(true), new TestHolder(true), new TestHolder(true)];
    await pool.acquire(a);
    await pool.acquire(b);
    pool.touch(a);
    await pool.acquire(c);
    expect([a.given, b.given, c.given]).toEqual([0, 1, 0]);
    expect(pool.size).toBe(2);
  });

  it('waits while everybody is busy, until one is done', async () => {
    const pool = new RelayPool(new OwnPlaces(1));
    const busy = new TestHolder(false);
    await pool.acquire(busy);
    let got = false;
    const waiting = pool.acquire(new TestHolder(true)).then(() => (got = true));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(got).toBe(false);
    busy.idle = true;
    pool.touch(busy);
    await waiting;
    expect(busy.given).toBe(1);
    expect(pool.size).toBe(1);
  });

  it('tells the client when none is free for ten seconds', async () => {
    vi.useFakeTimers();
    try {
      const pool = new RelayPool(new OwnPlaces(1));
      await pool.acquire(new TestHolder(false));
      const refused = expect(pool.acquire(new TestHolder(true))).rejects.toMatchObject({ sqlstate: '53300' });
      await vi.advanceTimersByTimeAsync(10_001);
      await refused;
    } finally {
      vi.useRealTimers();
    }
  });
});
