/** As long as a session may have to wait for its turn. */
const SLICE_MS = 5;
/** The clock is looked at once in so many events, which take some 20 µs each. */
const EVENTS_PER_LOOK = 32;

/**
 * A large transaction keeps the thread busy for seconds. Whoever works on one asks for each event whether the slice of
 * time is over, and if so lets the event loop go round, so that everybody else is served meanwhile.
 */
export class TimeSlice {
  private events = 0;
  private until = performance.now() + SLICE_MS;

  get isOver(): boolean {
    return ++this.events % EVENTS_PER_LOOK === 0 && performance.now() > this.until;
  }

  /** Resolves when it is this work's turn again. */
  async next(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.until = performance.now() + SLICE_MS;
  }
}
