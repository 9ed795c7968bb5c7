/** A whole server: engine, read model and listener, started and stopped in the right order. */
import { openEngine, type StoreKeys } from '../engine/index.js';
import type { Engine } from '../engine/engine.js';
import { startReadModel, type Logger, type ReadModel } from '../readmodel/index.js';
import { prepareParser } from '../sql/parse.js';
import { windowMs } from './busyPoll.js';
import { LocalHost, type SessionHost, type TlsPair } from './host.js';
import { Listener } from './listener.js';
import { OwnPlaces } from './relay/pool.js';
import { Slots } from './replication/slots.js';
import { ThreadHost } from './threads/threadHost.js';

export interface ServerOptions extends StoreKeys {
  readonly directory: string;
  readonly host: string;
  readonly port: number;
  readonly socketDirectory: string | null;
  /** null: no TLS, so only loopback and the Unix socket are served. */
  readonly tls: TlsPair | null;
  readonly maxConnections?: number;
  /** Connections to the read model at once. */
  readonly maxBackends?: number;
  /** Threads that serve sessions; 0: they are served on the engine's. */
  readonly sessionThreads?: number;
  /** Microseconds a thread stays awake for the next request of a client that is alone; 0: it sleeps at once. */
  readonly busyPollUs?: number;
  /** Milliseconds a client may take for TLS, startup and password. */
  readonly authenticationMs?: number;
  /** Where the read model keeps its data; default: memory (/dev/shm). */
  readonly readModelDirectory?: string;
  /** Memory for tables of the past, all together; 0: none are made. */
  readonly historyBytes?: number;
  /** A look-back over fewer aggregates is answered by the engine itself. */
  readonly historyFrom?: number;
  readonly segmentBytes?: number;
  readonly logger: Logger;
  readonly onRebuildProgress?: (rows: number) => void;
}

/** Sessions at once; idle ones cost little. */
const MAX_CONNECTIONS = 2000;
/** The read model takes 200 connections, of which it and we need some. */
const MAX_BACKENDS = 180;
const BUSY_POLL_US = 250;
const HISTORY_BYTES = 512 * 1024 * 1024;
const HISTORY_FROM = 1000;
/** As PostgreSQL's authentication_timeout. */
const AUTHENTICATION_MS = 60_000;

export interface RunningServer {
  readonly port: number;
  readonly unixSocket: string | null;
  readonly engine: Engine;
  readonly readModel: ReadModel;
  /** @param removeReadModel also remove the read model's data from memory */
  stop(options?: { readonly removeReadModel?: boolean }): Promise<void>;
}

/** @throws DatabaseError when a key is wrong, the store is damaged or in use, or the port is taken */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { logger } = options;
  await prepareParser();
  const engine = await openEngine({
    directory: options.directory,
    masterKey: options.masterKey,
    dek: options.dek,
    onError: (error) => logger.error({ err: error }, 'background work failed'),
    ...(options.segmentBytes === undefined ? {} : { segmentBytes: options.segmentBytes }),
  });
  let readModel: ReadModel | null = null;
  let sessions: SessionHost | null = null;
  try {
    readModel = await startReadModel({
      source: engine,
      directory: options.readModelDirectory,
      logger,
      history: {
        source: engine,
        limitBytes: options.historyBytes ?? HISTORY_BYTES,
        fromAggregates: options.historyFrom ?? HISTORY_FROM,
      },
      onRebuildProgress: options.onRebuildProgress,
    });
    const slots = new Slots(options.directory, { engine, readModel, logger });
    await slots.start();
    sessions = await sessionHost(options, engine, readModel, slots);
    const listener = await Listener.start({
      sessions,
      host: options.host,
      port: options.port,
      socketDirectory: options.socketDirectory,
      maxConnections: options.maxConnections ?? MAX_CONNECTIONS,
      logger,
    });
    return running({ engine, readModel, sessions, listener, slots });
  } catch (error) {
    await sessions?.close();
    await readModel?.stop();
    await engine.close();
    throw error;
  }
}

async function sessionHost(
  options: ServerOptions,
  engine: Engine,
  readModel: ReadModel,
  replication: Slots,
): Promise<SessionHost> {
  const { tls, logger, sessionThreads: threads = 0, maxBackends = MAX_BACKENDS } = options;
  const { authenticationMs = AUTHENTICATION_MS, busyPollUs = BUSY_POLL_US } = options;
  const busyPollMs = windowMs(busyPollUs, threads);
  return threads > 0
    ? ThreadHost.start({
        engine,
        readModel,
        replication,
        threads,
        tls,
        maxBackends,
        authenticationMs,
        busyPollMs,
        logger,
      })
    : new LocalHost({
        engine,
        readModel,
        replication,
        tls,
        places: new OwnPlaces(maxBackends),
        authenticationMs,
        busyPollMs,
        logger,
      });
}

interface Parts {
  readonly engine: Engine;
  readonly readModel: ReadModel;
  readonly sessions: SessionHost;
  readonly listener: Listener;
  readonly slots: Slots;
}

function running({ engine, readModel, sessions, listener, slots }: Parts): RunningServer {
  let stopping: Promise<void> | null = null;
  const stop = async (removeReadModel: boolean): Promise<void> => {
    await listener.close();
    await sessions.close();
    slots.close();
    await readModel.stop({ remove: removeReadModel });
    await engine.close();
  };
  return {
    port: listener.port,
    unixSocket: listener.unixSocket,
    engine,
    readModel,
    stop: ({ removeReadModel = false } = {}) => (stopping ??= stop(removeReadModel)),
  };
}
