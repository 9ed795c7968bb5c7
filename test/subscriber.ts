/** An ordinary PostgreSQL beside the server, to subscribe with: from the same binaries, with a directory of its own. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { EmbeddedPostgres, PORT, SUPERUSER } from '../readmodel/postgres.js';

const SILENT = { info: () => undefined, warn: () => undefined, error: () => undefined };
const PATIENCE_MS = 30_000;

export interface Subscriber {
  query(text: string, values?: readonly unknown[]): Promise<Record<string, unknown>[]>;
  /** Asks until the rows are as wanted; the last rows when they never are. */
  until(
    text: string,
    wanted: (rows: Record<string, unknown>[]) => boolean,
  ): Promise<Record<string, unknown>[]>;
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export async function startSubscriber(): Promise<Subscriber> {
  const parent = mkdtempSync(join(tmpdir(), 'subscriber-'));
  chmodSync(parent, 0o755);
  let postgres = new EmbeddedPostgres('subscriber', parent, SILENT);
  await postgres.start();
  let client = await connect(postgres);
  const query: Subscriber['query'] = async (text, values = []) => {
    const { rows } = await client.query<Record<string, unknown>>(text, [...values]);
    return rows;
  };
  return {
    query,
    async until(text, wanted) {
      const deadline = Date.now() + PATIENCE_MS;
      for (;;) {
        const rows = await query(text);
        if (wanted(rows) || Date.now() > deadline) return rows;
        await sleep(50);
      }
    },
    async restart() {
      await client.end();
      await postgres.stop();
      postgres = new EmbeddedPostgres('subscriber', parent, SILENT);
      await postgres.start();
      client = await connect(postgres);
    },
    async stop() {
      await client.end().catch(() => undefined);
      await postgres.stop({ remove: true });
      rmSync(parent, { recursive: true, force: true });
    },
  };
}

async function connect(postgres: EmbeddedPostgres): Promise<pg.Client> {
  const client = new pg.Client({
    host: postgres.socketDirectory,
    port: PORT,
    user: SUPERUSER,
    password: postgres.password,
    database: 'postgres',
  });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}
