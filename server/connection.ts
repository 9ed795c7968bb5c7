/**
 * One client connection from its first byte: encryption, startup, password, then a session. Everything before the
 * password is limited in size and time, since it comes from anybody.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket, type SecureContext } from 'node:tls';
import { DatabaseError, SqlState } from '../engine/errors.js';
import type { Identity } from '../engine/tokens/identity.js';
import type { Logger } from '../readmodel/index.js';
import { requireLoopback, requireRoom, wantedReplication } from './admission.js';
import type { BusyPoll } from './busyPoll.js';
import { readClient } from './clientSocket.js';
import type { Arrival } from './host.js';
import {
  encodeAuthenticationCleartextPassword,
  encodeAuthenticationOk,
  encodeBackendKeyData,
  encodeNegotiateProtocolVersion,
} from './protocol/backend/authentication.js';
import { encodeErrorResponse } from './protocol/backend/error.js';
import { encodeParameterStatus, encodeReadyForQuery } from './protocol/backend/status.js';
import { FrameReader, type Frame } from './protocol/frames.js';
import { decodePassword } from './protocol/frontend/password.js';
import { looksLikeHttp, looksLikeTls, startupGarbage } from './protocol/garbage.js';
import { parseStartup, type CancelRequest, type StartupMessage } from './protocol/startup.js';
import { asDatabaseError, connectFailure } from './session/errors.js';
import type { ReplicationServices } from './replication/session.js';
import { ReplicationSession } from './replication/session.js';
import { Output } from './session/output.js';
import { Session } from './session/session.js';
import { isHarmless } from './session/sessionStatements.js';
import { startupOptions } from './session/startupOptions.js';
import { SessionState, type SessionServices } from './session/state.js';

/** Bytes of requests that may wait while one runs; then the client is no longer read from. */
const PIPELINE_BYTES = 1024 * 1024;
/** Startup parameters that are not settings. */
const NOT_SETTINGS = new Set(['user', 'database', 'replication', 'client_encoding']);
/** Protocol 3.2 is the newest we speak. */
const NEWEST_MINOR = 2;

export interface ConnectionServices extends SessionServices, ReplicationServices {
  readonly secureContext: SecureContext | null;
  readonly logger: Logger;
  /** The whole of startup, TLS and password must be done within this time. */
  readonly authenticationMs: number;
  readonly busyPoll: BusyPoll;
  /** Finds the session a CancelRequest means. */
  cancel(request: CancelRequest): void;
}

type Phase = 'startup' | 'password' | 'session' | 'closed';

export class Connection {
  readonly secret = randomBytes(32);
  private phase: Phase = 'startup';
  private stream: Duplex;
  private readonly reader = new FrameReader();
  private readonly output: Output;
  private session: Session | ReplicationSession | null = null;
  private startup: StartupMessage | null = null;
  private keyBytes = 4;
  private firstChunk = true;
  private encrypted = false;
  private replication = false;
  private working = false;
  private readonly timer: NodeJS.Timeout;
  private readonly socket: Socket;

  constructor(
    accepted: Socket,
    private readonly arrival: Arrival,
    private readonly services: ConnectionServices,
    private readonly onClose: () => void,
  ) {
    const socket = readClient(accepted, (chunk) => this.receive(chunk));
    this.socket = socket;
    this.stream = socket;
    this.output = new Output(socket);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 60_000);
    this.timer = setTimeout(() => this.destroy(), services.authenticationMs);
    this.timer.unref();
    this.listen(socket);
    socket.on('close', () => this.closed());
  }

  /** Checks a CancelRequest's secret without telling by its timing how much was right. */
  hasSecret(secret: Buffer): boolean {
    const own = this.secret.subarray(0, this.keyBytes);
    return secret.length === own.length && timingSafeEqual(secret, own);
  }

  cancel(): void {
    this.session?.cancel();
  }

  /** Says goodbye with 57P01 and closes. */
  shutdown(): void {
    this.fatal(
      new DatabaseError(SqlState.adminShutdown, 'terminating connection due to administrator command'),
    );
  }

  private listen(stream: Duplex): void {
    stream.on('error', () => this.destroy());
    stream.on('end', () => this.destroy());
  }

  private receive(chunk: Buffer): void {
    if (this.phase === 'closed') return;
    if (this.firstChunk) {
      this.firstChunk = false;
      if (looksLikeTls(chunk) && this.services.secureContext !== null && !this.arrival.isLocal) {
        this.startTls(this.services.secureContext, chunk);
        return;
      }
      if (looksLikeHttp(chunk)) {
        this.fatal(startupGarbage(chunk));
        return;
      }
    }
    this.services.busyPoll.request(this);
    this.reader.push(chunk);
    if (this.reader.buffered > PIPELINE_BYTES) this.stream.pause();
    this.work();
  }

  /** Takes message after message, one at a time; at once, as long as there is nothing to wait for. */
  private work(): void {
    if (this.working) return;
    this.working = true;
    try {
      for (let frame = this.next(); frame !== null; frame = this.next()) {
        const pending = this.handle(frame) ?? this.backlog;
        if (pending !== null) {
          void this.workAfter(pending);
          return;
        }
        this.readOn(PIPELINE_BYTES);
      }
    } catch (error) {
      this.fatal(error);
    }
    this.working = false;
    this.readOn(Infinity);
  }

  private async workAfter(pending: Promise<boolean | void>): Promise<void> {
    try {
      if ((await pending) === false) this.destroy();
      this.services.busyPoll.answered(this);
      const { backlog } = this;
      if (backlog !== null) await backlog;
    } catch (error) {
      this.fatal(error);
    }
    this.readOn(PIPELINE_BYTES);
    this.working = false;
    this.work();
  }

  /** Resolves once what waits for the client, or for the read model, has become less. */
  private get backlog(): Promise<void> | null {
    return this.output.backlog ?? this.session?.backlog ?? null;
  }

  /** Reads from the client again once no more than `most` bytes of requests wait. */
  private readOn(most: number): void {
    if (this.reader.buffered <= most && this.phase !== 'closed' && this.stream.isPaused())
      this.stream.resume();
  }

  private next(): Frame | null {
    return this.phase === 'closed' ? null : this.reader.next();
  }

  /** null when it is done. The promise's false means that the client said goodbye. */
  private handle(frame: Frame): Promise<boolean | void> | null {
    switch (this.phase) {
      case 'startup':
        this.handleStartup(frame);
        return null;
      case 'password':
        return this.handlePassword(frame);
      case 'session': {
        const goesOn = this.session?.handle(frame) ?? false;
        if (goesOn instanceof Promise) return goesOn;
        if (!goesOn) this.destroy();
        return null;
      }
      case 'closed':
        return null;
    }
  }

  private handleStartup(frame: Frame): void {
    const packet = parseStartup(frame.body);
    switch (packet.kind) {
      case 'ssl':
        this.answerSslRequest();
        return;
      case 'gssenc':
        this.refuseBuffered();
        this.socket.write('N');
        return;
      case 'cancel':
        this.services.cancel(packet);
        this.destroy();
        return;
      case 'startup':
        this.beginStartup(packet);
    }
  }

  /** Bytes sent before the encryption that they were meant to follow may come from somebody else: refuse them. */
  private refuseBuffered(): void {
    if (this.reader.buffered === 0) return;
    this.reader.discard();
    throw new DatabaseError(SqlState.protocolViolation, 'received unencrypted data after SSL request');
  }

  private answerSslRequest(): void {
    this.refuseBuffered();
    const { secureContext } = this.services;
    if (secureContext === null || this.arrival.isLocal || this.encrypted) {
      this.socket.write('N');
      return;
    }
    this.socket.write('S');
    this.startTls(secureContext, null);
  }

  private startTls(secureContext: SecureContext, first: Buffer | null): void {
    // A flowing socket would drop what is put back.
    this.socket.pause();
    this.socket.removeAllListeners('data');
    this.socket.removeAllListeners('end');
    if (first !== null) this.socket.unshift(first);
    const secure = new TLSSocket(this.socket, {
      isServer: true,
      secureContext,
      ALPNProtocols: ['postgresql'],
    });
    this.encrypted = true;
    this.stream = secure;
    this.output.use(secure);
    secure.on('data', (chunk: Buffer) => this.receive(chunk));
    this.listen(secure);
  }

  private beginStartup(packet: StartupMessage): void {
    this.replication = wantedReplication(packet.parameters);
    const unknown = [...packet.extensions.keys()];
    if (packet.minor > NEWEST_MINOR || unknown.length > 0)
      this.output.write(encodeNegotiateProtocolVersion(Math.min(packet.minor, NEWEST_MINOR), unknown));
    if (packet.minor >= 2) this.keyBytes = this.secret.length;
    this.startup = packet;
    this.phase = 'password';
    this.reader.mode = 'authentication';
    if (!this.encrypted && !this.arrival.isLocal) requireLoopback(this.socket.remoteAddress);
    this.output.write(encodeAuthenticationCleartextPassword());
    this.output.flush();
  }

  private async handlePassword(frame: Frame): Promise<void> {
    const { password } = decodePassword(frame.body);
    const { engine, logger } = this.services;
    const identity = await engine.tokens.authenticate(password);
    requireRoom(this.arrival, identity);
    const parameters = this.startup?.parameters ?? new Map<string, string>();
    const settings = new Map([...parameters].filter(([name]) => !NOT_SETTINGS.has(name)));
    if (this.replication) {
      await this.startReplication(identity, settings);
      return;
    }
    const state = new SessionState(this.services, identity, settings, this.output);
    for (const [name, value] of [...settings, ...startupOptions(settings.get('options') ?? '')]) {
      state.settings.set(name.toLowerCase(), value);
      if (!isHarmless(name)) state.plainNames = false;
    }
    state.settings.started();
    let reported: ReadonlyMap<string, string>;
    try {
      reported = await state.greeting();
    } catch (error) {
      throw connectFailure(error);
    }
    const session = new Session(
      state,
      (error) => logger.error({ err: error }, 'unforeseen error'),
      (error) => this.fatal(error),
    );
    this.begin(session, identity.actor, reported);
  }

  private async startReplication(identity: Identity, settings: ReadonlyMap<string, string>): Promise<void> {
    const onFatal = (error: unknown): void => this.fatal(error);
    const { session, reported } = await ReplicationSession.connect(
      this.services,
      identity,
      settings,
      this.output,
      onFatal,
    );
    this.begin(session, identity.actor, reported);
  }

  /** The password was right: greets the client, unless it has left meanwhile. Then nothing it sent is run. */
  private begin(
    session: Session | ReplicationSession,
    actor: string,
    reported: ReadonlyMap<string, string>,
  ): void {
    clearTimeout(this.timer);
    if (this.phase === 'closed') {
      session.close();
      return;
    }
    this.session = session;
    this.phase = 'session';
    this.reader.mode = 'normal';
    const { output, startup } = this;
    output.write(encodeAuthenticationOk());
    for (const [name, value] of reported)
      // Which role of the read model stands behind the session is nobody's business.
      output.write(encodeParameterStatus({ name, value: name === 'session_authorization' ? actor : value }));
    output.write(
      encodeBackendKeyData({ processId: this.arrival.id, secret: this.secret.subarray(0, this.keyBytes) }),
    );
    output.write(encodeReadyForQuery('I'));
    output.flush();
    const user = startup?.parameters.get('user');
    this.services.logger.info(
      { connection: this.arrival.id, user, actor, ...(this.replication ? { replication: true } : {}) },
      'connected',
    );
  }

  private fatal(error: unknown): void {
    if (this.phase === 'closed') return;
    if (!(error instanceof DatabaseError)) this.services.logger.error({ err: error }, 'connection failed');
    this.output.settle(() => null);
    this.output.write(encodeErrorResponse(asDatabaseError(error), 'FATAL'));
    this.output.flush();
    this.phase = 'closed';
    if (this.session instanceof ReplicationSession) this.session.close();
    this.stream.end();
    // A client that does not close its side is not waited for.
    setTimeout(() => this.socket.destroy(), 1000).unref();
  }

  private destroy(): void {
    this.phase = 'closed';
    this.stream.destroy();
    this.socket.destroy();
  }

  private closed(): void {
    this.phase = 'closed';
    clearTimeout(this.timer);
    this.session?.close();
    this.onClose();
  }
}
