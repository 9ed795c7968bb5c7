import type { Sink } from '../relay/relay.js';
import { NOWHERE, type Prepared } from './prepared.js';

interface Change {
  /** null: the client does not know of it. */
  readonly name: string | null;
  readonly before: Prepared | undefined;
  /** null: the name was given up. */
  readonly after: Prepared | null;
  /** It was refused, not only skipped behind something that was. */
  hasFailed: boolean;
}

/**
 * Statements that were prepared or closed by messages which the read model has not answered yet. It skips what stands
 * behind an error, so at the end of a Sync what it has not confirmed is undone.
 */
export class Unconfirmed {
  private readonly changes = new Set<Change>();

  constructor(private readonly prepared: Map<string, Prepared>) {}

  /** @returns the sink of its Parse */
  parse(after: Prepared, isVisible: boolean, sink: Sink): Sink {
    const before = isVisible ? this.prepared.get(after.name) : undefined;
    return this.confirming({ name: isVisible ? after.name : null, before, after, hasFailed: false }, sink);
  }

  /** @returns the sink of the Close */
  close(name: string, before: Prepared | undefined, sink: Sink): Sink {
    return this.confirming({ name, before, after: null, hasFailed: false }, sink);
  }

  /** All answers up to a Sync are there. */
  settle(): void {
    if (this.changes.size === 0) return;
    for (const { name, before, after, hasFailed } of [...this.changes].reverse()) {
      if (after !== null) after.generation = NOWHERE;
      if (name === null || (this.prepared.get(name) ?? null) !== after) continue;
      // An unnamed statement goes when the next one comes, however that ends.
      if (before === undefined || hasFailed) this.prepared.delete(name);
      else this.prepared.set(name, before);
    }
    this.changes.clear();
  }

  private confirming(change: Change, sink: Sink): Sink {
    this.changes.add(change);
    return {
      message: (frame) => {
        this.changes.delete(change);
        sink.message(frame);
      },
      error: (fields) => {
        change.hasFailed = true;
        sink.error(fields);
      },
    };
  }
}
