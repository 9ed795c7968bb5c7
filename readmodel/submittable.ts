import type pg from 'pg';

/** What pg accepts as a query and lets write its own messages (its own types leave this out). `done` tells how it ended. */
export abstract class Submittable {
  readonly done: Promise<void>;
  private resolve: () => void = () => undefined;
  private reject: (error: Error) => void = () => undefined;
  private failure: Error | null = null;

  constructor() {
    this.done = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }

  abstract submit(connection: pg.Connection): void;

  handleError(error: Error): void {
    // ReadyForQuery follows, except after a lost connection.
    this.failure = error;
    this.reject(error);
  }
  handleReadyForQuery(): void {
    if (this.failure === null) this.resolve();
  }
  handleCommandComplete(): void {
    // The tag says what we know.
  }
}
