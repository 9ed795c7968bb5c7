/** Listens on TCP and on a Unix socket, keeps count of the connections and hands them to where they are served. */
import { randomInt } from 'node:crypto';
import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { DatabaseError, SqlState } from '../engine/errors.js';
import type { Logger } from '../readmodel/index.js';
import { tooManyConnections } from './admission.js';
import type { SessionHost } from './host.js';
import { encodeErrorResponse } from './protocol/backend/error.js';

/** Connections beyond the limit that are heard: administrators get in, requests to cancel are carried out. */
const HEARD_BEYOND = 16;

export interface ListenOptions {
  readonly sessions: SessionHost;
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  /** Directory for `.s.PGSQL.<port>`; null: no Unix socket. */
  readonly socketDirectory: string | null;
  readonly maxConnections: number;
  readonly logger: Logger;
}

export class Listener {
  private readonly connections = new Set<number>();
  private readonly servers: Server[] = [];
  private socketPath: string | null = null;
  private lastClosed: () => void = () => undefined;

  private constructor(private readonly options: ListenOptions) {}

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

  private server(isLocal: boolean): Server {
    const pauseOnConnect = this.options.sessions.wantsPaused;
    return createServer({ pauseOnConnect }, (socket) => this.accept(socket, isLocal));
  }

  private async listenTcp(): Promise<void> {
    const { host, port } = this.options;
    const server = this.server(false);
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
    const server = this.server(true);
    await listen(server, { path }, path);
    chmodSync(path, 0o700);
    this.servers.push(server);
    this.socketPath = path;
  }

  private accept(socket: Socket, isLocal: boolean): void {
    socket.on('error', () => undefined);
    const beyond = this.connections.size - this.options.maxConnections;
    if (beyond >= HEARD_BEYOND) {
      socket.resume();
      socket.end(encodeErrorResponse(tooManyConnections(), 'FATAL'));
      // A client that does not close its side is not waited for.
      setTimeout(() => socket.destroy(), 1000).unref();
      return;
    }
    const id = this.newId();
    this.connections.add(id);
    this.options.sessions.serve(socket, { id, isLocal, isBeyondLimit: beyond >= 0 }, () => {
      this.connections.delete(id);
      if (this.connections.size === 0) this.lastClosed();
    });
  }

  private newId(): number {
    for (;;) {
      const id = randomInt(1, 0x7fff_ffff);
      if (!this.connections.has(id)) return id;
    }
  }

  /** Stops listening, then says goodbye to everybody. */
  async close(): Promise<void> {
    for (const server of this.servers) server.close();
    const closed = new Promise<void>((resolve) => (this.lastClosed = resolve));
    this.options.sessions.shutdown();
    if (this.connections.size > 0) await closed;
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
