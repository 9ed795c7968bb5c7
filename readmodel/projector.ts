import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { DatabaseError } from '../engine/errors.js';
import type { ProjectionSource, StateRow } from '../engine/types.js';
import { withoutBlockers } from './blockers.js';
import { Feed, type Batch } from './feed.js';
import type { Logger } from './logger.js';
import { loadType } from './rebuild.js';
import { forgetSlots } from './replication.js';
import { SchemaMirror } from './schemaMirror.js';
import { sqlstateOf, type Session } from './session.js';
import { analyze } from './statistics.js';
import { runSteps } from './pipeline.js';
import { Waiters } from './waiters.js';
import { batchSteps, isDataError, writeIsolating, type Rest, type TypeRows } from './writer.js';

/** Grows when the tables are built differently: an older read model is then rebuilt. */
const FORMAT = 4;

/**
 * How long commits gather behind a batch while nobody waits for them; the first after a pause is written at once. A
 * batch costs this thread about 55 µs and PostgreSQL 70 to 100, however few its rows: 10 ms instead of 5 halves that.
 */
const GATHER_MS = 10;

/** How long a rebuild waits for materialized views to be filled. */
const FILL_MS = 10_000;

export interface RebuildReport {
  readonly rebuiltRows: number;
  readonly rebuildSeconds: number;
  readonly rowsPerSecond: number;
}

export interface ProjectorOptions {
  readonly source: ProjectionSource;
  readonly session: Session;
  readonly connection: pg.ClientConfig;
  readonly logger: Logger;
  readonly onRebuildProgress?: ((rows: number) => void) | undefined;
  readonly maxWaitingStates?: number | undefined;
  /** Fills materialized views that are not; never rejects. */
  readonly fillViews: () => Promise<unknown>;
}

/**
 * Follows the engine: whatever was committed is written to the tables, and the position reached is written in the same
 * transaction. A projector that was interrupted anywhere goes on from there.
 */
export class Projector {
  private readonly positions = new Waiters(-1n, undefined, () => this.tell());
  /** A change of the schema need not have a position, so its revision is waited for as well. */
  private readonly revisions = new Waiters(-1n, undefined, () => this.tell());
  private readonly listeners = new Set<() => void>();
  report: RebuildReport | null = null;
  private readonly feed: Feed;
  private readonly mirror: SchemaMirror;
  private readonly unsubscribe: () => void;
  private stopped = false;
  private mustResume = false;
  /** The start is over: somebody may listen. */
  private following = false;
  /** Views may have been made that are to be filled, once the rows they read are there. */
  private mustFill = false;
  private loop: Promise<void> = Promise.resolve();
  /** Ends `gather` early: somebody waits to read. */
  private hurry: () => void = () => undefined;
  private readonly stopSignal = new AbortController();

  constructor(private readonly options: ProjectorOptions) {
    this.feed = new Feed(options.maxWaitingStates);
    this.mirror = new SchemaMirror(options.logger);
    // Before the cursor is read: nothing committed from here on is missed.
    this.unsubscribe = options.source.onCommit((group) => this.feed.add(group));
  }

  /** Brings the tables up to date, then follows. Rejects when the first part fails. */
  async start(): Promise<void> {
    try {
      await this.resume();
    } catch (error) {
      this.unsubscribe();
      throw error;
    }
    this.following = true;
    this.loop = this.follow();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.unsubscribe();
    this.hurry();
    this.stopSignal.abort();
    this.feed.interrupt();
    await this.loop;
    for (const waiters of [this.positions, this.revisions]) waiters.close();
  }

  get applied(): bigint {
    return this.positions.applied;
  }

  /** The revision of the schema that the tables have. */
  get appliedRevision(): bigint {
    return this.revisions.applied;
  }

  /** Calls the listener whenever `applied` or `appliedRevision` has changed; returns the function that ends it. */
  onApplied(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private tell(): void {
    for (const listener of this.listeners) listener();
  }

  /** Are `position`, and the schema as it is now, in the tables? */
  hasApplied(position: bigint): boolean {
    return (
      position <= this.positions.applied && this.options.source.schema().revision <= this.revisions.applied
    );
  }

  /** Resolves once they are. */
  async waitFor(position: bigint, signal?: AbortSignal): Promise<void> {
    const revision = BigInt(this.options.source.schema().revision);
    if (position > this.positions.applied || revision > this.revisions.applied) this.hurry();
    if (revision > this.revisions.applied) await this.revisions.waitFor(revision, signal);
    return this.positions.waitFor(position, signal);
  }

  /** PostgreSQL is down: whoever waits is patient for a while. */
  interrupted(reason: string): void {
    this.mustResume = true;
    for (const waiters of [this.positions, this.revisions]) waiters.failing(reason);
  }

  /** PostgreSQL is back: find out where it stands without waiting for the next commit. */
  nudge(): void {
    this.mustResume = true;
    this.hurry();
    this.feed.interrupt();
  }

  /** PostgreSQL will not come back. */
  giveUp(error: DatabaseError): void {
    for (const waiters of [this.positions, this.revisions]) waiters.fail(error);
  }

  private async follow(): Promise<void> {
    let failures = 0;
    while (!this.stopped) {
      try {
        if (failures > 0 || this.mustResume) {
          this.mustResume = false;
          await this.resume();
          for (const waiters of [this.positions, this.revisions]) waiters.working();
        } else if (this.feed.hasGap) await this.catchUp();
        else if (await this.flush()) await this.gather();
        else await this.feed.idle();
        failures = 0;
      } catch (error) {
        if (this.stopped) return;
        failures += 1;
        const reason = error instanceof Error ? error.message : String(error);
        const details = { sqlstate: sqlstateOf(error), reason, failures };
        this.options.logger.warn(details, 'the projector was interrupted; it will go on from its cursor');
        for (const waiters of [this.positions, this.revisions]) waiters.failing(reason);
        await sleep(Math.min(20 * 2 ** failures, 1000), undefined, { signal: this.stopSignal.signal }).catch(
          () => undefined,
        );
      }
    }
  }

  /** A transaction per event costs more than the event: while nobody waits, let a few commits come together. */
  private async gather(): Promise<void> {
    if (this.stopped || this.mustResume || this.feed.hasBatch) return;
    if (this.positions.isAwaited || this.revisions.isAwaited) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, GATHER_MS);
      this.hurry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.hurry = (): void => undefined;
  }

  /** Finds out where the tables stand, and closes the distance to the engine. */
  private async resume(): Promise<void> {
    const { source, session, logger } = this.options;
    await session.run((client) => this.mirror.load(client));
    const { rows } = await session.query(
      'SELECT store_id, position, leaf, format FROM eventful_internal.cursor',
    );
    const [cursor] = rows;
    const position = cursor === undefined ? -1n : BigInt(String(cursor['position']));
    const usable =
      rows.length === 1 && cursor?.['store_id'] === source.storeId && cursor['format'] === FORMAT;
    const isOurs =
      usable && position <= source.committedPosition() && (await this.isPast(position, cursor?.['leaf']));
    if (!isOurs || !this.mirror.isCompatible(source.schema())) {
      logger.info({ position: String(position) }, 'rebuilding the read model');
      await this.rebuild();
    } else {
      this.positions.advance(position);
      await this.catchUp();
      this.mustFill = true;
    }
    this.fillViews();
  }

  /** The tables hold what this store was, and not what a copy of it went on to be. */
  private async isPast(position: bigint, leaf: unknown): Promise<boolean> {
    return (await this.options.source.leafAt(position)) === leaf;
  }

  /** Asks the engine what changed since the cursor; also where the schema changed meanwhile. */
  private async catchUp(): Promise<void> {
    const { source, session, logger } = this.options;
    this.feed.clear();
    if (!this.mirror.isCompatible(source.schema())) return this.rebuild();
    await this.syncSchema();
    const from = this.positions.applied;
    if (from >= source.committedPosition()) return;
    const { through, batches } = source.changedSince(from);
    for await (const states of batches) {
      for (const [type, rows] of groupByType(states)) {
        if (this.mirror.lacksColumns(type, rows, source.schema())) await this.syncSchema();
        const typed = this.mirror.typed(type, rows);
        if (typed !== null) await session.transaction((client) => writeIsolating(client, typed, logger));
      }
    }
    // Those who listen are told of every event, also of those that came too fast to be followed one by one.
    if (this.following) {
      for await (const events of source.eventsBetween(from, through)) {
        const last = events.at(-1)?.position;
        if (last === undefined) continue;
        await this.writeApart([], { position: last, leaf: await source.leafAt(last), events });
      }
    }
    const leaf = await source.leafAt(through);
    await session.query('UPDATE eventful_internal.cursor SET position = $1, leaf = $2', [
      String(through),
      leaf,
    ]);
    this.positions.advance(through);
  }

  /** Writes one batch of commits; false when none wait. */
  private async flush(): Promise<boolean> {
    const batch = this.feed.take(this.positions.applied);
    if (batch === null) return false;
    try {
      await this.write(batch);
    } catch (error) {
      this.feed.putBack(batch);
      throw error;
    }
    this.positions.advance(batch.lastPosition);
    this.fillViews();
    return true;
  }

  private fillViews(): void {
    if (!this.mustFill) return;
    this.mustFill = false;
    void this.options.fillViews();
  }

  private async write(batch: Batch): Promise<void> {
    const { session, source } = this.options;
    const unknown = [...batch.states].some(([type, rows]) =>
      this.mirror.lacksColumns(type, rows, source.schema()),
    );
    if (unknown || (batch.schema !== null && batch.schema.revision > this.mirror.revision)) {
      // Columns are only ever added, so the newest schema fits older states too.
      const newest = source.schema();
      if (!this.mirror.isCompatible(newest)) return this.rebuild();
      await this.syncSchema();
    }
    const types = [...batch.states].flatMap(([type, rows]) => this.mirror.typed(type, rows) ?? []);
    const { lastPosition: position, leaf } = batch;
    const rest = { position, leaf, events: batch.groups.flatMap(({ events }) => events) };
    try {
      await session.run((client) => runSteps(client, batchSteps(types, rest)));
    } catch (error) {
      if (!isDataError(error)) throw error;
      await this.writeApart(types, rest);
    }
  }

  /** A batch PostgreSQL refused: row by row where need be, and without notifications when their queue is full. */
  private async writeApart(types: readonly TypeRows[], rest: Rest): Promise<void> {
    const { session, logger } = this.options;
    const run = (last: Rest): Promise<void> =>
      session.transaction(async (client) => {
        for (const rows of types) await writeIsolating(client, rows, logger);
        await runSteps(client, batchSteps([], last));
      });
    try {
      await run(rest);
    } catch (error) {
      if (!isDataError(error)) throw error;
      logger.error({ sqlstate: sqlstateOf(error), count: rest.events.length }, 'notifications were dropped');
      await run({ ...rest, events: [] });
    }
  }

  private async syncSchema(): Promise<void> {
    const { source, session, connection } = this.options;
    const schema = source.schema();
    if (this.mirror.differs(schema)) {
      await withoutBlockers(connection, session, (client) => this.mirror.apply(client, schema));
      this.mustFill = true;
    }
    this.schemaApplied(schema.revision);
  }

  private schemaApplied(revision: number): void {
    this.mirror.revision = revision;
    this.revisions.advance(BigInt(revision));
  }

  /** Drops everything and loads the engine's states. Without a cursor meanwhile: interrupted, it starts over. */
  private async rebuild(): Promise<void> {
    const { source, session, connection, logger, onRebuildProgress } = this.options;
    const started = performance.now();
    this.feed.clear();
    this.positions.reset();
    const position = source.committedPosition();
    const schema = source.schema();
    await session.run(forgetSlots);
    await withoutBlockers(connection, session, async (client) => {
      await client.query('DELETE FROM eventful_internal.cursor');
      await this.mirror.dropAll(client);
      await this.mirror.apply(client, schema);
    });
    this.schemaApplied(schema.revision);
    let loaded = 0;
    const onRows = (count: number): void => {
      loaded += count;
      onRebuildProgress?.(loaded);
    };
    for (const type of schema.aggregates.keys())
      await loadType(type, { source, session, mirror: this.mirror, logger, onRows });
    await session.query('INSERT INTO eventful_internal.cursor VALUES ($1, $2, $3, $4)', [
      source.storeId,
      String(position),
      FORMAT,
      await source.leafAt(position),
    ]);
    const analyzed = analyze(connection, [...schema.aggregates.keys()], logger);
    // Filling a view reads much, by a plan that should be a good one; all other reads begin at once.
    if ([...schema.views.values()].some((view) => view.kind === 'materialized')) await analyzed;
    // Views over much data go on being filled while the server starts.
    await Promise.race([this.options.fillViews(), sleep(FILL_MS, undefined, { ref: false })]);
    const seconds = (performance.now() - started) / 1000;
    this.report = {
      rebuiltRows: loaded,
      rebuildSeconds: seconds,
      rowsPerSecond: Math.round(loaded / seconds),
    };
    logger.info(this.report, 'rebuilt the read model');
    this.positions.advance(position);
  }
}

function groupByType(states: readonly StateRow[]): Map<string, StateRow[]> {
  // A batch may hold an aggregate twice, which one INSERT … ON CONFLICT does not take.
  const latest = new Map<string, Map<string, StateRow>>();
  for (const state of states) {
    let ofType = latest.get(state.aggregateType);
    if (ofType === undefined) latest.set(state.aggregateType, (ofType = new Map<string, StateRow>()));
    const found = ofType.get(state.aggregateId);
    if (found === undefined || found.version < state.version) ofType.set(state.aggregateId, state);
  }
  return new Map([...latest].map(([type, rows]) => [type, [...rows.values()]]));
}
