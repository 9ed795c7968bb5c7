/**
 * The extended protocol. Messages for the read model are passed on without waiting for their answers; messages of our
 * own wait until those are through, so that both interleave in order inside one pipeline.
 */
import { DatabaseError, SqlState } from '../../engine/errors.js';
import type { Statement } from '../../sql/statement.js';
import {
  encodeBindComplete,
  encodeCloseComplete,
  encodeCommandComplete,
  encodeEmptyQueryResponse,
  encodeNoData,
  encodeParseComplete,
  encodePortalSuspended,
} from '../protocol/backend/complete.js';
import {
  decodeParameterDescription,
  encodeParameterDescription,
  PARAMETER_DESCRIPTION,
} from '../protocol/backend/parameter-description.js';
import type { Frame } from '../protocol/frames.js';
import type { Bind } from '../protocol/frontend/bind.js';
import { encodeClose, type Close } from '../protocol/frontend/close.js';
import { encodeSync } from '../protocol/frontend/control.js';
import { encodeDescribe, type Describe } from '../protocol/frontend/describe.js';
import { encodeExecute, type Execute } from '../protocol/frontend/execute.js';
import type { Parse } from '../protocol/frontend/parse.js';
import type { Format } from '../protocol/bytes.js';
import { encodeRowDescription } from '../protocol/backend/row.js';
import { describeColumns, encodeOutcome, encodeRows, type Result } from '../statements/result.js';
import { describeParameters } from './backendQuery.js';
import { bindLocal } from './binding.js';
import { inferredTypes, isDialect, resultColumns, type Dialect, type DialectStatement } from './dialect.js';
import { DirectReads } from './directReads.js';
import { UNMOVED } from './errors.js';
import { annotated } from './explain.js';
import type { LocalPortal, Prepared, RelayedPortal } from './prepared.js';
import { RelayedStatements } from './relayedStatements.js';
import { rewrite } from './rewriting.js';
import { applySessionStatement, isOurDeallocate, noteReadState } from './sessionStatements.js';
import type { SessionState } from './state.js';
import { runTransaction } from './transactions.js';

const MAX_PREPARED = 10_000;

export class Extended {
  private readonly relayed: RelayedStatements;
  private readonly direct: DirectReads;

  constructor(
    private readonly state: SessionState,
    private readonly dialect: Dialect,
  ) {
    this.direct = new DirectReads(state);
    this.relayed = new RelayedStatements(state, dialect, this.direct);
  }

  // Parse

  async parse(message: Parse): Promise<void> {
    const { state } = this;
    const statements = state.parse(message.text);
    if (statements.length > 1)
      throw new DatabaseError(
        SqlState.syntaxError,
        'cannot insert multiple commands into a prepared statement',
      );
    const statement: Statement = statements[0] ?? { kind: 'empty' };
    state.requireUsable(statement);
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
      await this.ownTurn(() => {
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
    if (isDialect(statement)) types = await this.dialectTypes(statement, given);
    await this.ownTurn(() => {
      state.prepared.set(message.statement, {
        name: message.statement,
        statement,
        givenTypes: given,
        types,
        generation: 0,
        backend: null,
      });
      state.output.write(encodeParseComplete());
    });
  }

  private async dialectTypes(statement: DialectStatement, given: readonly number[]): Promise<number[]> {
    const inferred = new Map(inferredTypes(statement, this.state));
    const inner = statement.kind === 'explain' ? statement.statement : statement;
    if (inner.kind === 'append' && inner.source.kind === 'query') {
      const { read } = inner.source;
      await this.state.waitForReads();
      const { sql } = rewrite(this.state, read, false);
      const found = await describeParameters(this.state, sql, this.relayed.types(read, given));
      found.slice(0, read.parameterCount).forEach((oid, i) => inferred.set(i + 1, oid));
    }
    const count = Math.max(given.length, ...inferred.keys(), 0);
    return Array.from({ length: count }, (_, i) => {
      const asked = given[i] ?? 0;
      if (asked !== 0) return asked;
      const oid = inferred.get(i + 1);
      if (oid === undefined)
        throw new DatabaseError('42P18', `could not determine data type of parameter $${i + 1}`);
      return oid;
    });
  }

  // Bind

  async bind(message: Bind): Promise<void> {
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
    const answered = prepared.backend === null ? null : await this.direct.bind(message, prepared);
    if (prepared.backend !== null && answered === null) {
      const notes = await this.relayed.bind(message, prepared);
      state.portals.set(message.portal, { kind: 'relayed', prepared, notes });
      return;
    }
    const portal = answered ?? bindLocal(message, prepared);
    await this.ownTurn(() => {
      state.portals.set(message.portal, portal);
      state.output.write(encodeBindComplete());
    });
  }

  // Describe, Execute, Close

  async describe(message: Describe): Promise<void> {
    const { state } = this;
    if (message.target === 'portal' && (await this.isCursor(message.name))) {
      (await state.relayReady()).send(encodeDescribe(message), 'describe', state.forward(UNMOVED));
      return;
    }
    const portal = message.target === 'portal' ? this.portal(message.name) : null;
    const prepared = portal === null ? this.statement(message.name) : portal.prepared;
    const known = portal === null ? this.direct.known(prepared.statement, prepared.givenTypes) : null;
    if (portal?.kind === 'local' && portal.direct !== null) {
      const { fields } = portal.direct;
      await this.ownTurn(() => state.output.write(encodeRowDescription(fields)));
      return;
    }
    if (known !== null) {
      await this.ownTurn(() => {
        state.output.write(encodeParameterDescription(known.parameterTypes));
        state.output.write(encodeRowDescription(known.fields));
      });
      return;
    }
    if (prepared.backend !== null) {
      const relay = await state.relayReady();
      if (prepared.generation !== state.generation) await this.relayed.prepare(prepared, false);
      relay.send(
        encodeDescribe(message),
        'describe',
        state.forward(prepared.backend.map, (frame) => ownParameters(frame, prepared)),
      );
      return;
    }
    await this.ownTurn(() => {
      if (message.target === 'statement')
        state.output.write(encodeParameterDescription(prepared.types ?? []));
      const columns = isDialect(prepared.statement) ? resultColumns(prepared.statement) : null;
      const formats = portal?.kind === 'local' ? portal.resultFormats : [];
      state.output.write(columns === null ? encodeNoData() : describeColumns(columns, formats));
    });
  }

  async execute(message: Execute): Promise<void> {
    const { state } = this;
    if (await this.isCursor(message.portal)) {
      const bytes = encodeExecute(message.portal, message.maxRows);
      (await state.relayReady()).send(bytes, 'execute', state.forward(UNMOVED));
      return;
    }
    const portal = this.portal(message.portal);
    const { statement } = portal.prepared;
    state.requireUsable(statement);
    if (portal.kind === 'relayed') {
      if (statement.kind === 'session') applySessionStatement(state, statement);
      else if (statement.kind === 'read') noteReadState(state, statement);
      const relay = await state.relayReady();
      const map = portal.prepared.backend?.map ?? UNMOVED;
      const { notes } = portal;
      const sink = state.forward(map, notes === null ? undefined : (frame) => annotated(notes, frame));
      relay.send(encodeExecute(message.portal, message.maxRows), 'execute', sink);
      return;
    }
    await this.ownTurn(() => this.executeLocal(portal, message.maxRows));
  }

  private async executeLocal(portal: LocalPortal, maxRows: number): Promise<void> {
    const { state, dialect } = this;
    const { statement } = portal.prepared;
    if (isDialect(statement)) {
      await this.executeDialect(portal, statement, maxRows);
      return;
    }
    if (portal.direct !== null) {
      const { suspended } = portal;
      if (suspended === null && portal.executed)
        throw new DatabaseError(SqlState.objectNotInPrerequisiteState, 'portal cannot be run');
      portal.executed = true;
      portal.suspended = suspended ?? { result: portal.direct.result, sent: 0 };
      for (const chunk of nextRows(portal.suspended, maxRows, portal.resultFormats))
        state.output.write(chunk);
      return;
    }
    if (statement.kind === 'transaction') {
      const tag = await runTransaction(state, dialect, statement);
      state.output.write(encodeCommandComplete(tag));
    } else if (statement.kind === 'session') {
      applySessionStatement(state, statement);
      state.output.write(encodeCommandComplete('DEALLOCATE'));
    } else {
      state.output.write(encodeEmptyQueryResponse());
    }
  }

  /** Runs a statement of ours once; later Executes of its portal only fetch what a row limit left. */
  private async executeDialect(
    portal: LocalPortal,
    statement: DialectStatement,
    maxRows: number,
  ): Promise<void> {
    const { state, dialect } = this;
    const formats = portal.resultFormats;
    if (portal.executed) {
      await dialect.releaseHeld();
      if (portal.suspended === null)
        throw new DatabaseError(SqlState.objectNotInPrerequisiteState, 'portal cannot be run');
      for (const chunk of nextRows(portal.suspended, maxRows, formats)) state.output.write(chunk);
      return;
    }
    portal.executed = true;
    const limited = maxRows > 0 && resultColumns(statement) !== null;
    const parameters = (number: number): string | null => portal.parameters[number - 1] ?? null;
    await dialect.run(statement, parameters, portal.prepared.types ?? [], (result) => {
      if (!limited) return encodeOutcome(result, formats);
      portal.suspended = { result, sent: 0 };
      return nextRows(portal.suspended, maxRows, formats);
    });
  }

  async close(message: Close): Promise<void> {
    const { state } = this;
    const relayed =
      message.target === 'statement'
        ? (state.prepared.get(message.name)?.backend ?? null) !== null
        : state.portals.get(message.name)?.kind !== 'local';
    if (message.target === 'statement') state.prepared.delete(message.name);
    else state.portals.delete(message.name);
    const relay = state.openRelay;
    if (relayed && relay !== null) relay.send(encodeClose(message), 'close', state.forward(UNMOVED));
    else await this.ownTurn(() => state.output.write(encodeCloseComplete()));
  }

  // Sync and Flush

  async sync(): Promise<void> {
    const { state } = this;
    // With nothing of our own to end, the read model's Sync goes out together with what is before it.
    if (!state.explicit && !state.transaction.isEmpty) {
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
    relay.send(encodeSync(), 'sync', this.state.forwardAnswer(UNMOVED));
    await relay.idle();
  }

  async flush(): Promise<void> {
    await this.state.relayAnswered();
    await this.dialect.releaseHeld();
  }

  /** Does something of our own once everything relayed before it is answered; not at all if that failed. */
  private async ownTurn(action: () => void | Promise<void>): Promise<void> {
    await this.state.relayAnswered();
    if (!this.state.relayFailed) await action();
  }

  /** A cursor made by DECLARE is a portal of the read model that no Bind of this session has made. */
  private async isCursor(name: string): Promise<boolean> {
    if (this.state.portals.has(name) || name === '' || this.state.openRelay === null) return false;
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

/** The next rows of a suspended portal, then PortalSuspended, or CommandComplete once all were sent. */
function nextRows(
  suspended: { readonly result: Result; sent: number },
  maxRows: number,
  formats: readonly Format[],
): Buffer[] {
  const { result, sent } = suspended;
  const end = maxRows > 0 ? Math.min(result.rows.length, sent + maxRows) : result.rows.length;
  suspended.sent = end;
  const rows = encodeRows({ columns: result.columns, rows: result.rows.slice(sent, end) }, formats);
  const complete = end === result.rows.length && (maxRows <= 0 || end - sent < maxRows);
  return [...rows, complete ? encodeCommandComplete(result.tag) : encodePortalSuspended()];
}

/** The client never sees the parameters that carry engine rows. */
function ownParameters(frame: Frame, prepared: Prepared): Buffer {
  const { statement } = prepared;
  if (
    frame.type !== PARAMETER_DESCRIPTION ||
    statement.kind !== 'read' ||
    statement.engineRelations.length === 0
  )
    return frame.raw;
  return encodeParameterDescription(
    decodeParameterDescription(frame.body).slice(0, statement.parameterCount),
  );
}
