import type { CommitLog } from './log/log.js';
import type { Store } from './store/store.js';

/** Lets segments of the log be reused once the store has their groups in table files. */
export class SegmentRelease {
  private releasing: Promise<void> = Promise.resolve();
  /** The last group of a full segment that is not released yet. */
  private fullThrough: bigint | null = null;

  constructor(
    private readonly log: CommitLog,
    private readonly store: Store,
    private readonly onError: (error: unknown) => void,
  ) {
    log.onSegmentFull = (lastSequence) => {
      this.fullThrough = lastSequence;
    };
  }

  /** The store was given everything up to this group. */
  committed(sequence: bigint): void {
    const through = this.fullThrough;
    if (through === null || sequence < through) return;
    this.fullThrough = null;
    this.releasing = this.releasing
      .then(async () => {
        await this.store.flush();
        await this.log.release(through);
      })
      .catch(this.onError);
  }

  /** Resolves once nothing is being released. */
  async idle(): Promise<void> {
    await this.releasing;
  }
}
