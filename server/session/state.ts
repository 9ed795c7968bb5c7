/**
 * What one session knows and shares between the statements it runs: identity, transaction, prepared statements,
 * portals, and the connection to the read model with the rules of when and how it is used.
 */
import { DatabaseError, SqlState } from '../../engine/errors.js';
import type { Identity } from '../../engine/tokens/identity.js';
import type { Writer } from '../../engine/types.js';
import { catalogueOf } from '../../sql/catalogue.js';
import type { StatementCache } from '../../sql/cache.js';
import { parseStatements } from '../../sql/parse.js';
import type { Statement } from '../../sql/statement.js';
import { encodeNoticeResponse } from '../protocol/backend/error.js';
import type { SessionEngine, SessionReadModel } from '../ports.js';
import type { TransactionStatus } from '../protocol/backend/status.js';
import { encodeSync } from '../protocol/frontend/control.js';
import { connectBackend, type BackendConnection } from '../relay/connect.js';
import type { Greeting } from '../relay/greeting.js';
import { Idleness } from '../relay/idleness.js';
import type { Holder, RelayPool } from '../relay/pool.js';
import { Relay } from '../relay/relay.js';
import type { SharedReaders } from '../relay/sharedReaders.js';
import { Access } from './access.js';
import { tell } from './asynchronous.js';
import { connectFailure } from './errors.js';
import type { CopyIn } from './copyIn.js';
import type { Output } from './output.js';
import { NOWHERE, type LocalPortal, type Prepared, type RelayedPortal } from './prepared.js';
import { printsIsoInUtc } from './reported.js';
import { Settings } from './settings.js';
import { Sinks } from './sinks.js';
import { Timers } from './timers.js';
import { Transaction } from './transaction.js';
import { Unconfirmed } from './unconfirmed.js';

export interface SessionServices {
  readonly engine: SessionEngine;
  readonly readModel: SessionReadModel;
  readonly cache: StatementCache;
  readonly pool: RelayPool;
  readonly sharedReaders: SharedReaders;
  readonly greeting: Greeting;
}

/** Startup settings that need no connection to be answered: any value goes, and it is reported as it is. */
const UNREPORTED = new Set(['application_name']);

/** An idle session keeps its connection to the read model this long. */
const IDLE_MS = 2000;

export class SessionState implements Holder {
  /** Reads a timestamp's text as the session does; microseconds since 1970. */
  timestamp: (text: string) => Promise<bigint> = () => Promise.reject(new Error('no session'));
  /** Does a statement see everything committed before it? */
  readsLatest: () => Promise<boolean> = () => Promise.reject(new Error('no session'));
  /** Ends what is being done elsewhere for this session. */
  onInterrupt: ((error: DatabaseError) => void) | null = null;
  /** Ends the session with an error that closes the connection. */
  terminate: (error: DatabaseError) => void = () => undefined;
  readonly settings = new Settings();
  readonly timers = new Timers(this);
  readonly access: Access;
  readonly transaction: Transaction;
  /** What is done with the read model's answers. */
  readonly sinks = new Sinks(this);
  readonly prepared = new Map<string, Prepared>();
  readonly unconfirmed = new Unconfirmed(this.prepared);
  readonly portals = new Map<string, LocalPortal | RelayedPortal>();
  /** BEGIN was given and no COMMIT or ROLLBACK yet. */
  explicit = false;
  failed = false;
  /** The BEGIN to give the read model with the first statement that needs it. */
  beginSql = 'BEGIN';
  /** After an error in the extended protocol: everything up to Sync is skipped. */
  skipToSync = false;
  /** An error of the read model has just gone to the client. */
  relayFailed = false;
  /** Grows with every new connection to the read model, where nothing is prepared yet. */
  generation = 0;
  /** The COPY whose data the client is sending. */
  copy: CopyIn | null = null;
  private copyBegan: () => void = () => undefined;
  private relayBegun = false;
  private relay: Relay | null = null;
  private running: AbortController | null = null;
  private busy = false;
  private readonly idleness = new Idleness(IDLE_MS, () => {
    if (this.giveBack()) this.services.pool.release(this);
  });
  /** No setting is known that makes an unqualified name, or a value, mean something else than usual. */
  plainNames = true;
  /** What the read model reports of its settings, as the client knows it. */
  private reported: ReadonlyMap<string, string> = new Map();
  /** Something in the connection to the read model must not be lost: settings, LISTEN, held cursors, locks. */
  keepsRelay = false;
  private closed = false;

  constructor(
    readonly services: SessionServices,
    readonly identity: Identity,
    readonly startupSettings: ReadonlyMap<string, string>,
    readonly output: Output,
  ) {
    this.access = new Access(identity.grants);
    this.transaction = new Transaction(services.engine, () => this.writer);
  }

  get writer(): Writer {
    return this.identity;
  }

  get engine(): SessionEngine {
    return this.services.engine;
  }

  /** The token is neither revoked nor expired. Where it is, the long way of a message refuses it. */
  get tokenHolds(): boolean {
    try {
      this.engine.tokens.requireValid(this.identity);
      return true;
    } catch {
      return false;
    }
  }

  get status(): TransactionStatus {
    if (!this.explicit) return 'I';
    return this.failed ? 'E' : 'T';
  }

  parse(sql: string): readonly Statement[] {
    const schema = this.transaction.schema();
    return schema === this.engine.schema()
      ? this.services.cache.get(sql, schema)
      : parseStatements(sql, catalogueOf(schema));
  }

  notice(severity: 'NOTICE' | 'WARNING', sqlstate: string, message: string): void {
    if (this.settings.shows(severity))
      this.output.write(encodeNoticeResponse({ sqlstate, message }, severity));
  }

  // Running and cancelling

  /** The signal of what runs now; one controller per message. */
  get signal(): AbortSignal {
    this.running ??= new AbortController();
    return this.running.signal;
  }

  finished(): void {
    this.running = null;
    this.timers.statementEnds();
  }

  cancel(): void {
    this.interrupt(new DatabaseError(SqlState.queryCanceled, 'canceling statement due to user request'));
    this.relay?.cancel();
  }

  /** Ends our own part of what runs now; the read model ends its part by itself. */
  interrupt(error: DatabaseError): void {
    if (!this.busy) return;
    void this.signal;
    this.running?.abort(error);
    this.copy?.abort(error);
    this.onInterrupt?.(error);
  }

  /** Nothing but the end of a failed transaction may run in it. */
  requireUsable(statement: Statement): void {
    if (!this.failed) return;
    const ends =
      statement.kind === 'transaction' && ['commit', 'rollback', 'rollbackTo'].includes(statement.action);
    if (!ends && statement.kind !== 'empty')
      throw new DatabaseError(
        SqlState.inFailedSqlTransaction,
        'current transaction is aborted, commands ignored until end of transaction block',
      );
  }

  /** Resolves when the running statement begins to take COPY data. */
  copyStarts(): Promise<void> {
    return new Promise((resolve) => (this.copyBegan = resolve));
  }

  beginCopy(copy: CopyIn): void {
    this.copy = copy;
    this.copyBegan();
  }

  endCopy(): void {
    this.copy = null;
  }

  // The read model

  get hasRelay(): boolean {
    return this.relay !== null && !this.relay.isLost;
  }

  /** The connection as it is, null when none is open. */
  get openRelay(): Relay | null {
    return this.relay !== null && !this.relay.isLost ? this.relay : null;
  }

  /** What the read model says of its settings to a session like this one. */
  async greeting(): Promise<ReadonlyMap<string, string>> {
    const names = [...this.startupSettings.keys()];
    if (names.some((name) => !UNREPORTED.has(name))) return this.connect();
    const parameters = await this.services.greeting.parameters();
    const applicationName = this.startupSettings.get('application_name') ?? '';
    this.reported = new Map(parameters).set('application_name', applicationName);
    return this.reported;
  }

  /** Times are printed in ISO style and in UTC. */
  get printsIsoInUtc(): boolean {
    return printsIsoInUtc(this.reported);
  }

  /** Called before and after each message; between transactions the connection may be given back. */
  setBusy(busy: boolean): void {
    this.busy = busy;
    this.timers.busy(busy);
    const { relay } = this;
    if (busy || relay === null || relay.busy || relay.dirty) return;
    this.services.pool.touch(this);
    this.idleness.used();
  }

  pokeRelay(): void {
    const relay = this.openRelay;
    if (relay === null || relay.busy || relay.dirty || relay.skipping) return;
    relay.send(encodeSync(), 'sync', { message: () => undefined, error: () => undefined });
  }

  giveBack(): boolean {
    const { relay } = this;
    if (this.busy || this.explicit || this.keepsRelay || this.portals.size > 0) return false;
    if (relay === null || relay.busy || relay.dirty) return false;
    this.relay = null;
    relay.close();
    return true;
  }

  /** Opens a connection; reports what it says of its settings. */
  async connect(): Promise<ReadonlyMap<string, string>> {
    const { readModel, pool } = this.services;
    // The place of a connection that was lost is taken over.
    if (this.relay === null) await pool.acquire(this, this.signal);
    let backend: BackendConnection;
    try {
      const role = await readModel.roleFor(this.identity.grants);
      backend = await connectBackend(readModel.connection(role), this.startupSettings);
    } catch (error) {
      this.relay = null;
      pool.release(this);
      throw error;
    }
    this.generation++;
    this.relayBegun = false;
    const relay = new Relay(
      backend,
      (frame) => tell(this, frame),
      () => {
        this.output.flush();
        return this.output.backlog;
      },
      (sqlstate) => this.relayLost(relay, sqlstate),
    );
    // The client has left while it was opened.
    if (this.closed) {
      relay.close();
      pool.release(this);
      throw new DatabaseError(SqlState.adminShutdown, 'the connection was closed');
    }
    this.relay = relay;
    this.reported = backend.parameters;
    return backend.parameters;
  }

  report(name: string, value: string): void {
    this.reported = new Map(this.reported).set(name, value);
  }

  /** What a session had there (settings, LISTEN, cursors) is gone, and it cannot know: it must connect anew. */
  private relayLost(relay: Relay, sqlstate: string | undefined): void {
    if (this.relay !== relay) return;
    // Its clock for an idle session went off a moment before ours.
    if (!this.busy && this.timers.expire(sqlstate)) return;
    if (!this.keepsRelay) return;
    this.terminate(
      new DatabaseError(
        SqlState.adminShutdown,
        'terminating connection because the read model was restarted',
        { hint: 'The settings, cursors and LISTEN of this session are lost. Connect again.' },
      ),
    );
  }

  /** The connection to the read model, inside the session's transaction if there is one. */
  async relayReady(): Promise<Relay> {
    if (this.openRelay === null) {
      if (this.explicit && this.relayBegun) {
        this.relayBegun = false;
        throw new DatabaseError(SqlState.connectionFailure, 'the connection to the read model was lost', {
          hint: 'Roll the transaction back and retry.',
        });
      }
      try {
        await this.connect();
      } catch (error) {
        throw connectFailure(error);
      }
    }
    const relay = this.openRelay;
    if (relay === null)
      throw new DatabaseError(SqlState.connectionFailure, 'the read model is not reachable');
    // Cancelled or timed out meanwhile: nothing runs there yet that could be cancelled.
    this.running?.signal.throwIfAborted();
    if (this.explicit && !this.relayBegun) {
      this.relayBegun = true;
      await this.runThere(relay, this.beginSql);
      this.running?.signal.throwIfAborted();
    }
    return relay;
  }

  /** Waits until the read model shows everything committed so far, unless the session asked for less. */
  async waitForReads(): Promise<void> {
    if (!this.settings.linearizable) return;
    const { engine, readModel } = this.services;
    const position = engine.committedPosition();
    if (!readModel.hasApplied(position)) await readModel.waitFor(position, this.signal);
  }

  /** Lets everything that was relayed be answered before something of our own is written. */
  async relayAnswered(): Promise<void> {
    const relay = this.openRelay;
    if (relay === null || !relay.busy) return;
    relay.flush();
    await relay.idle();
  }

  /** Does something of our own once everything relayed before it is answered; not at all if that failed. */
  ownTurn(action: () => Promise<void> | null | void): Promise<void> | null {
    if (this.openRelay?.busy === true) return this.ownTurnLater(action);
    return this.relayFailed ? null : (action() ?? null);
  }

  private async ownTurnLater(action: () => Promise<void> | null | void): Promise<void> {
    await this.relayAnswered();
    if (!this.relayFailed) await action();
  }

  /** Ends the read model's part of the transaction. */
  async endRelayTransaction(sql: 'COMMIT' | 'ROLLBACK'): Promise<void> {
    const relay = this.openRelay;
    const begun = this.relayBegun;
    this.relayBegun = false;
    if (relay !== null && begun) await this.runThere(relay, sql);
  }

  /** A simple query ends the unnamed statement there, of which the client need not know. */
  private async runThere(relay: Relay, sql: string): Promise<void> {
    const unnamed = this.prepared.get('');
    if (unnamed !== undefined) unnamed.generation = NOWHERE;
    await relay.run(sql);
  }

  get relayInTransaction(): boolean {
    return this.relayBegun && this.hasRelay;
  }

  /** After any error: an explicit transaction is failed, an implicit one is gone. */
  abandon(): void {
    this.output.settle(() => null);
    if (this.explicit) this.failed = true;
    else this.transaction.discard();
  }

  close(): void {
    this.closed = true;
    const gone = new DatabaseError(SqlState.adminShutdown, 'the connection was closed');
    this.running?.abort(gone);
    this.copy?.abort(gone);
    this.onInterrupt?.(gone);
    this.timers.close();
    this.idleness.close();
    this.transaction.close();
    this.relay?.cancel();
    this.relay?.close();
    this.services.pool.release(this);
  }
}
