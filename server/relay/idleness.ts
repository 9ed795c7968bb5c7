/** Notices that something was not used for a while. One timer for many uses: what each costs is a look at the clock. */
export class Idleness {
  private timer: NodeJS.Timeout | null = null;
  /** By the clock of `performance`. */
  private usedAt = 0;

  constructor(
    private readonly ms: number,
    /** Called once so many milliseconds after the last use. */
    private readonly onIdle: () => void,
  ) {}

  /** It was used just now. */
  used(): void {
    this.usedAt = performance.now();
    if (this.timer === null) this.lookAfter(this.ms);
  }

  close(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }

  private lookAfter(ms: number): void {
    this.timer = setTimeout(() => {
      const left = this.usedAt + this.ms - performance.now();
      this.timer = null;
      if (left > 0) this.lookAfter(left);
      else this.onIdle();
    }, ms).unref();
  }
}
