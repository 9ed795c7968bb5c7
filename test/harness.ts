/** Real servers for the tests: each in its own directory, on a free port, with its read model in memory. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { createKeyring, openKeyring, type StoreKeys } from '../engine/index.js';
import { parseGrant } from '../engine/tokens/grants.js';
import { removeReadModel } from '../readmodel/index.js';
import { startServer, type RunningServer } from '../server/index.js';
import { placeCluster } from './clusterTemplate.js';

const SILENT = {
  info: () => undefined,
  warn: () => undefined,
  error: (o: object, m: string) => console.error(m, o),
};

export interface TestServer {
  readonly server: RunningServer;
  readonly directory: string;
  readonly keys: StoreKeys;
  readonly port: number;
  /** An admin's token. */
  readonly token: string;
  tokenFor(
    grants: readonly string[],
    options?: { readonly limit?: bigint; readonly seconds?: number; readonly holder?: string },
  ): Promise<string>;
  connect(token?: string, config?: pg.ClientConfig): Promise<pg.Client>;
  stop(): Promise<void>;
  /** Stops and removes everything. */
  destroy(): Promise<void>;
}

export interface TestServerOptions {
  /** An existing store to open again. */
  readonly reopen?: Pick<TestServer, 'directory' | 'keys'>;
  /** Default: any free one. */
  readonly port?: number;
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly segmentBytes?: number;
  readonly sessionThreads?: number;
  readonly maxBackends?: number;
  readonly maxConnections?: number;
  readonly authenticationMs?: number;
  readonly historyBytes?: number;
  readonly historyFrom?: number;
}

/** So that the whole suite can run with sessions on threads of their own (npm run test:threads). */
const SESSION_THREADS = Number(process.env['EVENTFUL_TEST_SESSION_THREADS'] ?? 0);

/** So that the golden scripts can run with tables of the past, however few aggregates they have. */
const HISTORY_FROM =
  process.env['EVENTFUL_TEST_HISTORY_FROM'] === undefined
    ? undefined
    : Number(process.env['EVENTFUL_TEST_HISTORY_FROM']);

export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const directory = options.reopen?.directory ?? mkdtempSync(join(tmpdir(), 'eventful-test-'));
  const keys = options.reopen?.keys ?? { masterKey: randomBytes(32), dek: randomBytes(32) };
  if (options.reopen === undefined) {
    createKeyring(directory, keys);
    placeCluster(openKeyring(directory, keys).storeId.toString('hex'));
  }
  const historyFrom = options.historyFrom ?? HISTORY_FROM;
  const server = await startServer({
    directory,
    ...keys,
    host: '127.0.0.1',
    port: options.port ?? 0,
    socketDirectory: directory,
    tls: options.tls ?? null,
    logger: SILENT,
    sessionThreads: options.sessionThreads ?? SESSION_THREADS,
    ...(options.maxBackends === undefined ? {} : { maxBackends: options.maxBackends }),
    ...(options.maxConnections === undefined ? {} : { maxConnections: options.maxConnections }),
    ...(options.segmentBytes === undefined ? {} : { segmentBytes: options.segmentBytes }),
    ...(options.historyBytes === undefined ? {} : { historyBytes: options.historyBytes }),
    ...(historyFrom === undefined ? {} : { historyFrom }),
    ...(options.authenticationMs === undefined ? {} : { authenticationMs: options.authenticationMs }),
  });
  const tokenFor: TestServer['tokenFor'] = async (
    grants,
    { limit, seconds = 3600, holder = 'tester' } = {},
  ) => {
    const { token } = await server.engine.tokens.generate(
      {
        identifierType: 'user',
        identifierId: holder,
        grants: grants.map(parseGrant),
        expiresAt: Math.floor(Date.now() / 1000) + seconds,
        writeLimit: limit ?? null,
      },
      { actor: 'system:test', tokenId: null, writeLimit: null },
    );
    return token;
  };
  const token = await tokenFor(['admin']);
  const { port } = server;
  return {
    server,
    directory,
    keys,
    port,
    token,
    tokenFor,
    async connect(password = token, config = {}) {
      const client = new pg.Client({
        host: '127.0.0.1',
        port,
        user: 'tester',
        database: 'eventful',
        password,
        ...config,
      });
      client.on('error', () => undefined);
      await client.connect();
      return client;
    },
    stop: () => server.stop(),
    async destroy() {
      const { storeId } = openKeyring(directory, keys);
      await server.stop({ removeReadModel: true });
      await removeReadModel(storeId.toString('hex')).catch(() => undefined);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
