/**
 * The extended protocol. Messages for the read model are passed on without waiting for their answers; messages of our
 * own wait until those are through, so that both interleave in order inside one pipeline. What needs to wait for nothing
 * is done at once: such a method returns null instead of a promise.
 */
import { DatabaseError, SqlState } from '../../engine/errors.js';
import type { Statement, TransactionStatement } from '../../sql/statement.js';
import {
  encodeBindComplete,
  encodeCommandComplete,
  encodeEmptyQueryResponse,
  encodeNoData,
  encodeParseComplete,
} from '../protocol/backend/complete.js';
import { encodeParameterDescription } from '../protocol/backend/parameter-description.js';
import type { Bind } from '../protocol/frontend/bind.js';
import { encodeSync } from '../protocol/frontend/control.js';
import { encodeDescribe, type Describe } from '../protocol/frontend/describe.js';
import { encodeExecute, type Execute } from '../protocol/frontend/execute.js';
import type { Parse } from '../protocol/frontend/parse.js';
import { encodeRowDescription } from '../protocol/backend/row.js';
import { describeColumns, encodeOutcome, nextRows } from '../statements/result.js';
import { bindLocal } from './binding.js';
import { isDialect, resultColumns, type Dialect, type DialectStatement } from './dialect.js';
import { DirectReads } from './directReads.js';
import { UNMOVED } from './errors.js';
import { annotated } from './explain.js';
import { parameterTypes } from './parameterTypes.js';
import { MAX_PREPARED, type LocalPortal, type Prepared, type RelayedPortal } from './prepared.js';
import { ownParameters, RelayedStatements } from './relayedStatements.js';
import { applySessionStatement, isOurDeallocate, noteReadState } from './sessionStatements.js';
import type { SharedReads } from './sharedReads.js';
import type { SessionState } from './state.js';
import { runTransaction } from './transactions.js';

export class Extended {
  private readonly relayed: RelayedStatements;
  private readonly direct: DirectReads;

  constructor(
    private readonly state: SessionState,
    private readonly dialect: Dialect,
    private readonly shared: SharedReads,
  ) {
    this.direct = new DirectReads(state);
    this.relayed = new RelayedStatements(state, dialect, this.direct);
  }

  // Parse

  async parse(message: Parse): Promise<void> {
    try {
      await this.parseNew(message);
    } catch (error) {
      // An unnamed statement goes when the next one comes, however that ends.
      if (message.statement === '') await this.state.ownTurn(() => void this.state.prepared.delete(''));
      throw error;
    }
  }

  private async parseNew(message: Parse): Promise<void> {
    const { state } = this;
    const statements = state.parse(message.text);
    if (statements.length > 1)
      throw new DatabaseError(
        SqlState.syntaxError,
        'cannot insert multiple commands into a prepared statement',
      );
    const statement: Statement = statements[0] ?? { kind: 'empty' };
    state.requireUsable(statement);
    this.shared.note(statement);
    if (message.statement !== '' && state.prepared.has(message.statement))
      throw new DatabaseError(
        SqlState.duplicatePreparedStatement,
        `prepared statement "${message.statement}" already exists`,
      );
    if (state.prepared.size >= MAX_PREPARED)
      throw new DatabaseError(SqlState.programLimitExceeded, 'too many prepared statements', {
        hint: 'Close those no longer needed.',
      });
    if (statement.kind === 'read' && this.direct.known(statement, message.parameterTypes) !== null)
      await this.state.ownTurn(() => {
        this.relayed.remember(message, statement);
        state.output.write(encodeParseComplete());
      });
    else if (
      statement.kind === 'read' ||
      (statement.kind === 'session' && !isOurDeallocate(state, statement))
    )
      await this.relayed.parse(message, statement);
    else await this.parseLocal(message, statement);
  }

  private async parseLocal(message: Parse, statement: Statement): Promise<void> {
    const { state } = this;
    const given = message.parameterTypes;
    let types: number[] = [...given];
    if (isDialect(statement)) types = await parameterTypes(this.state, this.relayed, statement, given);
    await this.state.ownTurn(() => {
      state.prepared.set(message.statement, {
        name: message.statement,
        statement,
        givenTypes: given,
        types,
        generation: 0,
        backend: null,
        schema: null,
      });
      state.output.write(encodeParseComplete());
    });
  }

  // Bind

  bind(message: Bind): Promise<void> | null {
    const { state } = this;
    const prepared = state.prepared.get(message.statement);
    if (prepared === undefined)
      throw new DatabaseError(
        SqlState.invalidSqlStatementName,
        message.statement === ''
          ? 'unnamed prepared statement does not exist'
          : `prepared statement "${message.statement}" does not exist`,
      );
    state.requireUsable(prepared.statement);
    if (message.portal !== '' && state.portals.has(message.portal))
      throw new DatabaseError(SqlState.duplicateCursor, `portal "${message.portal}" already exists`);
    if (prepared.backend === null) return this.bound(message, bindLocal(message, prepared));
    const answered = this.direct.bind(message, prepared);
    return answered === null || answered instanceof Promise
      ? this.bindLater(message, prepared, answered)
      : this.bound(message, answered);
  }

  private bound(message: Bind, portal: LocalPortal): Promise<void> | null {
    const { state } = this;
    return this.state.ownTurn(() => {
      state.portals.set(message.portal, portal);
      state.output.write(encodeBindComplete());
    });
  }

  private async bindLater(
    message: Bind,
    prepared: Prepared,
    answered: Promise<LocalPortal | null> | null,
  ): Promise<void> {
    const portal = await answered;
    if (portal !== null) {
      await this.bound(message, portal);
      return;
    }
    const notes = await this.relayed.bind(message, prepared);
    this.state.portals.set(message.portal, { kind: 'relayed', prepared, notes });
  }

  // Describe, Execute

  describe(message: Describe): Promise<void> | null {
    return message.target === 'portal' && this.maybeCursor(message.name)
      ? this.describeMaybeCursor(message)
      : this.describeOwn(message);
  }

  private async describeMaybeCursor(message: Describe): Promise<void> {
    const { state } = this;
    if (await this.isCursor(message.name))
      (await state.relayReady()).send(encodeDescribe(message), 'describe', state.sinks.forward(UNMOVED));
    else await this.describeOwn(message);
  }

  private describeOwn(message: Describe): Promise<void> | null {
    const { state } = this;
    const portal = message.target === 'portal' ? this.portal(message.name) : null;
    if (portal?.kind === 'local' && portal.direct !== null) {
      const { description } = portal.direct;
      return this.state.ownTurn(() => state.output.write(description));
    }
    const prepared = portal === null ? this.statement(message.name) : portal.prepared;
    if (prepared.statement.kind === 'read') state.requireUsable(prepared.statement);
    const known = portal === null ? this.direct.known(prepared.statement, prepared.givenTypes) : null;
    if (known !== null)
      return this.state.ownTurn(() => {
        state.output.write(encodeParameterDescription(known.parameterTypes));
        state.output.write(encodeRowDescription(known.fields));
      });
    if (prepared.backend !== null) return this.describeRelayed(message, prepared);
    return this.state.ownTurn(() => {
      if (message.target === 'statement')
        state.output.write(encodeParameterDescription(prepared.types ?? []));
      const columns = isDialect(prepared.statement) ? resultColumns(prepared.statement) : null;
      const formats = portal?.kind === 'local' ? portal.resultFormats : [];
      state.output.write(columns === null ? encodeNoData() : describeColumns(columns, formats));
    });
  }

  private async describeRelayed(message: Describe, prepared: Prepared): Promise<void> {
    const { state } = this;
    const relay = await state.relayReady();
    if (prepared.generation !== state.generation) await this.relayed.prepare(prepared, false);
    relay.send(
      encodeDescribe(message),
      'describe',
      state.sinks.forward(prepared.backend?.map ?? UNMOVED, (frame) => ownParameters(frame, prepared)),
    );
  }

  execute(message: Execute): Promise<void> | null {
    if (this.maybeCursor(message.portal)) return this.executeMaybeCursor(message);
    const portal = this.usablePortal(message.portal);
    return portal.kind === 'relayed'
      ? this.executeRelayed(portal, message)
      : this.state.ownTurn(() => this.executeLocal(portal, message.maxRows));
  }

  private async executeMaybeCursor(message: Execute): Promise<void> {
    const { state } = this;
    if (await this.isCursor(message.portal)) {
      const bytes = encodeExecute(message.portal, message.maxRows);
      (await state.relayReady()).send(bytes, 'execute', state.sinks.forward(UNMOVED));
      return;
    }
    const portal = this.usablePortal(message.portal);
    if (portal.kind === 'relayed') await this.executeRelayed(portal, message);
    else await this.state.ownTurn(() => this.executeLocal(portal, message.maxRows));
  }

  private usablePortal(name: string): LocalPortal | RelayedPortal {
    const portal = this.portal(name);
    this.state.requireUsable(portal.prepared.statement);
    return portal;
  }

  private async executeRelayed(portal: RelayedPortal, message: Execute): Promise<void> {
    const { state } = this;
    const { notes, prepared } = portal;
    const { statement } = prepared;
    if (statement.kind === 'session') {
      // Whether it is run at all is known once what is before it was answered.
      await state.relayAnswered();
      if (state.relayFailed) return;
      applySessionStatement(state, statement);
      // An error behind it would undo it.
      if (!state.explicit) state.settings.stale = true;
    } else if (statement.kind === 'read') noteReadState(state, statement);
    const relay = await state.relayReady();
    const map = prepared.backend?.map ?? UNMOVED;
    const sink = state.sinks.forward(map, notes === null ? undefined : (frame) => annotated(notes, frame));
    relay.send(encodeExecute(message.portal, message.maxRows), 'execute', sink);
  }

  private executeLocal(portal: LocalPortal, maxRows: number): Promise<void> | null {
    const { state } = this;
    const { statement } = portal.prepared;
    if (isDialect(statement)) return this.executeDialect(portal, statement, maxRows);
    const { suspended } = portal;
    if (suspended === null && portal.executed && statement.kind !== 'empty')
      throw new DatabaseError(SqlState.objectNotInPrerequisiteState, 'portal cannot be run');
    portal.executed = true;
    if (portal.direct !== null) {
      portal.suspended = suspended ?? { result: portal.direct.result, sent: 0 };
      this.writeAll(nextRows(portal.suspended, maxRows, portal.resultFormats));
      return null;
    }
    if (statement.kind === 'transaction') return this.executeTransaction(statement);
    if (statement.kind === 'session') {
      applySessionStatement(state, statement);
      state.output.write(encodeCommandComplete('DEALLOCATE'));
    } else {
      state.output.write(encodeEmptyQueryResponse());
    }
    return null;
  }

  private async executeTransaction(statement: TransactionStatement): Promise<void> {
    const { state, dialect } = this;
    const tag = await runTransaction(state, dialect, statement);
    state.output.write(encodeCommandComplete(tag));
  }

  /** Runs a statement of ours once; later Executes of its portal only fetch what a row limit left. */
  private executeDialect(
    portal: LocalPortal,
    statement: DialectStatement,
    maxRows: number,
  ): Promise<void> | null {
    if (portal.executed) return this.executeAgain(portal, maxRows);
    const formats = portal.resultFormats;
    portal.executed = true;
    const limited = maxRows > 0 && resultColumns(statement) !== null;
    const parameters = (number: number): string | null => portal.parameters[number - 1] ?? null;
    return this.dialect.run(statement, parameters, portal.prepared.types ?? [], (result) => {
      if (!limited) return encodeOutcome(result, formats);
      portal.suspended = { result, sent: 0 };
      return nextRows(portal.suspended, maxRows, formats);
    });
  }

  private async executeAgain(portal: LocalPortal, maxRows: number): Promise<void> {
    await this.dialect.releaseHeld();
    if (portal.suspended === null)
      throw new DatabaseError(SqlState.objectNotInPrerequisiteState, 'portal cannot be run');
    this.writeAll(nextRows(portal.suspended, maxRows, portal.resultFormats));
  }

  private writeAll(chunks: readonly Buffer[]): void {
    for (const chunk of chunks) this.state.output.write(chunk);
  }

  // Sync and Flush

  sync(): Promise<void> | null {
    const { state, dialect } = this;
    const relay = state.openRelay;
    if (relay !== null && (relay.busy || relay.dirty || relay.skipping)) return this.syncRelayed();
    if (!state.explicit) state.portals.clear();
    const commits = dialect.hasImplicit && !state.relayFailed && !state.skipToSync;
    return commits ? dialect.commitImplicit() : null;
  }

  private async syncRelayed(): Promise<void> {
    const { state } = this;
    // With nothing of our own to end, the read model's Sync goes out together with what is before it.
    if (this.dialect.hasImplicit) {
      await state.relayAnswered();
      if (!state.relayFailed && !state.skipToSync) await this.dialect.commitImplicit();
    }
    await this.syncRelay();
    if (!state.explicit) state.portals.clear();
  }

  /** Ends the read model's implicit transaction too, and its skipping after an error. */
  async syncRelay(): Promise<void> {
    const relay = this.state.openRelay;
    if (relay === null || !(relay.dirty || relay.skipping)) return;
    relay.send(encodeSync(), 'sync', this.state.sinks.forwardAnswer(UNMOVED));
    await relay.idle();
  }

  /** The client has its answer to a Sync, or is about to. */
  synced(): void {
    const { state } = this;
    state.skipToSync = false;
    state.relayFailed = false;
    state.unconfirmed.settle();
  }

  async flush(): Promise<void> {
    await this.state.relayAnswered();
    await this.dialect.releaseHeld();
  }

  /** A cursor made by DECLARE is a portal of the read model that no Bind of this session has made. */
  private maybeCursor(name: string): boolean {
    return name !== '' && !this.state.portals.has(name) && this.state.openRelay !== null;
  }

  private async isCursor(name: string): Promise<boolean> {
    if (!this.maybeCursor(name)) return false;
    await this.state.relayAnswered();
    return !this.state.relayFailed && !this.state.skipToSync;
  }

  private portal(name: string): LocalPortal | RelayedPortal {
    const portal = this.state.portals.get(name);
    if (portal === undefined)
      throw new DatabaseError(SqlState.invalidCursorName, `portal "${name}" does not exist`);
    return portal;
  }

  private statement(name: string): Prepared {
    const prepared = this.state.prepared.get(name);
    if (prepared === undefined)
      throw new DatabaseError(
        SqlState.invalidSqlStatementName,
        name === ''
          ? 'unnamed prepared statement does not exist'
          : `prepared statement "${name}" does not exist`,
      );
    return prepared;
  }
}
