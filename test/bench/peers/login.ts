/** Where and as whom a client connects. Everything goes over TCP loopback without TLS, on every side. */
import pg from 'pg';

export interface Login {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

/** Connects, works, and ends the connection whatever happens. */
export async function withClient<T>(login: Login, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ ...login });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** Runs statements one after the other. */
export async function execute(login: Login, ...statements: readonly string[]): Promise<void> {
  await withClient(login, async (client) => {
    for (const statement of statements) await client.query(statement);
  });
}

/** The first column of the first row. */
export async function scalar(login: Login, statement: string): Promise<string> {
  return withClient(login, async (client) => {
    const { rows } = await client.query<unknown[]>({ text: statement, rowMode: 'array' });
    return String(rows[0]?.[0]);
  });
}
