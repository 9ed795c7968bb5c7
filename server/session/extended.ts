/**
 * The extended protocol. Messages for the read model are passed on without waiting for their answers; messages of our
 * own wait until those are through, so that both interleave in order inside one pipeline.
 */
import { DatabaseError, SqlState } from '../../engine/errors.js';
import type { ReadStatement, SessionStatement, Statement } from '../../sql/statement.js';
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
import { READY_FOR_QUERY } from '../protocol/backend/status.js';
import type { Frame } from '../protocol/frames.js';
import { encodeBind, rewriteBind, type Bind } from '../protocol/frontend/bind.js';
import { encodeClose, type Close } from '../protocol/frontend/close.js';
import { encodeSync } from '../protocol/frontend/control.js';
import { encodeDescribe, type Describe } from '../protocol/frontend/describe.js';
import { encodeExecute, type Execute } from '../protocol/frontend/execute.js';
import { encodeParse, type Parse } from '../protocol/frontend/parse.js';
import type { Format } from '../protocol/bytes.js';
import { describeColumns, encodeRows, type Result } from '../statements/result.js';
import { describeParameters } from './backendQuery.js';
import { bindLocal, parametersOf } from './binding.js';
import { inferredTypes, isDialect, resultColumns, type Dialect, type DialectStatement } from './dialect.js';
import { UNMOVED } from './errors.js';
import type { LocalPortal, Prepared } from './prepared.js';
import { engineRows, overlaid, overlayRows, rewrite } from './rewriting.js';
import { applySessionStatement, isOurDeallocate, noteReadState } from './sessionStatements.js';
import type { SessionState } from './state.js';
import { runTransaction } from './transactions.js';

const MAX_PREPARED = 10_000;
const OVERLAY = 'eventful overlay';

export class Extended {
  constructor(
    private readonly state: SessionState,
    private readonly dialect: Dialect,
  ) {}

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
    if (statement.kind === 'read' || (statement.kind === 'session' && !isOurDeallocate(state, statement)))
      await this.parseRelayed(message, statement);
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
    if (statement.kind === 'append' && statement.source.kind === 'query') {
      const { read } = statement.source;
      await this.state.waitForReads();
      const { sql } = rewrite(this.state, read, false);
      const found = await describeParameters(this.state, sql, this.backendTypes(read, given));
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

  private async parseRelayed(message: Parse, statement: ReadStatement | SessionStatement): Promise<void> {
    const { state } = this;
    await state.waitForReads();
    const offset = statement.offset;
    const backend =
      statement.kind === 'read' && statement.engineRelations.length > 0
        ? rewrite(state, statement, false)
        : { sql: statement.sql, map: (position: number) => position + offset };
    const prepared: Prepared = {
      name: message.statement,
      statement,
      givenTypes: message.parameterTypes,
      types: null,
      generation: 0,
      backend,
    };
    await this.prepareOnBackend(prepared, true);
    state.prepared.set(message.statement, prepared);
  }

  /** Types for the read model: the client's, those only AS OF tells, and JSON for the rows of engine relations. */
  private backendTypes(read: ReadStatement, given: readonly number[]): number[] {
    const own = Array.from(
      { length: read.engineRelations.length > 0 ? read.parameterCount : given.length },
      (_, i) =>
        given[i] !== undefined && given[i] !== 0 ? given[i] : (read.asOfParameterTypes.get(i + 1) ?? 0),
    );
    return [...own, ...read.engineRelations.map(() => 114)];
  }

  private async prepareOnBackend(prepared: Prepared, visible: boolean): Promise<void> {
    const { state } = this;
    const { statement, backend } = prepared;
    if (backend === null) return;
    const relay = await state.relayReady();
    const types =
      statement.kind === 'read'
        ? this.backendTypes(statement, prepared.givenTypes)
        : [...prepared.givenTypes];
    const bytes = encodeParse({ statement: prepared.name, text: backend.sql, parameterTypes: types });
    relay.send(bytes, 'parse', visible ? state.forward(backend.map) : state.hidden(backend.map));
    prepared.generation = state.generation;
    const needsTypes =
      statement.kind === 'read' &&
      (statement.engineRelations.length > 0 || statement.stateReferences.length > 0);
    if (!needsTypes || prepared.types !== null) return;
    relay.send(
      encodeDescribe({ target: 'statement', name: prepared.name }),
      'describe',
      state.hidden(backend.map, (frame) => {
        if (frame.type === PARAMETER_DESCRIPTION) prepared.types = decodeParameterDescription(frame.body);
      }),
    );
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
    if (prepared.backend !== null) {
      await this.bindRelayed(message, prepared);
      state.portals.set(message.portal, { kind: 'relayed', prepared });
      return;
    }
    const portal = bindLocal(message, prepared);
    await this.ownTurn(() => {
      state.portals.set(message.portal, portal);
      state.output.write(encodeBindComplete());
    });
  }

  private async bindRelayed(message: Bind, prepared: Prepared): Promise<void> {
    const { state } = this;
    const map = prepared.backend?.map ?? UNMOVED;
    const { statement } = prepared;
    if (state.openRelay === null || prepared.generation !== state.generation)
      await this.prepareOnBackend(prepared, false);
    let sent = message;
    if (statement.kind === 'read') {
      await this.dialect.releaseHeld();
      await state.waitForReads();
      const changed = overlaid(state, statement);
      if (statement.engineRelations.length > 0 || changed.length > 0) {
        await state.relayAnswered();
        if (state.skipToSync || state.relayFailed) return;
        const rows = await engineRows(state, statement, parametersOf(message, prepared.types ?? []));
        const extraText = changed.length > 0 ? [...rows, ...overlayRows(state, statement)] : rows;
        if (changed.length > 0) await this.prepareOverlay(statement, prepared);
        sent = rewriteBind(message, {
          extraText,
          ...(changed.length > 0 ? { statement: OVERLAY } : {}),
        });
      }
    }
    const relay = await state.relayReady();
    relay.send(encodeBind(sent), 'bind', state.forward(map));
  }

  /** The same statement over the transaction's own states; made anew for each Bind, since those change. */
  private async prepareOverlay(statement: ReadStatement, prepared: Prepared): Promise<void> {
    const { state } = this;
    const relay = await state.relayReady();
    const { sql, map } = rewrite(state, statement, true);
    const own = (prepared.types ?? []).slice(0, statement.parameterCount);
    const extra = statement.engineRelations.length + overlaid(state, statement).length;
    const parameterTypes = [...own, ...Array.from({ length: extra }, () => 114)];
    relay.send(encodeClose({ target: 'statement', name: OVERLAY }), 'close', state.hidden(map));
    relay.send(encodeParse({ statement: OVERLAY, text: sql, parameterTypes }), 'parse', state.hidden(map));
  }

  // Describe, Execute, Close

  async describe(message: Describe): Promise<void> {
    const { state } = this;
    const portal = message.target === 'portal' ? this.portal(message.name) : null;
    const prepared = portal === null ? this.statement(message.name) : portal.prepared;
    if (prepared.backend !== null) {
      const relay = await state.relayReady();
      if (prepared.generation !== state.generation) await this.prepareOnBackend(prepared, false);
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
    const portal = this.portal(message.portal);
    const { statement } = portal.prepared;
    state.requireUsable(statement);
    if (portal.kind === 'relayed') {
      if (statement.kind === 'session') applySessionStatement(state, statement);
      else if (statement.kind === 'read') noteReadState(state, statement);
      const relay = await state.relayReady();
      const map = portal.prepared.backend?.map ?? UNMOVED;
      relay.send(encodeExecute(message.portal, message.maxRows), 'execute', state.forward(map));
      return;
    }
    await this.ownTurn(() => this.executeLocal(portal, message.maxRows));
  }

  private async executeLocal(portal: LocalPortal, maxRows: number): Promise<void> {
    const { state, dialect } = this;
    const { statement } = portal.prepared;
    if (isDialect(statement)) {
      const parameters = (number: number): string | null => portal.parameters[number - 1] ?? null;
      if (portal.suspended !== null || (maxRows > 0 && resultColumns(statement) !== null)) {
        const types = portal.prepared.types ?? [];
        portal.suspended ??= { result: await dialect.result(statement, parameters, types), sent: 0 };
        for (const chunk of nextRows(portal.suspended, maxRows, portal.resultFormats))
          state.output.write(chunk);
        return;
      }
      await dialect.run(statement, parameters, portal.prepared.types ?? [], portal.resultFormats);
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

  async close(message: Close): Promise<void> {
    const { state } = this;
    const relayed =
      message.target === 'statement'
        ? (state.prepared.get(message.name)?.backend ?? null) !== null
        : state.portals.get(message.name)?.kind === 'relayed';
    if (message.target === 'statement') state.prepared.delete(message.name);
    else state.portals.delete(message.name);
    const relay = state.openRelay;
    if (relayed && relay !== null) relay.send(encodeClose(message), 'close', state.forward(UNMOVED));
    else await this.ownTurn(() => state.output.write(encodeCloseComplete()));
  }

  // Sync and Flush

  async sync(): Promise<void> {
    const { state } = this;
    await state.relayAnswered();
    if (!state.relayFailed && !state.skipToSync) await this.dialect.commitImplicit();
    await this.syncRelay();
    if (!state.explicit) state.portals.clear();
  }

  /** Ends the read model's implicit transaction too, and its skipping after an error. */
  async syncRelay(): Promise<void> {
    const relay = this.state.openRelay;
    if (relay === null || !(relay.dirty || relay.skipping)) return;
    relay.send(
      encodeSync(),
      'sync',
      this.state.forward(UNMOVED, (frame) => (frame.type === READY_FOR_QUERY ? null : frame.raw)),
    );
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

  private portal(name: string): LocalPortal | { kind: 'relayed'; prepared: Prepared } {
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
