/** Serves connections on session threads: gives each to the one with the fewest, and replaces a thread that ends. */
import { randomInt } from 'node:crypto';
import type { Socket } from 'node:net';
import { DatabaseError, SqlState } from '../../engine/errors.js';
import type { Engine } from '../../engine/engine.js';
import type { Logger, ReadModel } from '../../readmodel/index.js';
import type { Arrival, SessionHost, TlsPair } from '../host.js';
import type { SessionReplication } from '../ports.js';
import { encodeErrorResponse } from '../protocol/backend/error.js';
import type { CancelRequest } from '../protocol/startup.js';
import { fromPlain } from './errors.js';
import { lend, Returned } from './lent.js';
import type { Cancel, FromThread, News } from './messages.js';
import { SessionThread } from './sessionThread.js';
import { Progress, SharedPlaces } from './shared.js';
import { SharedStates } from './sharedStates.js';

/** A thread that ends sooner than this after its start is replaced only after as long again. */
const QUICK_MS = 1000;
/** Saying goodbye to all its connections takes a thread a second at most. */
const GOODBYE_MS = 5000;
const SEEDS = 2 ** 32;

export interface ThreadHostOptions {
  readonly engine: Engine;
  readonly readModel: ReadModel;
  readonly replication: SessionReplication;
  readonly threads: number;
  readonly tls: TlsPair | null;
  readonly maxBackends: number;
  readonly authenticationMs: number;
  readonly busyPollMs: number;
  readonly logger: Logger;
}

export class ThreadHost implements SessionHost {
  readonly wantsPaused = true;
  /** null: being replaced. */
  readonly threads: (SessionThread | null)[] = [];
  private readonly progress = new Progress();
  private readonly statesMemory = SharedStates.memory([randomInt(SEEDS), randomInt(SEEDS)]);
  private readonly states = new SharedStates(this.statesMemory);
  private readonly places: SharedArrayBuffer;
  private readonly returned = new Returned();
  private readonly unfollow: (() => void)[];
  private readonly onDown = (): void => {
    this.progress.pid = this.options.readModel.pid;
    for (const thread of this.threads) thread?.send({ kind: 'down' });
  };
  private readonly onUp = (): void => {
    this.progress.pid = this.options.readModel.pid;
  };
  private ending = false;
  private impatient: NodeJS.Timeout | undefined;

  private constructor(private readonly options: ThreadHostOptions) {
    const { engine, readModel } = options;
    this.places = SharedPlaces.memory(options.threads);
    this.progress.committed = engine.committedPosition();
    const applied = (): void =>
      this.progress.setApplied(readModel.appliedPosition, readModel.appliedRevision);
    applied();
    this.unfollow = [
      engine.onCommit(({ lastPosition, schema, states }) => {
        for (const row of states) this.states.publish(row);
        if (schema !== null) this.tell({ kind: 'schema', schema });
        this.progress.committed = lastPosition;
      }),
      engine.tokens.onRevoked((tokenId) => this.tell({ kind: 'revoked', tokenId })),
      readModel.onApplied(applied),
      () => readModel.off('down', this.onDown),
      () => readModel.off('up', this.onUp),
    ];
    readModel.on('down', this.onDown);
    readModel.on('up', this.onUp);
    this.onUp();
    for (let slot = 0; slot < options.threads; slot++) this.threads.push(this.start(slot));
  }

  /** Resolves once every thread can serve. @throws what kept one from it */
  static async start(options: ThreadHostOptions): Promise<ThreadHost> {
    const host = new ThreadHost(options);
    try {
      await Promise.all(host.threads.map(async (thread) => thread?.ready));
    } catch (error) {
      await host.close();
      throw error;
    }
    return host;
  }

  /** Descriptors that were returned and whose handles are not closed yet. */
  get unreturned(): number {
    return this.returned.size;
  }

  serve(socket: Socket, arrival: Arrival, onClose: () => void): void {
    const thread = this.leastBusy();
    const lent = lend(socket);
    if (thread === null || lent === null) {
      const error = new DatabaseError(SqlState.cannotConnectNow, 'the session threads are being restarted');
      socket.resume();
      socket.end(encodeErrorResponse(error, 'FATAL'));
      setTimeout(() => socket.destroy(), 1000).unref();
      onClose();
      return;
    }
    thread.connections.set(arrival.id, { lent, onClose });
    thread.send({ kind: 'connection', arrival, fd: lent.fd });
  }

  cancel({ processId, secret }: CancelRequest): void {
    this.route({ kind: 'cancel', processId, secret: secret.toString('hex') });
  }

  shutdown(): void {
    this.ending = true;
    for (const thread of this.threads) thread?.send({ kind: 'shutdown' });
    // One that is stuck takes its connections along.
    this.impatient = setTimeout(() => void this.endThreads(), GOODBYE_MS);
  }

  async close(): Promise<void> {
    this.ending = true;
    clearTimeout(this.impatient);
    for (const unfollow of this.unfollow) unfollow();
    await this.endThreads();
  }

  private async endThreads(): Promise<void> {
    await Promise.all(this.threads.map(async (thread) => thread?.end()));
  }

  private leastBusy(): SessionThread | null {
    const all = this.threads.filter((thread) => thread !== null);
    const ready = all.filter((thread) => thread.isReady);
    // One that is still starting will find the connection waiting.
    const [first, ...others] = ready.length > 0 ? ready : all;
    return others.reduce<SessionThread | null>(
      (least, thread) =>
        least === null || thread.connections.size < least.connections.size ? thread : least,
      first ?? null,
    );
  }

  private start(slot: number): SessionThread {
    const { engine, readModel, replication, tls, maxBackends, authenticationMs, busyPollMs } = this.options;
    const { host, port, database } = readModel.connection({ user: '', password: '' });
    const thread: SessionThread = new SessionThread(
      slot,
      {
        progress: this.progress.memory,
        states: this.statesMemory,
        places: this.places,
        maxBackends,
        authenticationMs,
        busyPollMs,
        tls,
        verifierKey: engine.checkpoints.verifierKey,
        backend: { host, port, database },
        schema: engine.schema(),
        revoked: engine.tokens.revokedIds,
        newsCount: this.progress.news,
      },
      { engine, readModel, replication, states: this.states },
      {
        message: (message) => this.receive(thread, message),
        ended: (reason) => this.ended(thread, reason),
      },
    );
    return thread;
  }

  private receive(from: SessionThread, message: FromThread): void {
    switch (message.kind) {
      case 'closed': {
        const served = from.connections.get(message.id);
        if (served === undefined) return;
        from.connections.delete(message.id);
        this.returned.add(served.lent);
        served.onClose();
        return;
      }
      case 'cancel':
        this.route(message);
        return;
      case 'ask':
        for (const thread of this.threads) if (thread !== from) thread?.send({ kind: 'oblige' });
        return;
      case 'log': {
        const { level, details, error, message: text } = message;
        this.options.logger[level](error === null ? details : { ...details, err: fromPlain(error) }, text);
        return;
      }
      case 'ready':
      case 'requests':
    }
  }

  private route(cancel: Cancel): void {
    for (const thread of this.threads)
      if (thread?.connections.has(cancel.processId) === true) thread.send(cancel);
  }

  /** In the port of every thread before the count grows: who sees the count finds the news. */
  private tell(news: News): void {
    for (const thread of this.threads) thread?.tell(news);
    this.progress.countNews();
  }

  private ended(thread: SessionThread, reason: unknown): void {
    const { slot } = thread;
    SharedPlaces.clear(this.places, slot);
    this.threads[slot] = null;
    for (const { lent, onClose } of thread.connections.values()) {
      this.returned.addUnsure(lent);
      onClose();
    }
    thread.connections.clear();
    if (this.ending) return;
    this.options.logger.error(
      { err: reason, slot },
      'a session thread ended, and its sessions with it; it is being replaced',
    );
    const replace = (): void => {
      if (!this.ending) this.threads[slot] = this.start(slot);
    };
    const lived = performance.now() - thread.started;
    if (lived > QUICK_MS) replace();
    else setTimeout(replace, QUICK_MS).unref();
  }
}
