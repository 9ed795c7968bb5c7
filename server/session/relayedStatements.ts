/** Prepared statements of the read model: what the client's Parse and Bind become for it. */
import type { RowTable } from '../../sql/rewrite.js';
import type { ReadStatement, SessionStatement } from '../../sql/statement.js';
import {
  decodeParameterDescription,
  encodeParameterDescription,
  PARAMETER_DESCRIPTION,
} from '../protocol/backend/parameter-description.js';
import type { Frame } from '../protocol/frames.js';
import { decodeRowDescription, ROW_DESCRIPTION, type RowField } from '../protocol/backend/row.js';
import { encodeBind, rewriteBind, type Bind } from '../protocol/frontend/bind.js';
import { encodeClose } from '../protocol/frontend/close.js';
import { encodeDescribe } from '../protocol/frontend/describe.js';
import { encodeParse, type Parse } from '../protocol/frontend/parse.js';
import type { PlanNotes } from '../statements/explain/annotate.js';
import { parametersOf } from './binding.js';
import type { Dialect } from './dialect.js';
import type { DirectReads } from './directReads.js';
import { UNMOVED } from './errors.js';
import { NOWHERE, requireSameColumns, type Prepared } from './prepared.js';
import { engineRows, inlineRead, overlaid, overlayRows, rewrite } from './rewriting.js';
import type { SessionState } from './state.js';

const OVERLAY = 'eventful overlay';

export class RelayedStatements {
  constructor(
    private readonly state: SessionState,
    private readonly dialect: Dialect,
    private readonly direct: DirectReads,
  ) {}

  /** Prepares a statement on the read model under the client's own name. */
  async parse(message: Parse, statement: ReadStatement | SessionStatement): Promise<void> {
    const { state } = this;
    await state.waitForReads();
    const prepared = unsent(state, message, statement);
    await this.prepare(prepared, true);
    state.prepared.set(message.statement, prepared);
  }

  /** Keeps a statement that the read model is to see only if the engine should turn out not to answer it. */
  remember(message: Parse, statement: ReadStatement): void {
    this.state.prepared.set(message.statement, unsent(this.state, message, statement));
  }

  /** Types for the read model: the client's, those only AS OF tells, and JSON for the rows of engine relations. */
  types(read: ReadStatement, given: readonly number[]): number[] {
    const own = Array.from(
      { length: read.engineRelations.length > 0 ? read.parameterCount : given.length },
      (_, i) =>
        given[i] !== undefined && given[i] !== 0 ? given[i] : (read.asOfParameterTypes.get(i + 1) ?? 0),
    );
    return [...own, ...read.engineRelations.map(() => 114)];
  }

  /** Sends the Parse, again on a new connection; `visible` when the client waits for its answer. */
  async prepare(prepared: Prepared, visible: boolean): Promise<void> {
    const { state } = this;
    const { statement, backend } = prepared;
    if (backend === null) return;
    requireSameColumns(prepared, state.transaction.schema());
    const relay = await state.relayReady();
    const types =
      statement.kind === 'read' ? this.types(statement, prepared.givenTypes) : [...prepared.givenTypes];
    const bytes = encodeParse({ statement: prepared.name, text: backend.sql, parameterTypes: types });
    const { sinks } = state;
    const sink = visible ? sinks.forward(backend.map) : sinks.hidden(backend.map);
    relay.send(bytes, 'parse', state.unconfirmed.parse(prepared, visible, sink));
    prepared.generation = state.generation;
    const needsTypes =
      statement.kind === 'read' &&
      (statement.engineRelations.length > 0 || statement.stateReferences.length > 0);
    const wanted = this.direct.wants(statement, prepared.givenTypes);
    if ((!needsTypes || prepared.types !== null) && !wanted) return;
    relay.send(
      encodeDescribe({ target: 'statement', name: prepared.name }),
      'describe',
      state.sinks.hidden(backend.map, (frame) => {
        if (frame.type === PARAMETER_DESCRIPTION) prepared.types = decodeParameterDescription(frame.body);
        if (frame.type === ROW_DESCRIPTION && wanted) this.learn(prepared, decodeRowDescription(frame.body));
      }),
    );
  }

  private learn(prepared: Prepared, fields: readonly RowField[]): void {
    const { statement, givenTypes, types } = prepared;
    if (statement.kind !== 'read' || types === null) return;
    const parameterTypes = types.slice(0, Math.max(statement.parameterCount, givenTypes.length));
    this.direct.learn(statement, givenTypes, { parameterTypes, fields });
  }

  /** Binds; engine rows and uncommitted appends go along as parameters. Gives what EXPLAIN is to say of them. */
  async bind(message: Bind, prepared: Prepared): Promise<PlanNotes | null> {
    const { state } = this;
    const map = prepared.backend?.map ?? UNMOVED;
    const { statement } = prepared;
    await state.relayReady();
    if (prepared.generation !== state.generation) await this.prepare(prepared, false);
    let sent = message;
    let notes: PlanNotes | null = null;
    if (statement.kind === 'read') {
      await this.dialect.releaseHeld();
      await state.waitForReads();
      const changed = overlaid(state, statement);
      if (statement.engineRelations.length > 0 || changed.length > 0) {
        await state.relayAnswered();
        if (state.skipToSync || state.relayFailed) return null;
        if (statement.form === 'copy') {
          await this.prepareCopy(statement);
          sent = rewriteBind(message, { statement: OVERLAY });
          (await state.relayReady()).send(encodeBind(sent), 'bind', state.sinks.forward(map));
          return null;
        }
        const rows = await engineRows(state, statement, parametersOf(message, prepared.types ?? []));
        const extraText = changed.length > 0 ? [...rows.json, ...overlayRows(state, statement)] : rows.json;
        notes = rows.notes;
        const anew = changed.length > 0 || rows.tables.some((table) => table !== null);
        if (anew) await this.prepareOverlay(statement, prepared, rows.tables);
        sent = rewriteBind(message, { extraText, ...(anew ? { statement: OVERLAY } : {}) });
      }
    }
    const relay = await state.relayReady();
    relay.send(encodeBind(sent), 'bind', state.sinks.forward(map));
    return notes;
  }

  /** COPY … TO takes no parameters: its rows stand in the text, made anew for each Bind. */
  private async prepareCopy(statement: ReadStatement): Promise<void> {
    const { state } = this;
    const { sql, map } = await inlineRead(state, statement);
    const relay = await state.relayReady();
    relay.send(encodeClose({ target: 'statement', name: OVERLAY }), 'close', state.sinks.hidden(map));
    relay.send(
      encodeParse({ statement: OVERLAY, text: sql, parameterTypes: [] }),
      'parse',
      state.sinks.hidden(map),
    );
  }

  /** The same statement over the transaction's own states and tables of the past; made anew for each Bind, since those change. */
  private async prepareOverlay(
    statement: ReadStatement,
    prepared: Prepared,
    tables: readonly (RowTable | null)[],
  ): Promise<void> {
    const { state } = this;
    const relay = await state.relayReady();
    const { sql, map } = rewrite(state, statement, true, tables);
    const own = (prepared.types ?? []).slice(0, statement.parameterCount);
    const extra = statement.engineRelations.length + overlaid(state, statement).length;
    const parameterTypes = [...own, ...Array.from({ length: extra }, () => 114)];
    relay.send(encodeClose({ target: 'statement', name: OVERLAY }), 'close', state.sinks.hidden(map));
    relay.send(
      encodeParse({ statement: OVERLAY, text: sql, parameterTypes }),
      'parse',
      state.sinks.hidden(map),
    );
  }
}

/** The client never sees the parameters that carry engine rows. */
export function ownParameters(frame: Frame, prepared: Prepared): Buffer {
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

/** A statement of the read model that it has not been given yet. */
export function unsent(
  state: SessionState,
  message: Parse,
  statement: ReadStatement | SessionStatement,
): Prepared {
  const { offset } = statement;
  const backend =
    statement.kind === 'read' && statement.engineRelations.length > 0
      ? rewrite(state, statement, false)
      : { sql: statement.sql, map: (position: number) => position + offset };
  return {
    name: message.statement,
    statement,
    givenTypes: message.parameterTypes,
    types: null,
    generation: NOWHERE,
    backend,
    schema: state.transaction.schema(),
  };
}
