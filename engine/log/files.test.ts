import { describe, expect, test } from 'vitest';
import { SyncPace } from './files.js';

/** A disk whose syncs take this long; tells where each was made. */
class Disk {
  ms = 0;
  #clock = 0;
  readonly #pace = new SyncPace(() => this.#clock);

  sync(): 'direct' | 'away' {
    let made: 'direct' | 'away' = 'direct';
    const done = this.#pace.sync(
      () => {
        this.#clock += this.ms;
      },
      () => {
        made = 'away';
        return Promise.resolve();
      },
    );
    expect(done === null).toBe(made === 'direct');
    return made;
  }

  /** Direct syncs among the next n. */
  direct(n: number): number {
    let count = 0;
    for (let i = 0; i < n; i++) if (this.sync() === 'direct') count += 1;
    return count;
  }
}

describe('where a sync is made', () => {
  test('directly while the disk is quick', () => {
    expect(new Disk().direct(100)).toBe(100);
  });

  test('elsewhere for a moment after one hiccup', () => {
    const disk = new Disk();
    disk.ms = 2;
    expect(disk.sync()).toBe('direct');
    disk.ms = 0;
    expect(disk.sync()).toBe('away');
    expect(disk.direct(100)).toBeGreaterThan(90);
  });

  test('hardly ever directly on a slow disk, directly again once it is quick', () => {
    const disk = new Disk();
    disk.ms = 2;
    expect(disk.direct(5000)).toBeLessThan(20);
    disk.ms = 0;
    expect(disk.direct(5000)).toBeGreaterThan(3000);
  });
});
