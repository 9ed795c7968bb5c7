import { connect, type Socket } from 'node:net';
import pg from 'pg';
import { DatabaseError, SqlState } from '../../engine/errors.js';
import { encodeCancelRequest } from '../protocol/startup.js';
import type { ReadModelConnection } from '../../readmodel/index.js';
import { ReusingSocket, type Receiver } from './reusingSocket.js';

/** A connection to the read model, past its own authentication. */
export interface BackendConnection {
  /** To write to, to pause and to end; what is read goes to the listener alone. */
  readonly socket: Socket;
  /** From now on what is read goes there. To be called once, at once. */
  listen(receiver: Receiver): void;
  /** As the read model reported them: server_version, TimeZone, DateStyle, … */
  readonly parameters: ReadonlyMap<string, string>;
  /** Asks the read model to cancel what this connection is doing. */
  cancel(): void;
}

/** The parts of pg's client that outlive its own protocol loop; not in its published types. */
interface ClientParts {
  readonly processID: number;
  readonly secretKey: number;
  readonly connection: {
    on(
      event: 'parameterStatus',
      listener: (message: { parameterName: string; parameterValue: string }) => void,
    ): void;
    removeAllListeners(): void;
  };
}

/** A setting of the startup packet as an `options` word: spaces and backslashes are escaped as libpq does. */
function optionWord(name: string, value: string): string {
  return `-c ${name}=${value.replaceAll(/[\\ ]/g, (c) => `\\${c}`)}`;
}

/**
 * Logs in with pg, which knows every way PostgreSQL authenticates, then takes its socket over for the relay.
 * @param settings startup parameters of the client besides user and database
 * @param replication for a connection that takes replication commands too
 * @throws pg's DatabaseError (with `code`) when the read model refuses, e.g. an unknown setting
 */
export async function connectBackend(
  target: ReadModelConnection,
  settings: ReadonlyMap<string, string>,
  replication?: 'database',
): Promise<BackendConnection> {
  const words: string[] = [];
  for (const [name, value] of settings) words.push(name === 'options' ? value : optionWord(name, value));
  const reading = new ReusingSocket((bytes) => {
    reading.socket.emit('data', Buffer.from(bytes));
    return 0;
  });
  const { socket } = reading;
  const client = new pg.Client({
    ...target,
    stream: () => socket,
    ...(replication === undefined ? {} : { replication }),
    ...(words.length > 0 ? { options: words.join(' ') } : {}),
    connectionTimeoutMillis: 10_000,
  });
  const parts = client as unknown as ClientParts;
  const parameters = new Map<string, string>();
  parts.connection.on('parameterStatus', ({ parameterName, parameterValue }) =>
    parameters.set(parameterName, parameterValue),
  );
  // Until the takeover a lost connection is reported by connect(); after it by the relay.
  client.on('error', () => undefined);
  await client.connect();
  parts.connection.removeAllListeners();
  socket.removeAllListeners();
  for (const [name, value] of parameters) {
    const refusal = ambiguity(name, value);
    if (refusal === null) continue;
    socket.destroy();
    throw refusal;
  }
  return {
    socket,
    listen: (receiver) => reading.listen(receiver),
    parameters,
    cancel: () => cancelBackend(target, parts.processID, parts.secretKey),
  };
}

/**
 * Settings with which PostgreSQL would find other ends of strings than our parser, and so run what that took for text.
 * It reports both whenever they change, however they were changed.
 */
export function ambiguity(name: string, value: string): DatabaseError | null {
  if (name === 'standard_conforming_strings' && value !== 'on')
    return new DatabaseError(
      SqlState.featureNotSupported,
      'parameter "standard_conforming_strings" can only be on',
      { hint: "Write E'…' where backslashes are escapes." },
    );
  if (name === 'client_encoding' && value !== 'UTF8')
    return new DatabaseError(SqlState.featureNotSupported, 'client_encoding must be UTF8');
  return null;
}

function cancelBackend(target: ReadModelConnection, processId: number, secretKey: number): void {
  const secret = Buffer.alloc(4);
  secret.writeInt32BE(secretKey);
  const socket = connect({ path: `${target.host}/.s.PGSQL.${target.port}` });
  socket.on('error', () => undefined);
  socket.end(encodeCancelRequest(processId, secret));
}
