import { isInternalType } from '../catalogue.js';
import { toStateRow } from '../rows.js';
import type { NewEvent, Schema, StateRow, Writer } from '../types.js';
import { appendedOf, type Appended } from './appended.js';
import { headName, type Group, type Known } from './stage.js';

type Prefetch = (
  events: readonly NewEvent[],
  writer: Writer,
) => Promise<Known & { requireReadable(event: NewEvent): void }>;

/**
 * The appends of a transaction before COMMIT, checked one statement at a time and visible only to it. Positions, times
 * and hashes are not final; versions are, as long as nobody else appends to the same aggregates.
 */
export class Preview {
  constructor(
    private readonly group: Group,
    private readonly prefetch: Prefetch,
  ) {}

  /** @throws what CommitLoop.append throws, leaving the preview as it was */
  async add(events: readonly NewEvent[], writer: Writer): Promise<Appended[]> {
    const known = await this.prefetch(events, writer);
    for (const event of events) known.requireReadable(event);
    this.group.learn(known);
    return (await this.group.add(events, writer)).map(appendedOf);
  }

  /** The schema as the transaction sees it. */
  schema(): Schema {
    return this.group.catalogue.schema;
  }

  /** The aggregates of a type that the transaction has changed, as it left them. */
  states(aggregateType: string): StateRow[] {
    return [...this.group.heads.values()]
      .filter((head) => head.type === aggregateType && !isInternalType(head.type))
      .map(toStateRow);
  }

  /** The aggregates these events changed, as the transaction has left them. */
  changedBy(events: readonly NewEvent[]): StateRow[] {
    const names = new Set(events.map((event) => headName(event.aggregateType, event.aggregateId)));
    return [...names].flatMap((name) => {
      const head = this.group.heads.get(name);
      return head === undefined || isInternalType(head.type) ? [] : [toStateRow(head)];
    });
  }

  /** Nothing is held that memory management would not free; a stand-in on another thread has more to do. */
  close(): void {
    // See above.
  }
}
