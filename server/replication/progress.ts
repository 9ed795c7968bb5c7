import type { SessionReplication } from '../ports.js';

/** A busy subscriber reports many times a second. */
const TELL_MS = 500;

/** Tells the keeper of the slots how far a subscriber is, now and then. */
export class Progress {
  private latest: bigint | null = null;
  private timer: NodeJS.Timeout | null = null;

  constructor(
    private readonly replication: SessionReplication,
    private readonly slot: string,
    private readonly incarnation: string,
  ) {}

  flushed(lsn: bigint): void {
    this.latest = lsn;
    this.timer ??= setTimeout(() => this.tell(), TELL_MS).unref();
  }

  tell(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    const { latest } = this;
    this.latest = null;
    // Not known, it is only sent again.
    if (latest !== null) this.replication.flushed(this.slot, this.incarnation, latest).catch(() => undefined);
  }
}
