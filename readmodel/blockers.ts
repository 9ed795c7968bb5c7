import pg from 'pg';
import type { Session } from './session.js';

/** As long as a reader may hold up a change of the schema; reads wait behind it, and they are told after 10 s. */
const PATIENCE_MS = 4000;

/**
 * A transaction that changes tables. A client that keeps a transaction open on one of them holds up the projector and
 * with it everyone, so after a while it is disconnected, as a PostgreSQL standby does.
 */
export async function withoutBlockers<T>(
  connection: pg.ClientConfig,
  session: Session,
  work: (client: pg.Client) => Promise<T>,
  patience = PATIENCE_MS,
): Promise<T> {
  return session.transaction(async (client) => {
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    const pid = rows[0]?.pid ?? 0;
    const timer = setInterval(() => void disconnectBlockers(connection, pid), patience);
    try {
      return await work(client);
    } finally {
      clearInterval(timer);
    }
  });
}

async function disconnectBlockers(connection: pg.ClientConfig, pid: number): Promise<void> {
  const client = new pg.Client(connection);
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('SELECT pg_terminate_backend(blocker) FROM unnest(pg_blocking_pids($1)) AS blocker', [
      pid,
    ]);
  } catch {
    // The next round tries again.
  } finally {
    await client.end().catch(() => undefined);
  }
}
