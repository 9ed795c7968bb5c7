/** `npm run demo`: a server of its own, a real event log, and what can be asked of it. `--exit` ends it after that. */
import { randomBytes } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { ensureCertificate, readTlsPair } from '../../cli/certificate.js';
import { connectionString, DATABASE, psqlCommand, type Endpoint } from '../../cli/connect.js';
import { packageRoot } from '../../cli/packageInfo.js';
import { writePidfile } from '../../cli/pidfile.js';
import { reportError } from '../../cli/report.js';
import { untilSignal } from '../../cli/serve.js';
import { createKeyring, DatabaseError, SqlState } from '../../engine/index.js';
import { startServer, type RunningServer } from '../../server/index.js';
import { readEvents } from './csv.js';
import { loadEvents } from './load.js';
import { CREATE_PATIENT } from './model.js';
import { makePlace, removeAbandoned } from './place.js';
import { runTour } from './queries.js';
import { print, startProgress } from './show.js';

const PORT = 9595;
const HOST = '127.0.0.1';
const PORTS_TRIED = 20;
const DAY_SECONDS = 86_400;

/** Only what goes wrong is told. */
const logger = {
  info: () => undefined,
  warn: (details: object, message: string) => print(`warning: ${message} ${JSON.stringify(details)}`),
  error: (details: object, message: string) => print(`error: ${message} ${JSON.stringify(details)}`),
};

/** On the first free port from 9595; the keys live in this process's memory alone. */
async function startDemoServer(directory: string): Promise<{ server: RunningServer; endpoint: Endpoint }> {
  const [cert, key] = [join(directory, 'tls', 'server.crt'), join(directory, 'tls', 'server.key')];
  await ensureCertificate(cert, key);
  const keys = { masterKey: randomBytes(32), dek: randomBytes(32) };
  createKeyring(directory, keys);
  for (let port = PORT; ; port++) {
    try {
      const server = await startServer({
        ...keys,
        directory,
        host: HOST,
        port,
        socketDirectory: directory,
        tls: readTlsPair(cert, key),
        logger,
      });
      writePidfile(directory, { host: HOST, port, socket: server.unixSocket });
      return { server, endpoint: { host: HOST, port, socket: server.unixSocket, rootCertificate: cert } };
    } catch (error) {
      const taken = error instanceof DatabaseError && error.sqlstate === SqlState.objectInUse;
      if (!taken || port - PORT >= PORTS_TRIED) throw error;
    }
  }
}

async function makeToken({ engine }: RunningServer): Promise<string> {
  const { token } = await engine.tokens.generate(
    {
      identifierType: 'user',
      identifierId: 'demo',
      grants: [{ action: 'admin', aggregateType: '', aggregateId: '' }],
      expiresAt: Math.floor(Date.now() / 1000) + DAY_SECONDS,
      writeLimit: null,
    },
    { actor: 'system:demo', tokenId: null, writeLimit: null },
  );
  return token;
}

async function connect(endpoint: Endpoint, token: string): Promise<pg.Client> {
  const { port, rootCertificate } = endpoint;
  const client = new pg.Client({
    host: 'localhost',
    port,
    user: 'demo',
    database: DATABASE,
    password: token,
    ssl: rootCertificate === null ? true : { ca: readFileSync(rootCertificate, 'utf8') },
    // Everything as the text it came as.
    types: { getTypeParser: () => (text: string) => text },
  });
  await client.connect();
  return client;
}

async function loadAndAsk(client: pg.Client): Promise<void> {
  const events = readEvents(join(packageRoot(), 'examples', 'sepsis', 'sepsis.csv'));
  await client.query(CREATE_PATIENT);
  print(`Loading ${events.length.toLocaleString('en')} events of real sepsis patients over the wire:`);
  const progress = startProgress(events.length);
  const { positions, seconds, eventsPerSecond } = await loadEvents(client, events, (done) =>
    progress.update(done),
  );
  progress.end();
  const speed = Math.round(eventsPerSecond).toLocaleString('en');
  print(`  loaded in ${seconds.toFixed(2)} s: ${speed} events/s, each on disk, encrypted and hashed`);
  const halfway = Math.floor(events.length / 2);
  const position = positions[halfway - 1] ?? '';
  await runTour({ client, events, halfway, position, end: BigInt(positions.at(-1) ?? 0) });
}

function printGoOn(endpoint: Endpoint, token: string): void {
  print();
  print('All answers are right. Go on by yourself, in another terminal:');
  print();
  print(`  export PGPASSWORD=${token}`);
  print(`  ${psqlCommand(endpoint, 'demo')}`);
  const script = `const pg = require('pg'); const c = new pg.Client('${connectionString(endpoint, 'demo')}'); c.connect().then(() => c.query('SELECT count(*) FROM patient')).then((r) => { console.log(r.rows); return c.end(); })`;
  print(`  node -e "${script}"`);
  print();
  print('Ctrl-C stops the server and removes the data.');
}

async function main(): Promise<void> {
  const started = performance.now();
  const stopAtOnce = process.argv.includes('--exit');
  const interrupted = untilSignal();
  await removeAbandoned();
  const directory = makePlace();
  let server: RunningServer | null = null;
  try {
    const running = await startDemoServer(directory);
    server = running.server;
    const { endpoint } = running;
    print(`EventfulDB listens on ${HOST}:${endpoint.port} (TLS), data in ${directory}`);
    const token = await makeToken(server);
    const client = await connect(endpoint, token);
    // The server says goodbye to everybody when it is stopped.
    client.on('error', () => undefined);
    const finished = await Promise.race([loadAndAsk(client).then(() => true), interrupted]);
    if (finished !== true) return;
    print(`\nThe whole demo took ${((performance.now() - started) / 1000).toFixed(1)} s.`);
    if (stopAtOnce) return;
    await client.end();
    printGoOn(endpoint, token);
    await interrupted;
  } finally {
    await server?.stop({ removeReadModel: true });
    rmSync(directory, { recursive: true, force: true });
  }
}

main().then(
  () => process.exit(0),
  (error: unknown) => process.exit(reportError(error)),
);
