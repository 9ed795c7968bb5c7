import type { Appended } from '../../engine/commit/appended.js';
import { DatabaseError, SqlState } from '../../engine/errors.js';
import { viewsToFill } from '../../engine/schema/views.js';
import type { NewEvent, Schema, StateRow, Writer } from '../../engine/types.js';
import type { SessionEngine, SessionPreview } from '../ports.js';

/**
 * Events one transaction, COPY or INSERT … SELECT may hold until its commit, where each takes some 10 KB for a moment:
 * more would be refused by the size of the commit in the end, after having used all memory.
 */
export const MAX_PENDING_EVENTS = 250_000;
/** Characters of their values, of which a commit takes as many bytes. */
const MAX_PENDING_BYTES = 256 * 1024 * 1024;

/** What RETURNING tells of an append before its commit. */
export interface Shown {
  readonly version: boolean;
  readonly eventId: boolean;
}

interface Savepoint {
  readonly name: string;
  readonly events: number;
  readonly bytes: number;
  readonly portals: ReadonlySet<object>;
}

function sizeOf({ aggregateId, metadata, payload }: NewEvent): number {
  let size = aggregateId.length + (metadata?.length ?? 0);
  for (const field in payload) size += payload[field]?.length ?? 0;
  return size;
}

/**
 * The appends of one transaction, explicit (BEGIN) or implicit (up to Sync). Nothing reaches the store before commit;
 * until then a preview checks each statement and shows the transaction its own appends.
 */
export class Transaction {
  private events: NewEvent[] = [];
  private bytes = 0;
  private preview: SessionPreview | null = null;
  private savepoints: Savepoint[] = [];
  private closed = false;

  constructor(
    private readonly engine: SessionEngine,
    private readonly writer: () => Writer,
  ) {}

  get isEmpty(): boolean {
    return this.events.length === 0;
  }

  /** The materialized views that the commit will make and that are then to be filled. */
  get viewsToFill(): readonly string[] {
    // Views are only ever added under a preview.
    return this.preview === null ? [] : viewsToFill(this.events);
  }

  get size(): number {
    return this.events.length;
  }

  /** The schema with the transaction's own DDL. */
  schema(): Schema {
    return this.preview?.schema() ?? this.engine.schema();
  }

  /** Takes events without checking them yet: a single implicit append is checked by its commit alone. */
  defer(events: readonly NewEvent[]): void {
    if (this.preview !== null) throw new Error('a previewed transaction checks each statement');
    this.push(events);
  }

  get isPreviewed(): boolean {
    return this.preview !== null;
  }

  /**
   * Takes events after checking them against everything before.
   * @param shown what the client is shown of them, so that the commit must give the same
   */
  async add(events: readonly NewEvent[], shown: Shown | false): Promise<Appended[]> {
    await this.ensurePreview();
    const rows = (await this.preview?.add(events, this.writer())) ?? [];
    const kept = events.map((event, i): NewEvent => {
      const row = rows[i];
      if (shown === false || row === undefined || row.duplicate) return event;
      const pinned = shown.version && event.expected.kind === 'any';
      return {
        ...event,
        ...(shown.eventId ? { eventId: row.eventId } : {}),
        ...(pinned ? { expected: { kind: 'version', version: row.version - 1n } } : {}),
      };
    });
    this.push(kept);
    return rows;
  }

  /** What adding the events would answer; nothing of it is kept. @throws what `add` throws */
  async dryRun(events: readonly NewEvent[]): Promise<Appended[]> {
    const preview = await this.engine.preview();
    try {
      if (this.events.length > 0) await preview.add(this.events, this.writer());
      return await preview.add(events, this.writer());
    } finally {
      preview.close();
    }
  }

  /**
   * The answers of deferred events before their commit.
   * @param shown what the client is shown of any of them
   */
  async previewDeferred(shown: Shown): Promise<Appended[]> {
    const deferred = this.events;
    this.events = [];
    this.bytes = 0;
    return this.add(deferred, shown);
  }

  /** Aggregates of a type as this transaction has left them. */
  states(aggregateType: string): readonly StateRow[] {
    return this.preview?.states(aggregateType) ?? [];
  }

  commit(durable: boolean): Promise<Appended[]> {
    const { events } = this;
    this.discard();
    return events.length === 0
      ? Promise.resolve([])
      : this.engine.commitTransaction(events, this.writer(), { durable });
  }

  discard(): void {
    this.events = [];
    this.bytes = 0;
    this.dropPreview();
    this.savepoints = [];
  }

  /** The session has ended. */
  close(): void {
    this.closed = true;
    this.discard();
  }

  /** @param portals those that there are by now */
  savepoint(name: string, portals: ReadonlySet<object>): void {
    this.savepoints.push({ name, events: this.events.length, bytes: this.bytes, portals });
  }

  release(name: string): void {
    this.savepoints.splice(this.findSavepoint(name).index);
  }

  /** @returns the portals that there were at the savepoint */
  async rollbackTo(name: string): Promise<ReadonlySet<object>> {
    const { index, savepoint } = this.findSavepoint(name);
    const { events, bytes, portals } = savepoint;
    this.savepoints.splice(index + 1);
    if (events === this.events.length) return portals;
    this.events.length = events;
    this.bytes = bytes;
    this.dropPreview();
    if (events > 0) await this.ensurePreview();
    return portals;
  }

  private findSavepoint(name: string): { readonly index: number; readonly savepoint: Savepoint } {
    const index = this.savepoints.findLastIndex((savepoint) => savepoint.name === name);
    const savepoint = this.savepoints[index];
    if (savepoint === undefined)
      throw new DatabaseError(SqlState.invalidSavepoint, `savepoint "${name}" does not exist`);
    return { index, savepoint };
  }

  private async ensurePreview(): Promise<void> {
    if (this.preview !== null) return;
    const preview = await this.engine.preview();
    try {
      if (this.events.length > 0) await preview.add(this.events, this.writer());
      if (this.closed) throw new DatabaseError(SqlState.adminShutdown, 'the connection was closed');
    } catch (error) {
      preview.close();
      throw error;
    }
    this.preview = preview;
  }

  private dropPreview(): void {
    this.preview?.close();
    this.preview = null;
  }

  private push(events: readonly NewEvent[]): void {
    if (this.events.length + events.length > MAX_PENDING_EVENTS)
      throw new DatabaseError(
        SqlState.programLimitExceeded,
        `a transaction is limited to ${MAX_PENDING_EVENTS} events`,
      );
    for (const event of events) {
      this.bytes += sizeOf(event);
      if (this.bytes > MAX_PENDING_BYTES)
        throw new DatabaseError(SqlState.programLimitExceeded, 'the transaction is too large', {
          hint: 'Append in several transactions.',
        });
      this.events.push(event);
    }
  }
}
