import type { ClientConfig } from 'pg';
import type { Grant, ProjectionSource, Schema } from '../engine/types.js';
import { bootstrap, DATABASE } from './bootstrap.js';
import { Histories, type HistoryOptions, type PastAnswer, type PastRequest } from './histories.js';
import { SILENT, type Logger } from './logger.js';
import { EmbeddedPostgres, PORT, SUPERUSER } from './postgres.js';
import { Projector, type RebuildReport } from './projector.js';
import { ReplicationHost } from './replication.js';
import { Roles, type RoleLogin } from './roles.js';
import { Session, type Rows } from './session.js';
import { ViewFiller, type FillOptions } from './viewFiller.js';
import { tryView, type ViewDraft, type ViewShape } from './viewTrial.js';

export { removeReadModel } from './postgres.js';
export type { HistoryOptions, PastAnswer, PastRequest } from './histories.js';
export type { Logger } from './logger.js';
export type { RebuildReport } from './projector.js';
export { ALL_PUBLICATION } from './publications.js';
export { MAX_REPLICATION_SLOTS, MAX_SLOT_WAL_MB } from './postgresSettings.js';
export type { ReplicationHost, Standing, WalSample } from './replication.js';
export type { RoleLogin } from './roles.js';
export type { FillOptions } from './viewFiller.js';
export type { ViewDraft, ViewShape } from './viewTrial.js';

export interface ReadModelOptions {
  readonly source: ProjectionSource;
  /** Where to put `eventful-<store id>/`; by default /dev/shm, which must then be memory with room enough. */
  readonly directory?: string | undefined;
  readonly logger?: Logger | undefined;
  /** Tables of the past; absent: there are none. */
  readonly history?: HistoryOptions | undefined;
  /** States that may wait to be written; beyond them the engine is asked again what changed. */
  readonly maxWaitingStates?: number | undefined;
  readonly onRebuildProgress?: ((rows: number) => void) | undefined;
}

/** How to connect to the read model as a role: what pg takes, and all a relay needs. */
export interface ReadModelConnection {
  /** Directory of the Unix socket `.s.PGSQL.<port>`. */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: string;
}

export interface ReadModel {
  /** Everything up to here is in the tables. */
  readonly appliedPosition: bigint;
  /** The revision of the schema that the tables have. */
  readonly appliedRevision: bigint;
  /** What the start-up rebuild did; null when there was none. */
  readonly report: RebuildReport | null;
  /** Where it lives. */
  readonly directory: string;
  /** Process id of the postmaster; null while it is down. */
  readonly pid: number | null;
  /** Is everything up to `position`, and the engine's schema, in the tables? */
  hasApplied(position: bigint): boolean;
  /**
   * Resolves once everything up to `position` is in the tables. Rejects with 57P03 when the read model has been down
   * for more than 10 s, with 57014 when the signal aborts.
   */
  waitFor(position: bigint, signal?: AbortSignal): Promise<void>;
  /** The login that sees exactly what the grants allow to read. */
  roleFor(grants: readonly Grant[]): Promise<RoleLogin>;
  /** The same for a replication connection, whose streams PostgreSQL does not check against the grants. */
  replicationRoleFor(grants: readonly Grant[]): Promise<RoleLogin>;
  /** Slots and what has to be sent again. */
  readonly replication: ReplicationHost;
  connection(role: RoleLogin): ReadModelConnection;
  /**
   * What PostgreSQL makes of a view before it is made; see `tryView`.
   * @throws DatabaseError as PostgreSQL refuses it, 0A000 for a volatile function
   */
  tryView(schema: Schema, draft: ViewDraft): Promise<ViewShape>;
  /** Fills these materialized views if they are still empty. @returns why a view could not be filled, by name */
  fillViews(names: readonly string[], options: FillOptions): Promise<ReadonlyMap<string, string>>;
  /** @throws DatabaseError as PostgreSQL says, 55P03 while a transaction that reads the view is open */
  refreshView(name: string, withData: boolean, options: FillOptions): Promise<void>;
  /** How a look-back is answered, once the table that answers it is up to date. Rejects when the signal aborts. */
  past(request: PastRequest, signal?: AbortSignal): Promise<PastAnswer>;
  /** A statement as superuser, for the server's own use. */
  query(text: string, values?: readonly unknown[]): Promise<Rows>;
  on(event: 'down' | 'up', listener: () => void): void;
  /** Calls the listener whenever one of the two above has changed; returns the function that ends it. */
  onApplied(listener: () => void): () => void;
  off(event: 'down' | 'up', listener: () => void): void;
  /** The directory stays, so that the next start only catches up, unless `remove`. */
  stop(options?: { readonly remove?: boolean }): Promise<void>;
}

/** Starts the embedded PostgreSQL and brings it up to date with the engine. */
export async function startReadModel(options: ReadModelOptions): Promise<ReadModel> {
  const logger = options.logger ?? SILENT;
  const postgres = new EmbeddedPostgres(options.source.storeId, options.directory, logger);
  await postgres.start();
  const superuser = connectionTo(postgres, { user: SUPERUSER, password: postgres.password });
  const config: ClientConfig = { ...superuser, application_name: 'eventful projector' };
  // Planned once: its statements are the same again and again, and only the lengths of their arrays change.
  const projectorConfig = { ...config, options: '-c plan_cache_mode=force_generic_plan' };
  const [server, forHistory] = [new Session(config), new Session(config)];
  const sessions = { projector: new Session(projectorConfig), server, history: forHistory };
  let projector: Projector | null = null;
  const { history } = options;
  const histories = history ? new Histories(history, sessions.history, postgres.directory, logger) : null;
  const filler = new ViewFiller(config, sessions.server, logger);
  const close = async (remove: boolean): Promise<void> => {
    await filler.close();
    await histories?.close();
    await projector?.stop();
    await Promise.all(Object.values(sessions).map((session) => session.close()));
    await postgres.stop({ remove });
  };
  try {
    await bootstrap(config).catch(async (error: unknown) => {
      // Disposable: what cannot be used is made anew, once.
      logger.warn({ reason: String(error) }, 'the read model cannot be used; making it anew');
      await postgres.recreate();
      config.password = projectorConfig.password = postgres.password;
      await bootstrap(config);
    });
    const { source, onRebuildProgress, maxWaitingStates } = options;
    projector = new Projector({
      source,
      session: sessions.projector,
      connection: config,
      logger,
      onRebuildProgress,
      maxWaitingStates,
      fillViews: () => filler.fillMissing(null).catch(() => undefined),
    });
    await projector.start();
    await histories?.open(projector.report === null);
  } catch (error) {
    await close(false);
    throw error;
  }
  const following = projector;
  postgres.on('down', () => {
    histories?.lost();
    following.interrupted("the read model's PostgreSQL is being restarted");
  });
  postgres.on('up', () => following.nudge());
  postgres.on('gaveUp', (error) => following.giveUp(error));
  const replication = new ReplicationHost(
    options.source,
    sessions.projector,
    sessions.server,
    (position, signal) => following.waitFor(position, signal),
  );
  const tryDraft: ReadModel['tryView'] = (own, draft) =>
    tryView(sessions.server, logger, { own, committed: options.source.schema() }, draft);
  return readModel({
    postgres,
    projector,
    session: sessions.server,
    filler,
    replication,
    histories,
    tryDraft,
    close,
  });
}

function connectionTo(postgres: EmbeddedPostgres, role: RoleLogin): ReadModelConnection {
  return { host: postgres.socketDirectory, port: PORT, database: DATABASE, ...role };
}

interface Parts {
  readonly postgres: EmbeddedPostgres;
  readonly projector: Projector;
  readonly session: Session;
  readonly filler: ViewFiller;
  readonly replication: ReplicationHost;
  readonly histories: Histories | null;
  readonly tryDraft: ReadModel['tryView'];
  readonly close: (remove: boolean) => Promise<void>;
}

const NO_HISTORIES: PastAnswer = { kind: 'engine', why: 'few', reason: null };

function readModel(parts: Parts): ReadModel {
  const { postgres, projector, session, filler, replication, histories, tryDraft, close } = parts;
  const roles = new Roles(session);
  let stopped: Promise<void> | null = null;
  return {
    get appliedPosition() {
      return projector.applied;
    },
    get appliedRevision() {
      return projector.appliedRevision;
    },
    onApplied: (listener) => projector.onApplied(listener),
    get report() {
      return projector.report;
    },
    get pid() {
      return postgres.pid;
    },
    directory: postgres.directory,
    hasApplied: (position) => projector.hasApplied(position),
    waitFor: (position, signal) => projector.waitFor(position, signal),
    roleFor: (grants) => roles.roleFor(grants),
    replicationRoleFor: (grants) => roles.replicationRoleFor(grants),
    replication,
    connection: (role) => connectionTo(postgres, role),
    tryView: tryDraft,
    fillViews: (names, fill) => filler.fillMissing(names, fill),
    refreshView: (name, withData, fill) => filler.refresh(name, withData, fill),
    past: (request, signal) => histories?.answer(request, signal) ?? Promise.resolve(NO_HISTORIES),
    query: (text, values) => session.query(text, values),
    on: (event, listener) => void postgres.on(event, listener),
    off: (event, listener) => void postgres.off(event, listener),
    stop: ({ remove = false } = {}) => (stopped ??= close(remove)),
  };
}
