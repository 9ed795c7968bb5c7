/**
 * The commit loop: the one place where the store changes. It takes everything that is waiting, checks and numbers it,
 * appends one group to the commit log, syncs once, and answers all; the same bytes go to the store in the background.
 * While one group is on its way to disk the next one gathers, which is what makes many writers cheap.
 */
import type { Catalogue } from '../catalogue.js';
import { SCHEMA_TYPE, isInternalType } from '../catalogue.js';
import { encodeGroup, groupBytes, type Progress } from '../codec/records.js';
import { DatabaseError, SqlState } from '../errors.js';
import type { CommitLog } from '../log/log.js';
import { toStateRow } from '../rows.js';
import type { Head, Placed, Repository } from '../repository.js';
import type { CommittedGroup, NewEvent, Writer } from '../types.js';
import { encodeGroupEntries } from './encode.js';
import { Heads } from './heads.js';
import { Prefetched, type Place } from './prefetch.js';
import { Preview } from './preview.js';
import { announcementOf, appendedOf, type Appended } from './appended.js';
import { Group, headName, randomUuid, type Existing, type Staged } from './stage.js';
import { TimeSlice } from './timeSlice.js';

/** Events that one group may gather; a single larger request still goes through alone. */
const GROUP_EVENTS_MAX = 8192;

interface Waiting {
  readonly events: readonly NewEvent[];
  readonly writer: Writer;
  readonly durable: boolean;
  readonly resolve: (rows: Appended[]) => void;
  readonly reject: (error: unknown) => void;
}

class GroupTooLarge extends DatabaseError {
  constructor() {
    super(SqlState.programLimitExceeded, 'the transaction is too large', {
      hint: 'Append in several transactions.',
    });
  }
}

export interface LoopState {
  catalogue: Catalogue;
  progress: Progress;
}

/** Microseconds since 1970. */
export type Clock = () => number;

export class CommitLoop {
  private readonly waiting: Waiting[] = [];
  private readonly heads: Heads;
  private running: Promise<void> | null = null;
  /** The last group was one request's, and a turn of the event loop has gone by since: the next need not wait for more. */
  private alone = false;
  private failure: DatabaseError | null = null;
  private closed = false;

  constructor(
    private readonly repository: Repository,
    private readonly log: CommitLog,
    readonly state: LoopState,
    private readonly clock: Clock,
    private readonly onCommit: (group: CommittedGroup) => void,
  ) {
    this.heads = new Heads(repository, () => state.catalogue);
  }

  /**
   * Appends events as one unit: all are on disk when this resolves, or none is kept.
   * @param durable false: answer before the sync (`eventful.synchronous_commit = off`)
   * @throws DatabaseError 40001, 23505, 42P01, 42703, 42704, 22P02, 53400, 58030
   */
  append(
    events: readonly NewEvent[],
    writer: Writer,
    { durable = true }: { readonly durable?: boolean } = {},
  ): Promise<Appended[]> {
    if (this.closed) return Promise.reject(new DatabaseError(SqlState.adminShutdown, 'the store is closing'));
    return new Promise((resolve, reject) => {
      this.waiting.push({ events, writer, durable, resolve, reject });
      this.running ??= this.run();
    });
  }

  private readonly drawId = (position: number, recordedAt: number): Buffer =>
    this.repository.eventIds.draw(position, recordedAt);

  /** What readers see of an aggregate as of the last commit, if it is in memory. */
  known(type: string, id: string): Placed | undefined {
    return this.heads.known(type, id);
  }

  /** The head of an aggregate as of the last commit. */
  head(type: string, id: string): Promise<Head | null> {
    return this.heads.get(type, id);
  }

  /** Resolves once everything committed so far is on disk, also what was appended without waiting for that. */
  synced(): Promise<void> {
    return this.log.sync();
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.running;
  }

  /** A group of its own that is never written: what a transaction's statements are checked against before COMMIT. */
  async preview(): Promise<Preview> {
    const { catalogue, progress } = this.state;
    const recordedAt = Math.max(this.clock(), progress.recordedAt);
    const known = await this.prefetch([]);
    // Its positions are not final, so neither would be an id drawn from them.
    const group = new Group(catalogue, known, progress.position, recordedAt, randomUuid);
    return new Preview(group, (events, writer) => this.prefetch([{ events, writer }]));
  }

  private async run(): Promise<void> {
    // One turn of the event loop lets everything that arrived together join the first group.
    if (!this.alone) await new Promise((resolve) => setImmediate(resolve));
    this.alone = false;
    let largest = 0;
    while (this.waiting.length > 0) {
      const batch = this.take();
      largest = Math.max(largest, batch.length);
      try {
        await this.commit(batch);
      } catch (error) {
        await this.refuse(batch, error);
      }
    }
    this.running = null;
    // Whoever comes in this very turn of the event loop is not alone.
    if (largest === 1) setImmediate(() => (this.alone = this.running === null));
  }

  /** Requests that together are too large for one group go each by itself. */
  private async refuse(batch: readonly Waiting[], error: unknown): Promise<void> {
    if (!(error instanceof GroupTooLarge) || batch.length === 1) {
      for (const { reject } of batch) reject(error);
      return;
    }
    for (const request of batch)
      await this.commit([request]).catch((reason: unknown) => request.reject(reason));
  }

  private take(): Waiting[] {
    let events = 0;
    let n = 0;
    for (const request of this.waiting) {
      if (n > 0 && events + request.events.length > GROUP_EVENTS_MAX) break;
      events += request.events.length;
      n++;
    }
    return this.waiting.splice(0, n);
  }

  private async commit(batch: readonly Waiting[]): Promise<void> {
    if (this.failure !== null) throw this.failure;
    const { store } = this.repository;
    if (!store.hasRoom) await store.room().catch((error: unknown) => this.fail(error));
    const known = await this.prefetch(batch);
    const { progress } = this.state;
    const recordedAt = Math.max(this.clock(), progress.recordedAt);
    const group = new Group(this.state.catalogue, known, progress.position, recordedAt, this.drawId);
    const slice = new TimeSlice();
    const accepted: { request: Waiting; answers: (Staged | Existing)[] }[] = [];
    for (const request of batch) {
      try {
        for (const event of request.events) known.requireReadable(event);
        accepted.push({ request, answers: await group.add(request.events, request.writer, slice) });
      } catch (error) {
        request.reject(error);
      }
    }
    if (group.staged.length > 0) {
      const durable = accepted.some(({ request }) => request.durable);
      await this.persist(group, recordedAt, durable);
    }
    for (const { request, answers } of accepted) request.resolve(answers.map(appendedOf));
  }

  private async persist(group: Group, recordedAt: number, durable: boolean): Promise<void> {
    const before = this.state.progress;
    const { entries, heads, progress, leaf } = await encodeGroupEntries(
      this.repository,
      group,
      before,
      recordedAt,
    );
    if (groupBytes(entries) > this.log.maximumPayloadBytes) {
      for (const { stored } of group.staged) this.repository.recentEvents.forget(stored.agg);
      throw new GroupTooLarge();
    }
    try {
      await this.log.append(
        {
          sequence: BigInt(progress.sequence),
          firstPosition: BigInt(before.position + 1),
          payload: encodeGroup(entries),
        },
        { sync: durable || this.repository.store.isApart(entries) },
      );
    } catch (error) {
      this.fail(error);
    }
    // On disk: it counts from here. The store follows in the background, and whoever reads it waits for that.
    this.repository.store.enqueue(entries);
    this.repository.dictionary.settle();
    this.state.progress = progress;
    this.state.catalogue = group.catalogue;
    for (const { head, record } of heads) this.heads.committed(head, record);
    this.onCommit({
      firstPosition: BigInt(before.position + 1),
      lastPosition: BigInt(progress.position),
      leaf: leaf.toString('hex'),
      states: [...group.heads.values()].filter((head) => !isInternalType(head.type)).map(toStateRow),
      events: group.staged.filter((s) => !s.internal).map(announcementOf),
      schema: group.schemaChanged ? group.catalogue.schema : null,
    });
  }

  /** After a failure the log may or may not hold a group, and the store lags behind; only a restart can tell. */
  private fail(error: unknown): never {
    this.failure =
      error instanceof DatabaseError
        ? error
        : new DatabaseError(SqlState.ioError, 'the store stopped accepting writes', {
            detail: error instanceof Error ? error.message : String(error),
            hint: 'Restart the server once the cause is mended; acknowledged events are safe.',
          });
    throw this.failure;
  }

  /** Loads, in two read batches, everything staging will ask for. */
  private async prefetch(batch: readonly Pick<Waiting, 'events' | 'writer'>[]): Promise<Prefetched> {
    const prefetched = new Prefetched(this.repository);
    const aggs = new Map<string, Place>();
    const ids = new Set<string>();
    const tokens = new Set<string>();
    const want = (type: string, id: string): void => {
      const name = headName(type, id);
      if (aggs.has(name) || prefetched.heads.has(name)) return;
      const { head, agg } = this.heads.find({ type, id });
      if (head !== undefined) prefetched.heads.set(name, head);
      else if (agg !== null) aggs.set(name, { agg, type, id });
    };
    const slice = new TimeSlice();
    for (const { events, writer } of batch) {
      for (const event of events) {
        if (slice.isOver) await slice.next();
        want(event.aggregateType, event.aggregateId);
        if (this.state.catalogue.schema.aggregates.get(event.aggregateType)?.open === true)
          want(SCHEMA_TYPE, event.aggregateType);
        if (event.eventId !== null) ids.add(event.eventId);
      }
      if (writer.tokenId !== null && writer.writeLimit !== null) tokens.add(writer.tokenId);
    }
    if (aggs.size + ids.size + tokens.size === 0) return prefetched;
    await Promise.all([
      prefetched.loadHeads(aggs),
      prefetched.loadEventIds([...ids]),
      prefetched.loadUsage([...tokens]),
    ]);
    return prefetched;
  }
}
