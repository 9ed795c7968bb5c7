/** The work on one table of the past: filling it, and bringing it up to date. */
import { statfs } from 'node:fs/promises';
import type { VersionRow } from '../engine/versions.js';
import type { EventRow, Schema } from '../engine/types.js';
import * as tables from './historyTable.js';
import type { HistoryTable } from './historyTable.js';
import { quoteIdentifier, type Session } from './session.js';

/** What making and keeping histories needs of the engine. */
export interface HistorySource {
  readonly storeId: string;
  committedPosition(): bigint;
  schema(): Schema;
  events(
    filter: { readonly aggregateType: string; readonly fromPosition: bigint; readonly toPosition: bigint },
    signal?: AbortSignal,
  ): AsyncIterable<readonly EventRow[]>;
  readonly versions: {
    all(type: string, through: bigint, signal?: AbortSignal): AsyncIterable<readonly VersionRow[]>;
    /** Microseconds since 1970. */
    positionAt(time: bigint): Promise<bigint>;
  };
}

/** The table has grown beyond what it may take. */
export class TooLarge extends Error {
  constructor(readonly bytes: number) {
    super('a history is too large');
  }
}

const LOAD_ROWS = 5000;
const STEP_EVENTS = 2000;
/** Left free where the read model lives. */
const SPARE_BYTES = 128 * 1024 * 1024;

export class HistoryMaker {
  constructor(
    private readonly source: HistorySource,
    private readonly session: Session,
    private readonly directory: string,
    private readonly signal: AbortSignal,
  ) {}

  /** Fills and publishes a table. @returns how many rows it has @throws TooLarge */
  async fill(table: HistoryTable, limitBytes: number): Promise<number> {
    const { session, source, signal } = this;
    await session.run((client) => tables.createLoading(client, table));
    let count = 0;
    let waiting: VersionRow[] = [];
    let loading: Promise<void> = Promise.resolve();
    const write = async (rows: readonly VersionRow[]): Promise<void> => {
      const size = await session.run(async (client) => {
        await tables.load(client, table, rows);
        return tables.sizeOf(client, table, true);
      });
      if (size > limitBytes) throw new TooLarge(size);
    };
    for await (const rows of source.versions.all(table.type, table.through, signal)) {
      waiting.push(...rows);
      count += rows.length;
      if (waiting.length < LOAD_ROWS) continue;
      // One batch is loaded while the next is read.
      await loading;
      loading = write(waiting);
      loading.catch(() => undefined);
      waiting = [];
    }
    await loading;
    await write(waiting);
    await session.transaction((client) => tables.publish(client, table, source.storeId));
    await session.query(`VACUUM (ANALYZE) ${tables.relation(table)}`);
    return count;
  }

  /** Adds what was committed since, step by step. */
  async *advance(from: HistoryTable): AsyncGenerator<HistoryTable> {
    const { session, source, signal } = this;
    const target = source.committedPosition();
    if (from.through >= target) return;
    let table = await this.withNewFields(from);
    let waiting: EventRow[] = [];
    const step = async (through: bigint): Promise<HistoryTable> => {
      const events = waiting;
      waiting = [];
      await session.transaction((client) => tables.advance(client, table, events, through));
      return (table = { ...table, through });
    };
    const range = { aggregateType: table.type, fromPosition: table.through + 1n, toPosition: target };
    for await (const events of source.events(range, signal)) {
      waiting.push(...events);
      const last = waiting.at(-1);
      if (waiting.length >= STEP_EVENTS && last !== undefined) yield await step(last.position);
    }
    yield await step(target);
  }

  private async withNewFields(table: HistoryTable): Promise<HistoryTable> {
    const known = new Set(table.fields.map(({ name }) => name));
    const now = this.source.schema().aggregates.get(table.type)?.fields ?? [];
    const added = now.filter(({ name }) => !known.has(name));
    if (added.length === 0) return table;
    if (!tables.canHold(added)) throw new Error('a field has the name of one of the columns of a history');
    await this.session.transaction((client) => tables.addFields(client, table, added));
    return { ...table, fields: [...table.fields, ...added] };
  }

  bytes(table: HistoryTable): Promise<number> {
    return this.session.run((client) => tables.sizeOf(client, table, false));
  }

  /** Has the type fewer aggregates than this? */
  async fewer(type: string, than: number): Promise<boolean> {
    const { rows } = await this.session.query(
      `SELECT count(*)::int AS n FROM (SELECT FROM public.${quoteIdentifier(type)} LIMIT $1) AS found`,
      [than],
    );
    return Number(rows[0]?.['n'] ?? 0) < than;
  }

  /** What a history may take: one row for each version, as large as one of the current state. */
  async expectedBytes(type: string): Promise<number> {
    const name = `public.${quoteIdentifier(type)}`;
    const { rows } = await this.session.query(
      `SELECT (pg_relation_size($1) / greatest(count(*), 1) * coalesce(sum(version), 0))::float8 AS bytes FROM ${name}`,
      [name],
    );
    return Number(rows[0]?.['bytes'] ?? 0);
  }

  /** While a table is made it takes its size twice. */
  async hasSpace(bytes: number): Promise<boolean> {
    const { bavail, bsize } = await statfs(this.directory);
    return bavail * bsize > 2 * bytes + SPARE_BYTES;
  }
}
