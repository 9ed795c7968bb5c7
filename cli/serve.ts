/** Runs a server in this process until it is told to stop. */
import { isAbsolute, join } from 'node:path';
import { storeIdOf, type StoreKeys } from '../engine/index.js';
import { removeReadModel, type Logger, type RebuildReport } from '../readmodel/index.js';
import { startServer, type RunningServer } from '../server/index.js';
import { defaultSessionThreads } from '../server/sessionThreads.js';
import { readTlsPair } from './certificate.js';
import type { Endpoint } from './connect.js';
import { removePidfile, writePidfile } from './pidfile.js';
import {
  DEFAULT_SETTINGS,
  readModelParent,
  readSettings,
  resolveSetting,
  type Settings,
} from './settings.js';

/** A Unix socket's path may have 103 bytes on macOS, 107 on Linux; the server takes 100. */
const SOCKET_PATH_MAX = 100;

export interface ServeOptions {
  readonly dataDir: string;
  readonly keys: StoreKeys;
  readonly settings: Settings;
  readonly logger: Logger;
}

export interface Ready {
  readonly endpoint: Endpoint;
  /** What filling the read model took; null when there was nothing to do. */
  readonly rebuild: RebuildReport | null;
}

/** Where the Unix socket goes; null when the path would be too long for one. */
export function socketDirectory(dataDir: string, settings: Settings): string | null {
  const given = settings.socketDirectory ?? dataDir;
  const directory = isAbsolute(given) ? given : join(dataDir, given);
  return Buffer.byteLength(join(directory, '.s.PGSQL.65535')) > SOCKET_PATH_MAX ? null : directory;
}

/** The certificate clients must be given to know the server: the one `config` made. */
export function rootCertificate(dataDir: string, settings: Settings): string | null {
  return settings.tlsCert === DEFAULT_SETTINGS.tlsCert ? resolveSetting(dataDir, settings.tlsCert) : null;
}

/** @throws DatabaseError or CommandError for settings or a certificate that no server could start with */
export function requireStartable(dataDir: string): void {
  const { tlsCert, tlsKey } = readSettings(dataDir);
  readTlsPair(resolveSetting(dataDir, tlsCert), resolveSetting(dataDir, tlsKey));
}

async function start({ dataDir, keys, settings, logger }: ServeOptions): Promise<RunningServer> {
  const readModelDirectory = readModelParent(dataDir, settings);
  // One that was in memory before it was given a directory would stay there. Somebody else's, of a copy, is in use.
  if (readModelDirectory !== undefined) await removeReadModel(storeIdOf(dataDir)).catch(() => undefined);
  return startServer({
    ...keys,
    directory: dataDir,
    host: settings.host,
    port: settings.port,
    socketDirectory: socketDirectory(dataDir, settings),
    tls: readTlsPair(resolveSetting(dataDir, settings.tlsCert), resolveSetting(dataDir, settings.tlsKey)),
    maxConnections: settings.maxConnections,
    authenticationMs: settings.authenticationTimeout * 1000,
    sessionThreads: settings.sessionThreads ?? defaultSessionThreads(),
    busyPollUs: settings.busyPollUs,
    historyBytes: settings.historyMb * 1024 * 1024,
    historyFrom: settings.historyFrom,
    logger,
    ...(readModelDirectory === undefined ? {} : { readModelDirectory }),
  });
}

const EXIT_CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/**
 * Resolves at the first SIGINT, SIGTERM, or SIGHUP (the terminal is gone); a second one ends the process at once. What Node
 * would do at SIGUSR1, to let any debugger in, must not happen to a process that holds the keys.
 */
export function untilSignal(): Promise<NodeJS.Signals> {
  for (const signal of ['SIGUSR1', 'SIGUSR2'] as const) process.on(signal, () => undefined);
  return new Promise((resolve) => {
    let first = true;
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => {
        if (!first) process.exit(EXIT_CODES[signal]);
        first = false;
        resolve(signal);
      });
    }
  });
}

/**
 * Serves until SIGINT, SIGTERM or SIGHUP, then stops cleanly.
 * @throws DatabaseError when the server cannot start
 */
export async function serve(options: ServeOptions, onReady: (ready: Ready) => void): Promise<void> {
  const { dataDir, settings, logger } = options;
  // Before the start: a signal that comes meanwhile must not leave a PostgreSQL behind.
  const signal = untilSignal();
  const server = await start(options);
  try {
    const { port, unixSocket } = server;
    writePidfile(dataDir, { host: settings.host, port, socket: unixSocket });
    logger.info({ pid: process.pid, host: settings.host, port, socket: unixSocket }, 'serving');
    onReady({
      endpoint: {
        host: settings.host,
        port,
        socket: unixSocket,
        rootCertificate: rootCertificate(dataDir, settings),
      },
      rebuild: server.readModel.report,
    });
    logger.info({ signal: await signal }, 'stopping');
  } finally {
    await server.stop();
    removePidfile(dataDir);
    logger.info({}, 'stopped');
  }
}
