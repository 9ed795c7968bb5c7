/** Where accepted connections are served: on this thread (LocalHost), or on others (threads/threadHost.ts). */
import type { Socket } from 'node:net';
import { createSecureContext } from 'node:tls';
import type { Logger } from '../readmodel/index.js';
import { StatementCache } from '../sql/cache.js';
import { BusyPoll } from './busyPoll.js';
import { Connection, type ConnectionServices } from './connection.js';
import type { SessionEngine, SessionReadModel, SessionReplication } from './ports.js';
import type { CancelRequest } from './protocol/startup.js';
import { Greeting } from './relay/greeting.js';
import { RelayPool, type Places } from './relay/pool.js';
import { SharedReaders } from './relay/sharedReaders.js';

/** What the listener knows of a connection. */
export interface Arrival {
  /** What the client knows as its backend's process id; unique in the server. */
  readonly id: number;
  /** A Unix socket: as private as TLS. */
  readonly isLocal: boolean;
  /** As many as may are there already: only an administrator gets in. */
  readonly isBeyondLimit: boolean;
}

export interface SessionHost {
  /** Sockets are to come paused, because another thread reads them. */
  readonly wantsPaused: boolean;
  serve(socket: Socket, arrival: Arrival, onClose: () => void): void;
  /** Cancels what the session runs that the request means, if its secret is right. */
  cancel(request: CancelRequest): void;
  /** Says goodbye to everybody. */
  shutdown(): void;
  /** After the last connection has closed. */
  close(): Promise<void>;
}

/** PEM certificate and key. */
export interface TlsPair {
  readonly cert: string;
  readonly key: string;
}

export interface LocalHostOptions {
  readonly engine: SessionEngine;
  readonly readModel: SessionReadModel;
  readonly replication: SessionReplication;
  /** null: no TLS, so only loopback and the Unix socket are served. */
  readonly tls: TlsPair | null;
  /** Milliseconds for startup, TLS and password. */
  readonly authenticationMs: number;
  /** How long the thread stays awake for the next request of a client that is alone; 0: not at all. */
  readonly busyPollMs: number;
  /** For connections to the read model. */
  readonly places: Places;
  readonly logger: Logger;
  /** Where cancel requests go; they may mean a session elsewhere. Default: the sessions of this host. */
  readonly cancel?: (request: CancelRequest) => void;
}

export class LocalHost implements SessionHost {
  readonly wantsPaused = false;
  readonly pool: RelayPool;
  private readonly connections = new Map<number, Connection>();
  private readonly services: ConnectionServices;

  constructor(options: LocalHostOptions) {
    const { engine, readModel, replication, tls, logger } = options;
    this.pool = new RelayPool(options.places);
    this.services = {
      engine,
      readModel,
      replication,
      logger,
      authenticationMs: options.authenticationMs,
      busyPoll: new BusyPoll(options.busyPollMs),
      cache: new StatementCache(),
      pool: this.pool,
      sharedReaders: new SharedReaders(readModel, this.pool),
      greeting: new Greeting(readModel),
      secureContext: tls === null ? null : createSecureContext({ ...tls, minVersion: 'TLSv1.2' }),
      cancel: options.cancel ?? ((request) => this.cancel(request)),
    };
  }

  serve(socket: Socket, arrival: Arrival, onClose: () => void): void {
    const connection = new Connection(socket, arrival, this.services, () => {
      this.connections.delete(arrival.id);
      onClose();
    });
    this.connections.set(arrival.id, connection);
  }

  cancel({ processId, secret }: CancelRequest): void {
    const connection = this.connections.get(processId);
    if (connection?.hasSecret(secret) === true) connection.cancel();
  }

  shutdown(): void {
    for (const connection of this.connections.values()) connection.shutdown();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
