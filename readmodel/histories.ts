/**
 * Tables of the past, for looking back over many aggregates at once: made when such a look-back comes first, brought up
 * to date when a later one needs it, dropped when nobody has asked for a while. The engine can always answer instead.
 */
import type { AsOf } from '../engine/types.js';
import { HistoryMaker, TooLarge, type HistorySource } from './historyMaker.js';
import * as tables from './historyTable.js';
import type { HistoryTable } from './historyTable.js';
import type { Logger } from './logger.js';
import { sqlstateOf, type Session } from './session.js';

export interface HistoryOptions {
  readonly source: HistorySource;
  /** Memory for all histories together; 0: there are none. */
  readonly limitBytes: number;
  /** A look-back over fewer aggregates is the engine's. */
  readonly fromAggregates: number;
  /** Milliseconds after which a history that nobody asks for is dropped. */
  readonly idleMs?: number;
}

/** The part of a statement that reads the past from a table. */
export interface PastTable {
  /** Qualified, to be written as it is. */
  readonly relation: string;
  /** The columns it has; others are NULL. */
  readonly columns: readonly string[];
  readonly condition: string;
  readonly through: bigint;
}

/** How a look-back is answered. */
export type PastAnswer =
  | { readonly kind: 'table'; readonly table: PastTable }
  /** By the engine: there are few aggregates, there is no table yet, or there cannot be one, for a reason. */
  | { readonly kind: 'engine'; readonly why: 'few' | 'unmade' | 'refused'; readonly reason: string | null };

export interface PastRequest {
  readonly type: string;
  readonly asOf: AsOf;
  /** How many aggregates are asked for by their ids; null: all. */
  readonly ids: number | null;
  /** Only what is there already, as it is: for EXPLAIN. */
  readonly peek: boolean;
}

type Entry =
  | { readonly state: 'few'; readonly until: bigint }
  | { readonly state: 'refused'; readonly reason: string; readonly until: number }
  | { readonly state: 'making'; readonly done: Promise<void> }
  | { readonly state: 'ready'; table: HistoryTable; bytes: number; used: number; turn: Promise<void> };
type Ready = Extract<Entry, { state: 'ready' }>;

const IDLE_MS = 60 * 60 * 1000;
const SWEEP_MS = 60_000;
/** A statement that was told of a table has begun to read it by then. */
const GRACE_MS = 60_000;
const REFUSED_MS = 10 * 60_000;
const FAILED_MS = 60_000;
export class Histories {
  private readonly entries = new Map<string, Entry>();
  /** Numbers of tables to drop, by when they were last handed out. */
  private readonly doomed = new Map<number, number>();
  private opening: Promise<void> | null = null;
  private lastNumber = 0;
  private readonly stopping = new AbortController();
  private readonly timer: NodeJS.Timeout;
  private working: Promise<void> = Promise.resolve();
  private readonly maker: HistoryMaker;

  constructor(
    private readonly options: HistoryOptions,
    private readonly session: Session,
    directory: string,
    private readonly logger: Logger,
  ) {
    this.maker = new HistoryMaker(options.source, session, directory, this.stopping.signal);
    const idle = options.idleMs ?? IDLE_MS;
    this.timer = setInterval(() => void this.sweep(idle), Math.min(SWEEP_MS, idle));
    this.timer.unref();
  }

  /** Finds what is there. @param keep false: it may be of another past */
  open(keep: boolean): Promise<void> {
    this.entries.clear();
    this.doomed.clear();
    this.opening = this.findStored(keep).catch((error: unknown) => {
      this.opening = null;
      this.failed('the histories of the read model were not found', error);
    });
    return this.opening;
  }

  private async findStored(keep: boolean): Promise<void> {
    const { source, limitBytes } = this.options;
    await this.session.run((client) => client.query(tables.HISTORY_SETUP));
    const found = await this.session.run((client) => tables.stored(client, source.storeId));
    this.lastNumber = Math.max(0, ...found.numbers);
    for (const table of found.tables) {
      if (!keep || table.through > source.committedPosition() || !this.fits(table)) continue;
      const bytes = await this.maker.bytes(table);
      if (this.bytes() + bytes > limitBytes) continue;
      this.entries.set(table.type, {
        state: 'ready',
        table,
        bytes,
        used: Date.now(),
        turn: Promise.resolve(),
      });
    }
    const kept = new Set([...this.ready()].map(({ table }) => table.number));
    for (const number of found.numbers) if (!kept.has(number)) this.doomed.set(number, 0);
    await this.dropDoomed();
  }

  /** PostgreSQL is down: what it had is to be looked for again. */
  lost(): void {
    this.entries.clear();
    this.opening = null;
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    this.stopping.abort();
    await this.working.catch(() => undefined);
  }

  /**
   * The table for a look-back, up to date with the moment it asks for. Waits while the table is made, which goes on when
   * the caller stops waiting.
   */
  async answer(request: PastRequest, signal?: AbortSignal): Promise<PastAnswer> {
    const { limitBytes, fromAggregates } = this.options;
    if (limitBytes === 0 || (request.ids !== null && request.ids < fromAggregates)) return FEW;
    try {
      return await this.find(request, signal);
    } catch (error) {
      signal?.throwIfAborted();
      this.failed('a history could not be looked for', error, request.type);
      return engine(undefined);
    }
  }

  private async find(request: PastRequest, signal: AbortSignal | undefined): Promise<PastAnswer> {
    const { source } = this.options;
    const { type } = request;
    await (this.opening ??= this.open(true));
    if (request.peek) return this.peek(request);
    let entry = this.entries.get(type);
    if (entry === undefined || isOver(entry, source.committedPosition())) entry = await this.consider(type);
    if (entry.state === 'making') {
      await withSignal(entry.done, signal);
      entry = this.entries.get(type);
    }
    if (entry?.state !== 'ready') return engine(entry);
    entry.used = Date.now();
    const moment = await this.moment(request.asOf);
    if (moment.needs > entry.table.through && !(await withSignal(this.advance(entry), signal)))
      return engine(this.entries.get(type));
    return { kind: 'table', table: past(entry.table, moment.condition) };
  }

  private async peek({ type, asOf }: PastRequest): Promise<PastAnswer> {
    const entry = this.entries.get(type);
    if (entry?.state === 'ready')
      return { kind: 'table', table: past(entry.table, (await this.moment(asOf)).condition) };
    if (entry !== undefined && !isOver(entry, this.options.source.committedPosition())) return engine(entry);
    return (await this.maker.fewer(type, this.options.fromAggregates)) ? FEW : engine(undefined);
  }

  /** The condition a look-back puts to the table, and the position the table has to reach for it. */
  private async moment(asOf: AsOf): Promise<{ readonly needs: bigint; readonly condition: string }> {
    const { source } = this.options;
    const committed = source.committedPosition();
    if (asOf.kind === 'version') return { needs: committed, condition: `version = ${asOf.version}` };
    const wanted =
      asOf.kind === 'position' ? asOf.position : await source.versions.positionAt(asOf.timestamp);
    const position = wanted < committed ? wanted : committed;
    return { needs: position, condition: tables.validAt(position) };
  }

  // Making

  private async consider(type: string): Promise<Entry> {
    const known = this.entries.get(type);
    if (await this.maker.fewer(type, this.options.fromAggregates)) {
      const { source, fromAggregates } = this.options;
      // Each further aggregate takes an event at least.
      return this.set(type, {
        state: 'few',
        until: source.committedPosition() + BigInt(Math.ceil(fromAggregates / 10)),
      });
    }
    const now = this.entries.get(type);
    if (now !== known && now !== undefined) return now;
    const done = this.make(type).then(
      (table) => void this.set(type, table),
      (error: unknown) => {
        this.failed('the history of a type could not be made', error, type);
        this.set(type, refused('making it failed', FAILED_MS));
      },
    );
    this.working = both(this.working, done);
    return this.set(type, { state: 'making', done });
  }

  private set(type: string, entry: Entry): Entry {
    this.entries.set(type, entry);
    return entry;
  }

  private async make(type: string): Promise<Entry> {
    const { source } = this.options;
    const started = performance.now();
    const through = source.committedPosition();
    const fields = source.schema().aggregates.get(type)?.fields ?? [];
    if (!tables.canHold(fields)) return refused('a field has the name of one of its own columns', REFUSED_MS);
    const wanted = await this.maker.expectedBytes(type);
    const no = await this.makeRoom(wanted);
    if (no !== null) return refused(no, REFUSED_MS);
    const table: HistoryTable = { type, number: ++this.lastNumber, fields, through };
    try {
      const rows = await this.maker.fill(table, this.options.limitBytes - this.bytes());
      const bytes = await this.maker.bytes(table);
      const seconds = (performance.now() - started) / 1000;
      const told = { aggregateType: type, rows, bytes, seconds, rowsPerSecond: Math.round(rows / seconds) };
      this.logger.info(told, 'made the history of a type');
      return { state: 'ready', table, bytes, used: Date.now(), turn: Promise.resolve() };
    } catch (error) {
      this.doomed.set(table.number, 0);
      await this.dropDoomed();
      if (error instanceof TooLarge) return refused(this.tooLarge(error.bytes), REFUSED_MS);
      throw error;
    }
  }

  // Room

  private *ready(): Generator<Ready> {
    for (const entry of this.entries.values()) if (entry.state === 'ready') yield entry;
  }

  private bytes(): number {
    return [...this.ready()].reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Drops what was not asked for lately, oldest first, where another history needs its room. Says why it is not enough. */
  private async makeRoom(wanted: number): Promise<string | null> {
    const { limitBytes } = this.options;
    if (wanted > limitBytes) return this.tooLarge(wanted);
    const old = [...this.ready()].filter(({ used }) => Date.now() - used > GRACE_MS);
    old.sort((a, b) => a.used - b.used);
    for (const entry of old) {
      if (this.bytes() + wanted <= limitBytes) break;
      this.retire(entry);
    }
    await this.dropDoomed();
    if (this.bytes() + wanted > limitBytes) return this.tooLarge(wanted);
    return (await this.maker.hasSpace(wanted))
      ? null
      : 'there is too little space where the read model lives';
  }

  private tooLarge(bytes: number): string {
    const megabytes = (n: number): number => Math.ceil(n / 1024 / 1024);
    return `it would take ${megabytes(bytes)} MB, and read_model.history_mb is ${megabytes(this.options.limitBytes)}`;
  }

  private retire({ table, used }: Ready): void {
    this.entries.delete(table.type);
    this.doomed.set(table.number, used);
  }

  private async sweep(idleMs: number): Promise<void> {
    for (const entry of [...this.ready()]) if (Date.now() - entry.used >= idleMs) this.retire(entry);
    await this.dropDoomed();
  }

  private async dropDoomed(): Promise<void> {
    for (const [number, used] of [...this.doomed]) {
      if (Date.now() - used < GRACE_MS) continue;
      try {
        await this.session.transaction((client) => tables.drop(client, number));
        this.doomed.delete(number);
      } catch (error) {
        // Somebody reads it still, or PostgreSQL is down: another time.
        if (sqlstateOf(error) !== '55P03') this.failed('a history could not be dropped', error);
      }
    }
  }

  // Keeping up

  /** Brings a table up to what is committed. One after the other; false when it cannot be. */
  private advance(entry: Ready): Promise<boolean> {
    const turn = entry.turn.then(() => this.catchUp(entry));
    const done = turn.then(
      () => this.entries.get(entry.table.type) === entry,
      (error: unknown) => {
        this.failed('the history of a type could not be brought up to date', error, entry.table.type);
        if (sqlstateOf(error) === '55P03') return false;
        if (this.entries.get(entry.table.type) !== entry) return false;
        this.retire(entry);
        this.set(entry.table.type, refused('bringing it up to date failed', FAILED_MS));
        return false;
      },
    );
    entry.turn = done.then(() => undefined);
    this.working = both(this.working, entry.turn);
    return done;
  }

  private async catchUp(entry: Ready): Promise<void> {
    const { type, through } = entry.table;
    for await (const table of this.maker.advance(entry.table)) entry.table = table;
    if (entry.table.through === through) return;
    entry.bytes = await this.maker.bytes(entry.table);
    if (this.bytes() <= this.options.limitBytes) return;
    this.retire(entry);
    this.set(type, refused(this.tooLarge(entry.bytes), REFUSED_MS));
  }

  /** Fields are only ever added, so anything else is of another past. */
  private fits({ type, fields }: HistoryTable): boolean {
    const now = new Map(
      this.options.source
        .schema()
        .aggregates.get(type)
        ?.fields.map((field) => [field.name, field.type]),
    );
    return fields.every(({ name, type: wanted }) => now.get(name) === wanted);
  }

  private failed(message: string, error: unknown, aggregateType: string | null = null): void {
    if (this.stopping.signal.aborted) return;
    const reason = error instanceof Error ? error.message : String(error);
    this.logger.warn({ aggregateType, sqlstate: sqlstateOf(error), reason }, message);
  }
}

const FEW: PastAnswer = { kind: 'engine', why: 'few', reason: null };

function engine(entry: Entry | undefined): PastAnswer {
  if (entry?.state === 'few') return FEW;
  if (entry?.state === 'refused') return { kind: 'engine', why: 'refused', reason: entry.reason };
  return { kind: 'engine', why: 'unmade', reason: null };
}

function refused(reason: string, milliseconds: number): Entry {
  return { state: 'refused', reason, until: Date.now() + milliseconds };
}

async function both(one: Promise<void>, other: Promise<void>): Promise<void> {
  await one;
  await other;
}

function isOver(entry: Entry, committed: bigint): boolean {
  if (entry.state === 'few') return committed >= entry.until;
  return entry.state === 'refused' && Date.now() >= entry.until;
}

function past(table: HistoryTable, condition: string): PastTable {
  const { through } = table;
  return { relation: tables.relation(table), columns: tables.columnNames(table), condition, through };
}

/** Stops waiting when the signal says so. */
async function withSignal<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  signal.throwIfAborted();
  let stop: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason as Error);
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
