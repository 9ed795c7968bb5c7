import pg from 'pg';
import { DatabaseError, SqlState } from '../engine/errors.js';
import type { Logger } from './logger.js';
import type { Session } from './session.js';
import { userView } from './userViews.js';

/** How long filling a view may take where nobody asked for it. */
const UNASKED_MS = 60_000;
/** How long a reader's open transaction may hold a REFRESH up, and REFRESH all later readers. */
const LOCK_MS = 10_000;

export interface FillOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Fills materialized views, one after the other, each on a connection of its own: it can take long. */
export class ViewFiller {
  private last: Promise<unknown> = Promise.resolve();
  private closed = false;
  private readonly running = new Set<pg.Client>();
  /** Those that failed when nobody asked for them: they are not tried again by themselves. */
  private readonly failed = new Set<string>();

  constructor(
    private readonly connection: pg.ClientConfig,
    private readonly session: Session,
    private readonly logger: Logger,
  ) {}

  /**
   * Fills views that were made to be filled and are not; those that others read come first.
   * @param names null: all of them, as long as nobody asks for more time
   * @returns why a view could not be filled, by name
   */
  async fillMissing(
    names: readonly string[] | null,
    options: FillOptions = {},
  ): Promise<Map<string, string>> {
    const turn = this.last.then(async () => {
      const failures = new Map<string, string>();
      for (const name of this.closed ? [] : await this.missing()) {
        if (names === null ? this.failed.has(name) : !names.includes(name)) continue;
        const reason = await this.fill(name, names === null ? UNASKED_MS : 0, options);
        if (reason !== null) failures.set(name, reason);
      }
      return failures;
    });
    this.last = turn.catch(() => undefined);
    return turn;
  }

  /** Why it failed, null when it did not. */
  private async fill(name: string, timeoutMs: number, options: FillOptions): Promise<string | null> {
    try {
      await this.run(name, true, timeoutMs, options);
      return null;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.failed.add(name);
      if (!this.closed) this.logger.warn({ view: name, reason }, 'a materialized view cannot be filled');
      return reason;
    }
  }

  private async missing(): Promise<string[]> {
    const { rows } = await this.session.query(
      `SELECT v.name FROM eventful_internal.mirror_views AS v
         JOIN pg_matviews AS m ON m.schemaname = 'views' AND m.matviewname = v.name
       WHERE v.filled AND NOT m.ispopulated ORDER BY v.ordinal`,
    );
    return rows.map(({ name }) => String(name));
  }

  /** @throws DatabaseError as PostgreSQL says; 57014 when the signal aborts */
  refresh(name: string, withData: boolean, options: FillOptions = {}): Promise<void> {
    return this.run(name, withData, 0, options);
  }

  private async run(
    name: string,
    withData: boolean,
    timeoutMs: number,
    { signal }: FillOptions,
  ): Promise<void> {
    signal?.throwIfAborted();
    const client = new pg.Client({ ...this.connection, application_name: 'eventful view' });
    client.on('error', () => undefined);
    this.running.add(client);
    let cancel: (() => void) | null = null;
    try {
      await client.connect();
      const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
      cancel = (): void => {
        void this.session.query('SELECT pg_cancel_backend($1)', [rows[0]?.pid]).catch(() => undefined);
      };
      signal?.addEventListener('abort', cancel, { once: true });
      await client.query(`SET statement_timeout = ${timeoutMs}; SET lock_timeout = ${LOCK_MS}`);
      await client.query(`REFRESH MATERIALIZED VIEW ${userView(name)} WITH ${withData ? '' : 'NO '}DATA`);
    } catch (error) {
      throw failure(error);
    } finally {
      if (cancel !== null) signal?.removeEventListener('abort', cancel);
      this.running.delete(client);
      await client.end().catch(() => undefined);
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    await Promise.all([...this.running].map((client) => client.end().catch(() => undefined)));
    await this.last;
  }
}

function failure(error: unknown): Error {
  if (error instanceof DatabaseError) return error;
  if (!(error instanceof pg.DatabaseError))
    return new DatabaseError(SqlState.cannotConnectNow, 'the read model is not available');
  if (error.code === SqlState.adminShutdown)
    return new DatabaseError(SqlState.serializationFailure, 'the schema was changed at the same time', {
      hint: 'Refresh the view again.',
    });
  if (error.code === SqlState.lockNotAvailable)
    return new DatabaseError(SqlState.lockNotAvailable, 'a transaction that reads the view is still open', {
      hint: 'Refresh the view again once it has ended.',
    });
  return new DatabaseError(error.code ?? SqlState.internalError, error.message);
}
