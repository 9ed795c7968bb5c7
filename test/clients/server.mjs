/** A real server in a temporary directory, on a free port, for the clients; its read model is in memory. */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

const SILENT = {
  info: () => undefined,
  warn: () => undefined,
  error: (details, message) => console.error('server:', message, details),
};

/** Every type that the clients send and read back. */
const SCHEMA = `
CREATE AGGREGATE patient (
  first_name text, last_name text, birthdate date, weight numeric(8,3),
  admitted_at timestamptz, smoker boolean, visits integer,
  EVENT patient_created (first_name, last_name, birthdate, weight, admitted_at, smoker, visits),
  EVENT patient_updated (last_name, weight, visits, smoker)
);
COMMENT ON AGGREGATE patient IS 'Somebody who is cared for';
`;

function build() {
  if (existsSync(join(ROOT, 'dist', 'server', 'index.js'))) return;
  const { status } = spawnSync('npx', ['tsc', '-p', 'tsconfig.build.json'], {
    cwd: ROOT,
    stdio: ['ignore', 2, 2],
  });
  if (status !== 0) throw new Error('the server does not build');
}

async function declare({ PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE }) {
  const client = new pg.Client({
    host: PGHOST,
    port: Number(PGPORT),
    user: PGUSER,
    password: PGPASSWORD,
    database: PGDATABASE,
    ssl: false,
  });
  await client.connect();
  await client.query(SCHEMA);
  await client.end();
}

/** Its schema is declared. @returns the environment that libpq and its like read, and how to end it all */
export async function startClientServer() {
  build();
  const from = (path) => import(join(ROOT, 'dist', path));
  const { createKeyring, openKeyring } = await from('engine/index.js');
  const { parseGrant } = await from('engine/tokens/grants.js');
  const { removeReadModel } = await from('readmodel/index.js');
  const { startServer } = await from('server/index.js');
  const directory = mkdtempSync(join(tmpdir(), 'eventful-clients-'));
  const keys = { masterKey: randomBytes(32), dek: randomBytes(32) };
  createKeyring(directory, keys);
  const server = await startServer({
    directory,
    ...keys,
    host: '127.0.0.1',
    port: 0,
    socketDirectory: null,
    tls: null,
    logger: SILENT,
  });
  const { token } = await server.engine.tokens.generate(
    {
      identifierType: 'user',
      identifierId: 'tester',
      grants: [parseGrant('admin')],
      expiresAt: Math.floor(Date.now() / 1000) + 6 * 3600,
      writeLimit: null,
    },
    { actor: 'system:test', tokenId: null, writeLimit: null },
  );
  const environment = {
    PGHOST: '127.0.0.1',
    PGPORT: String(server.port),
    PGUSER: 'tester',
    PGPASSWORD: token,
    PGDATABASE: 'eventful',
    PGSSLMODE: 'disable',
  };
  const stop = async () => {
    const { storeId } = openKeyring(directory, keys);
    await server.stop({ removeReadModel: true });
    await removeReadModel(storeId.toString('hex')).catch(() => undefined);
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    await declare(environment);
  } catch (error) {
    await stop();
    throw error;
  }
  return { environment, stop };
}

/** `node server.mjs`: a server to try one client by hand against; prints its environment, ends with ctrl-c. */
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { environment, stop } = await startClientServer();
  for (const [name, value] of Object.entries(environment)) console.log(`export ${name}='${value}'`);
  console.log('# ready');
  const end = () => void stop().then(() => process.exit(0));
  process.on('SIGINT', end);
  process.on('SIGTERM', end);
}
