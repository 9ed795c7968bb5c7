/**
 * A replication connection: what a subscriber's workers and pg_recvlogical speak. Commands of the replication grammar are
 * checked and written anew, SQL is relayed when it only reads, and a stream is filtered to what the token may see.
 */
import { DatabaseError, SqlState } from '../../engine/errors.js';
import type { Identity } from '../../engine/tokens/identity.js';
import { ALL_PUBLICATION } from '../../readmodel/index.js';
import { catalogueOf } from '../../sql/catalogue.js';
import { parseStatements } from '../../sql/parse.js';
import type { Opened, SessionEngine, SessionReadModel, SessionReplication } from '../ports.js';
import { encodeCommandComplete } from '../protocol/backend/complete.js';
import { encodeErrorResponse } from '../protocol/backend/error.js';
import { encodeReadyForQuery, type TransactionStatus } from '../protocol/backend/status.js';
import { protocolViolation } from '../protocol/bytes.js';
import type { Frame } from '../protocol/frames.js';
import { SYNC, TERMINATE } from '../protocol/frontend/control.js';
import { COPY_DATA, COPY_DONE, COPY_FAIL } from '../protocol/frontend/copy.js';
import { decodeFrontend } from '../protocol/frontend/decode.js';
import { QUERY } from '../protocol/frontend/query.js';
import { asDatabaseError, connectFailure } from '../session/errors.js';
import type { Output } from '../session/output.js';
import { ChangeFilter, statusUpdate } from './changes.js';
import {
  parseReplicationCommand,
  type CreateSlot,
  type ReplicationCommand,
  type StartReplication,
} from './commands.js';
import { coverage, requirePublication } from './coverage.js';
import { formatLsn } from './lsn.js';
import { Progress } from './progress.js';
import { moveColumn, Walsender } from './walsender.js';
import { isAdmin } from '../../engine/tokens/grants.js';

/** A stream outlives its token by no more than this. */
const TOKEN_CHECK_MS = 1000;
const MAX_SQL = 1024 * 1024;

export interface ReplicationServices {
  readonly engine: SessionEngine;
  readonly readModel: SessionReadModel;
  readonly replication: SessionReplication;
}

interface Stream {
  readonly lsnBase: bigint;
  readonly filter: ChangeFilter;
  /** null for a temporary slot, whose progress matters to nobody later. */
  readonly progress: Progress | null;
  readonly end: () => void;
}

export class ReplicationSession {
  /** It relays nothing that could wait. */
  readonly backlog = null;
  private readonly temporary = new Set<string>();
  private stream: Stream | null = null;
  private skipping = false;
  private closed = false;

  private constructor(
    private readonly services: ReplicationServices,
    private readonly identity: Identity,
    private readonly output: Output,
    private readonly walsender: Walsender,
    private readonly onFatal: (error: unknown) => void,
  ) {
    walsender.onStreamEnd = () => this.endStream();
    walsender.onFailure = (error) => onFatal(error);
  }

  /** @throws DatabaseError when the read model refuses the connection, e.g. 53300 when there are too many */
  static async connect(
    services: ReplicationServices,
    identity: Identity,
    settings: ReadonlyMap<string, string>,
    output: Output,
    onFatal: (error: unknown) => void,
  ): Promise<{ session: ReplicationSession; reported: ReadonlyMap<string, string> }> {
    const { readModel, replication } = services;
    try {
      const role = await replication.roleFor(identity.grants);
      const walsender = await Walsender.connect(readModel.connection(role), settings, output);
      const session = new ReplicationSession(services, identity, output, walsender, onFatal);
      return { session, reported: walsender.parameters };
    } catch (error) {
      throw connectFailure(error);
    }
  }

  /** Answers one message. Returns false when the client said goodbye. Throws what ends the connection. */
  async handle(frame: Frame): Promise<boolean> {
    if (frame.type === TERMINATE) return false;
    if (this.stream !== null) return this.streamMessage(this.stream, frame);
    if (frame.type === COPY_DATA || frame.type === COPY_DONE || frame.type === COPY_FAIL) return true;
    if (frame.type === SYNC) {
      this.skipping = false;
      this.ready();
      return true;
    }
    if (this.skipping) return true;
    try {
      if (frame.type !== QUERY) {
        this.skipping = true;
        throw protocolViolation('extended query protocol not supported in a replication connection');
      }
      await this.query(frame);
    } catch (error) {
      // The connection has said why already.
      if (this.closed) return true;
      this.output.write(encodeErrorResponse(asDatabaseError(connectFailureOf(error))));
      if (!this.skipping) this.ready();
      else this.output.flush();
    }
    return true;
  }

  private async query(frame: Frame): Promise<void> {
    this.services.engine.tokens.requireValid(this.identity);
    const message = decodeFrontend(frame);
    if (message.kind !== 'query') throw protocolViolation(`unexpected ${message.kind} message`);
    const command = parseReplicationCommand(message.text);
    if (command === null) await this.sql(message.text);
    else if (command.kind === 'start') {
      await this.start(command);
      // Its ReadyForQuery comes when the stream ends.
      return;
    } else await this.command(command);
    this.ready();
  }

  private async command(command: Exclude<ReplicationCommand, StartReplication>): Promise<void> {
    switch (command.kind) {
      case 'identify': {
        const { lsnBase } = await this.services.replication.standing();
        await this.walsender.run('IDENTIFY_SYSTEM', moveColumn(2, lsnBase));
        return;
      }
      case 'createSlot':
        await this.createSlot(command);
        return;
      case 'dropSlot':
        await this.dropSlot(command.name, command.wait);
    }
  }

  /** Reading only, and only what PostgreSQL answers by itself: the connection's role decides which rows. */
  private async sql(text: string): Promise<void> {
    const { engine, readModel } = this.services;
    if (text.length > MAX_SQL)
      throw new DatabaseError('54000', 'the statement is too long for a replication connection');
    const schema = engine.schema();
    for (const statement of parseStatements(text, catalogueOf(schema))) {
      const plain =
        (statement.kind === 'read' && statement.engineRelations.length === 0) ||
        ['transaction', 'session', 'empty'].includes(statement.kind);
      if (!plain)
        throw new DatabaseError(
          SqlState.featureNotSupported,
          'this statement is not supported on a replication connection',
          { hint: 'Connect without "replication" for anything but reading state.' },
        );
    }
    if (/pg_(get_)?publication/i.test(text)) {
      const types = new Set(schema.aggregates.keys());
      for (const [literal] of text.matchAll(/'(?:[^']|'')*'/g))
        requirePublication(this.identity.grants, literal.slice(1, -1).replaceAll("''", "'"), types);
    }
    // As everywhere: a table or row that was there before the question is in the answer.
    await readModel.waitFor(engine.committedPosition());
    await this.walsender.run(text);
  }

  private async createSlot({ name, temporary, twoPhase, snapshot }: CreateSlot): Promise<void> {
    const { replication } = this.services;
    const kind = temporary ? 'temporary' : twoPhase ? 'twoPhase' : 'one';
    const standing = await replication.announce(name, this.identity.actor, kind);
    const options = `(SNAPSHOT '${snapshot}'${twoPhase ? ', TWO_PHASE' : ''})`;
    const text = `CREATE_REPLICATION_SLOT "${name}" ${temporary ? 'TEMPORARY ' : ''}LOGICAL pgoutput ${options}`;
    let made = false;
    try {
      made = await this.walsender.run(text, moveColumn(1, standing.lsnBase));
    } finally {
      if (!temporary) await replication.announced(name, made ? standing.incarnation : null);
    }
    if (made && temporary) this.temporary.add(name);
  }

  private async dropSlot(name: string, wait: boolean): Promise<void> {
    const { identity, services, temporary } = this;
    const own = temporary.has(name);
    const known =
      own || (await services.replication.droppable(name, identity.actor, isAdmin(identity.grants)));
    if (known && !(await this.walsender.run(`DROP_REPLICATION_SLOT "${name}"${wait ? ' WAIT' : ''}`))) return;
    if (!known) this.output.write(encodeCommandComplete('DROP_REPLICATION_SLOT'));
    if (!own) await services.replication.dropped(name);
    temporary.delete(name);
  }

  private async start(command: StartReplication): Promise<void> {
    const { identity, services } = this;
    const types = new Set(services.engine.schema().aggregates.keys());
    for (const name of command.publications) {
      if (name !== ALL_PUBLICATION && !types.has(name))
        throw new DatabaseError(SqlState.undefinedObject, `publication "${name}" does not exist`);
      requirePublication(identity.grants, name, types);
    }
    const { name } = command;
    if (this.temporary.has(name)) {
      await this.begin(command, null, { ...(await services.replication.standing()), renewal: null });
      return;
    }
    const everything = command.publications.includes(ALL_PUBLICATION);
    const use = { name, holder: identity.actor, grants: identity.grants, everything };
    await this.begin(command, name, await services.replication.open(use));
  }

  private async begin(
    command: StartReplication,
    slot: string | null,
    { lsnBase, incarnation, walEnd, renewal }: Opened,
  ): Promise<void> {
    const { identity, services } = this;
    const { replication } = services;
    // A position below the base is of an earlier read model; the slot knows better where to go on.
    const lsn = command.lsn > lsnBase ? command.lsn - lsnBase : 0n;
    if (lsn > walEnd)
      throw new DatabaseError(
        SqlState.objectNotInPrerequisiteState,
        `WAL position ${formatLsn(command.lsn)} is ahead of this server`,
        {
          hint: 'The subscriber followed another server, or a later state of this one. Drop the subscription, empty its tables and create it anew.',
        },
      );
    const filter = new ChangeFilter(lsnBase, coverage(identity.grants, command.publications));
    const options = [...command.options].map(([name, value]) => `, ${name} '${value}'`).join('');
    // Always the publication that was there before every slot: one made later does not exist for older changes.
    const text = `START_REPLICATION SLOT "${command.name}" LOGICAL ${formatLsn(lsn)} (publication_names '"${ALL_PUBLICATION}"'${options})`;
    if (!(await this.walsender.stream(text, filter))) {
      this.ready();
      return;
    }
    const aborter = new AbortController();
    const check = setInterval(() => this.checkToken(), TOKEN_CHECK_MS);
    const progress = slot === null ? null : new Progress(replication, slot, incarnation);
    this.stream = {
      ...{ lsnBase, filter, progress },
      end: () => {
        clearInterval(check);
        progress?.tell();
        aborter.abort(new DatabaseError(SqlState.adminShutdown, 'the stream has ended'));
      },
    };
    if (this.closed || !this.walsender.isStreaming) this.endStream();
    else if (slot !== null)
      replication.follow(slot, { incarnation, renewal }, aborter.signal).catch((error: unknown) => {
        if (!aborter.signal.aborted) this.onFatal(connectFailure(error));
      });
  }

  private checkToken(): void {
    try {
      this.services.engine.tokens.requireValid(this.identity);
    } catch (error) {
      this.onFatal(error);
    }
  }

  private async streamMessage(stream: Stream, frame: Frame): Promise<boolean> {
    if (frame.type === COPY_DATA) {
      const update = statusUpdate(frame.body, stream.lsnBase, stream.filter.told);
      if (update === null) return true;
      stream.progress?.flushed(update.flushed);
      await this.walsender.send(update.message);
    } else if (frame.type === COPY_DONE || frame.type === COPY_FAIL) await this.walsender.send(frame.raw);
    else throw protocolViolation('unexpected message type during COPY BOTH');
    return true;
  }

  private endStream(): void {
    this.stream?.end();
    this.stream = null;
  }

  private ready(): void {
    this.output.write(encodeReadyForQuery(this.status));
    this.output.flush();
  }

  private get status(): TransactionStatus {
    return this.walsender.status;
  }

  cancel(): void {
    this.walsender.cancel();
  }

  close(): void {
    this.closed = true;
    this.endStream();
    this.walsender.close();
  }
}

function connectFailureOf(error: unknown): unknown {
  const { code } = error as { code?: unknown };
  return typeof code === 'string' && !(error instanceof DatabaseError) ? connectFailure(error) : error;
}
