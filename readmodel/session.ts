import pg from 'pg';
import { DatabaseError, SqlState } from '../engine/errors.js';

/** Rows of a statement. */
export type Rows = { readonly rows: readonly Record<string, unknown>[] };

/**
 * A superuser connection that is opened when needed and again after it was lost. Statements and transactions of several
 * callers run one after the other.
 */
export class Session {
  private client: pg.Client | null = null;
  private opening: Promise<pg.Client> | null = null;
  private closed = false;
  private last: Promise<unknown> = Promise.resolve();

  constructor(private readonly config: pg.ClientConfig) {}

  private async connection(): Promise<pg.Client> {
    if (this.closed) throw new DatabaseError(SqlState.adminShutdown, 'the read model is stopped');
    if (this.client !== null) return this.client;
    this.opening ??= this.open().finally(() => (this.opening = null));
    return this.opening;
  }

  private async open(): Promise<pg.Client> {
    const client = new pg.Client({ ...this.config, connectionTimeoutMillis: 10_000 });
    // Without a listener, a lost connection would end the process.
    client.on('error', () => this.lose(client));
    client.on('end', () => this.lose(client));
    await client.connect().catch((error: Error) => {
      throw new DatabaseError(SqlState.cannotConnectNow, 'the read model is not available', {
        detail: error.message,
      });
    });
    if (this.closed) {
      await client.end();
      throw new DatabaseError(SqlState.adminShutdown, 'the read model is stopped');
    }
    this.client = client;
    return client;
  }

  private lose(client: pg.Client): void {
    if (this.client === client) this.client = null;
  }

  async query(text: string, values: readonly unknown[] = []): Promise<Rows> {
    return this.run((client) => client.query<Record<string, unknown>>(text, [...values]));
  }

  /** Runs `work` with the connection to itself. */
  async run<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    const turn = this.last.then(async () => work(await this.connection()));
    this.last = turn.catch(() => undefined);
    return turn;
  }

  /** Runs `work` in a transaction. */
  async transaction<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    return this.run(async (client) => {
      await client.query('BEGIN');
      try {
        const result = await work(client);
        await client.query('COMMIT');
        return result;
      } catch (error) {
        await client.query('ROLLBACK').catch(() => this.lose(client));
        throw error;
      }
    });
  }

  async close(): Promise<void> {
    this.closed = true;
    const client = this.client;
    this.client = null;
    await client?.end().catch(() => undefined);
  }
}

export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

export function quoteLiteral(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`;
  return text.includes('\\') ? `E${quoted.replaceAll('\\', '\\\\')}` : quoted;
}

/** The SQLSTATE of an error PostgreSQL answered with, else null. */
export function sqlstateOf(error: unknown): string | null {
  return error instanceof pg.DatabaseError ? (error.code ?? null) : null;
}
