/** Where the time of a run goes: laps by name, and what lies between them. */

export interface Lap {
  readonly name: string;
  readonly seconds: number;
}

export class Stopwatch {
  private readonly taken: Lap[] = [];

  /** @param clock milliseconds */
  constructor(private readonly clock: () => number = () => performance.now()) {}

  /** Times `work`, whatever becomes of it. A lap within another is its own and not the outer one's. */
  async lap<T>(name: string, work: () => Promise<T>): Promise<T> {
    const started = this.clock();
    const before = this.total();
    try {
      return await work();
    } finally {
      const within = this.total() - before;
      this.taken.push({ name, seconds: (this.clock() - started) / 1000 - within });
    }
  }

  get laps(): readonly Lap[] {
    return this.taken;
  }

  private total(): number {
    return this.taken.reduce((sum, { seconds }) => sum + seconds, 0);
  }
}
