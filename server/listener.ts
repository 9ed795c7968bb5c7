/** Listens on TCP and on a Unix socket, and keeps count of the connections. */
import { randomInt } from 'node:crypto';
import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { createSecureContext } from 'node:tls';
import { DatabaseError, SqlState } from '../engine/errors.js';
import type { Engine } from '../engine/engine.js';
import type { Logger, ReadModel } from '../readmodel/index.js';
import { StatementCache } from '../sql/cache.js';
import { Greeting } from './relay/greeting.js';
import { RelayPool } from './relay/pool.js';
import { Connection, type ConnectionServices } from './connection.js';
import { encodeErrorResponse } from './protocol/backend/error.js';

export interface ListenOptions {
  readonly engine: Engine;
  readonly readModel: ReadModel;
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  /** Directory for `.s.PGSQL.<port>`; null: no Unix socket. */
  readonly socketDirectory: string | null;
  /** PEM certificate and key; null: no TLS, so only loopback and the Unix socket are served. */
  readonly tls: { readonly cert: string; readonly key: string } | null;
  readonly maxConnections: number;
  /** Connections to the read model at once. */
  readonly maxBackends: number;
  readonly logger: Logger;
}

export class Listener {
  private readonly connections = new Map<number, Connection>();
  private readonly servers: Server[] = [];
  private socketPath: string | null = null;
  private readonly services: ConnectionServices;

  private constructor(private readonly options: ListenOptions) {
    const { tls, engine, readModel, logger } = options;
    this.services = {
      engine,
      readModel,
      logger,
      cache: new StatementCache(),
      pool: new RelayPool(options.maxBackends),
      greeting: new Greeting(readModel),
      secureContext: tls === null ? null : createSecureContext({ ...tls, minVersion: 'TLSv1.2' }),
      cancel: ({ processId, secret }) => {
        const connection = this.connections.get(processId);
        if (connection?.hasSecret(secret) === true) connection.cancel();
      },
    };
  }

  /** @throws DatabaseError 55006 when the port is taken */
  static async start(options: ListenOptions): Promise<Listener> {
    const listener = new Listener(options);
    try {
      await listener.listenTcp();
      if (options.socketDirectory !== null) await listener.listenUnix(options.socketDirectory);
    } catch (error) {
      await listener.close();
      throw error;
    }
    return listener;
  }

  get port(): number {
    const address = this.servers[0]?.address();
    return typeof address === 'object' && address !== null ? address.port : this.options.port;
  }

  /** The path of the Unix socket, null without one. */
  get unixSocket(): string | null {
    return this.socketPath;
  }

  get connectionCount(): number {
    return this.connections.size;
  }

  private async listenTcp(): Promise<void> {
    const { host, port } = this.options;
    const server = createServer((socket) => this.accept(socket, false));
    await listen(server, { host, port }, `${host}:${port}`);
    this.servers.push(server);
  }

  private async listenUnix(directory: string): Promise<void> {
    const path = join(directory, `.s.PGSQL.${this.port}`);
    if (Buffer.byteLength(path) > 100) {
      this.options.logger.warn({ path }, 'the path is too long for a Unix socket; listening on TCP only');
      return;
    }
    // The TCP port is ours, so a socket file of that number is a leftover.
    rmSync(path, { force: true });
    const server = createServer((socket) => this.accept(socket, true));
    await listen(server, { path }, path);
    chmodSync(path, 0o700);
    this.servers.push(server);
    this.socketPath = path;
  }

  private accept(socket: Socket, isLocal: boolean): void {
    socket.on('error', () => undefined);
    if (this.connections.size >= this.options.maxConnections) {
      const error = new DatabaseError(SqlState.tooManyConnections, 'sorry, too many clients already');
      socket.end(encodeErrorResponse(error, 'FATAL'));
      return;
    }
    const id = this.newId();
    const connection = new Connection(socket, id, isLocal, this.services, () => this.connections.delete(id));
    this.connections.set(id, connection);
  }

  private newId(): number {
    for (;;) {
      const id = randomInt(1, 0x7fff_ffff);
      if (!this.connections.has(id)) return id;
    }
  }

  /** Stops listening, then says goodbye to everybody. */
  async close(): Promise<void> {
    const closing = this.servers.map((server) => new Promise((resolve) => server.close(resolve)));
    for (const connection of this.connections.values()) connection.shutdown();
    await Promise.all(closing);
    if (this.socketPath !== null) rmSync(this.socketPath, { force: true });
  }
}

function listen(server: Server, where: object, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(
        error.code === 'EADDRINUSE'
          ? new DatabaseError(SqlState.objectInUse, `${name} is in use`, {
              hint: 'Another server runs there. Stop it, or start with another --port.',
            })
          : new DatabaseError(SqlState.ioError, `cannot listen on ${name}: ${error.message}`),
      );
    });
    server.listen(where, () => resolve());
  });
}
