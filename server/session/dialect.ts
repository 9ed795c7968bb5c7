/** Runs the statements that the engine answers itself. */
import type { Appended } from '../../engine/commit/appended.js';
import { DatabaseError, SqlState } from '../../engine/errors.js';
import type { NewEvent } from '../../engine/types.js';
import type {
  AppendStatement,
  CallStatement,
  CommentStatement,
  CopyAppendStatement,
  CreateAggregateStatement,
  ExplainStatement,
  Statement,
} from '../../sql/statement.js';
import { encodeCommandComplete } from '../protocol/backend/complete.js';
import { encodeCopyInResponse } from '../protocol/backend/copy.js';
import {
  appendParameterTypes,
  appendResult,
  buildEvents,
  columnTypes,
  returningColumns,
  valueRows,
  type Parameters,
} from '../statements/append.js';
import { callColumns, runCall } from '../statements/call.js';
import { finishPlan, planColumns } from '../statements/explain/plan.js';
import type { Column, Result } from '../statements/result.js';
import { readModelFor } from '../statements/compare.js';
import { runQuery } from './backendQuery.js';
import { CopyIn } from './copyIn.js';
import { callPlan, doneAppend, plannedAppend, sourcePlan } from './explain.js';
import type { HeldAnswer } from './output.js';
import type { SessionState } from './state.js';
import type { Shown } from './transaction.js';
import { fillViews, runView, type ViewStatement } from './views.js';

export type DialectStatement =
  | AppendStatement
  | CopyAppendStatement
  | CallStatement
  | CommentStatement
  | CreateAggregateStatement
  | ExplainStatement
  | ViewStatement;

const DIALECT: ReadonlySet<Statement['kind']> = new Set([
  ...(['append', 'copy', 'call', 'comment', 'createAggregate', 'explain'] as const),
  ...(['createView', 'refreshView', 'dropView'] as const),
]);

export function isDialect(statement: Statement): statement is DialectStatement {
  return DIALECT.has(statement.kind);
}

/** The result's columns; null where the statement returns no rows. */
export function resultColumns(statement: DialectStatement): readonly Column[] | null {
  switch (statement.kind) {
    case 'append':
      return statement.returning.length > 0 ? returningColumns(statement) : null;
    case 'call':
      return callColumns(statement);
    case 'explain':
      return planColumns(statement);
    case 'copy':
    case 'comment':
    case 'createAggregate':
    case 'createView':
    case 'refreshView':
    case 'dropView':
      return null;
  }
}

/** Types of the parameters, by number, where the statement itself says so. */
export function inferredTypes(statement: DialectStatement, state: SessionState): Map<number, number> {
  if (statement.kind === 'explain') return inferredTypes(statement.statement, state);
  if (statement.kind === 'append') return appendParameterTypes(statement, state.transaction.schema());
  const types = new Map<number, number>();
  if (statement.kind === 'call') {
    for (const operand of statement.args) if (operand.kind === 'parameter') types.set(operand.number, 25);
  }
  return types;
}

/** How a result is written: its rows and what comes behind them. */
export type EncodeResult = (result: Result) => Buffer[];

/** An append whose answer waits for the commit of its implicit transaction. */
interface HeldAppend extends HeldAnswer {
  readonly events: number;
  /** What its answer shows. */
  readonly shown: Shown | false;
  readonly encode: (rows: readonly Appended[], final: boolean) => Buffer[];
}

export class Dialect {
  private held: HeldAppend[] = [];

  constructor(private readonly state: SessionState) {}

  /**
   * Runs a statement and writes its rows and CommandComplete (not its RowDescription); null when that is done at once.
   * @throws DatabaseError, or the promise rejects with it
   */
  run(
    statement: DialectStatement,
    parameters: Parameters,
    parameterTypes: readonly number[],
    encode: EncodeResult,
  ): Promise<void> | null {
    this.requireWritable(statement);
    return statement.kind === 'append' && statement.source.kind === 'values'
      ? this.take(statement, this.valueEvents(statement, parameters), encode)
      : this.runLater(statement, parameters, parameterTypes, encode);
  }

  private async runLater(
    statement: DialectStatement,
    parameters: Parameters,
    parameterTypes: readonly number[],
    encode: EncodeResult,
  ): Promise<void> {
    if (statement.kind === 'append') {
      await this.take(statement, await this.events(statement, parameters, parameterTypes), encode);
      return;
    }
    if (statement.kind === 'copy') {
      await this.copy(statement);
      return;
    }
    await this.releaseHeld();
    if (statement.kind === 'explain') {
      await this.explain(statement, parameters, parameterTypes, encode);
      return;
    }
    const result = await this.runOther(statement, parameters);
    for (const chunk of encode(result)) this.state.output.write(chunk);
  }

  private requireWritable(statement: DialectStatement): void {
    if (statement.kind === 'explain') {
      if (statement.options.analyze) this.requireWritable(statement.statement);
      return;
    }
    if (!this.state.settings.readOnly || statement.kind === 'call') return;
    const names = {
      append: 'INSERT',
      copy: 'COPY FROM',
      comment: 'COMMENT',
      createAggregate: 'CREATE AGGREGATE',
      createView: 'CREATE VIEW',
      refreshView: 'REFRESH MATERIALIZED VIEW',
      dropView: 'DROP VIEW',
    };
    throw new DatabaseError('25006', `cannot execute ${names[statement.kind]} in a read-only transaction`);
  }

  /** Commits the implicit transaction and answers what was held for it. @throws what the commit throws */
  async commitImplicit(): Promise<void> {
    const { state } = this;
    if (!this.hasImplicit) return;
    const held = this.held;
    this.held = [];
    const { viewsToFill } = state.transaction;
    const rows = await state.transaction.commit(state.settings.durable);
    this.answer(held, rows, true);
    if (viewsToFill.length > 0) await fillViews(state, viewsToFill);
  }

  /** There is an implicit transaction to commit. */
  get hasImplicit(): boolean {
    return !this.state.explicit && !this.state.transaction.isEmpty;
  }

  /** Answers what is held although the commit is still to come, because something behind it must run first. */
  async releaseHeld(): Promise<void> {
    const held = this.held;
    if (held.length === 0) return;
    this.held = [];
    const shows = (what: keyof Shown): boolean => held.some(({ shown }) => shown !== false && shown[what]);
    const shown = { version: shows('version'), eventId: shows('eventId') };
    this.answer(held, await this.state.transaction.previewDeferred(shown), false);
  }

  /** After an error nothing that was held is answered. */
  forget(): void {
    this.held = [];
  }

  private answer(held: readonly HeldAppend[], rows: readonly Appended[], final: boolean): void {
    let at = 0;
    // All of them before the first is written: one may turn out to have no form in the format asked for.
    const answers = held.map(({ events, encode }) => {
      const own = held.length === 1 ? rows : rows.slice(at, at + events);
      at += events;
      return encode(own, final);
    });
    let next = 0;
    this.state.output.settle(() => answers[next++] ?? []);
  }

  /** Appends events and answers with what the statement returns. */
  private take(
    statement: AppendStatement,
    events: readonly NewEvent[],
    encode: EncodeResult,
  ): Promise<void> | null {
    for (const event of events) this.state.access.requireAppend(event.aggregateType, event.aggregateId);
    const shows = (wanted: string): boolean => statement.returning.some(({ column }) => column === wanted);
    const shown = { version: shows('version'), eventId: shows('event_id') };
    return this.add(events, shown, (rows, final) => encode(appendResult(statement, events, rows, final)));
  }

  /** Without ANALYZE nothing is appended or called; with it everything is, as in PostgreSQL. */
  private async explain(
    explain: ExplainStatement,
    parameters: Parameters,
    parameterTypes: readonly number[],
    encode: EncodeResult,
  ): Promise<void> {
    const { state } = this;
    const { statement, options } = explain;
    const started = performance.now();
    if (statement.kind === 'call') {
      const rows = options.analyze ? (await this.runOther(statement, parameters)).rows.length : null;
      const plan = await callPlan(state, explain, statement, parameters);
      for (const chunk of encode(finishPlan(explain, plan, rows, started))) state.output.write(chunk);
      return;
    }
    const source = await sourcePlan(state, explain, statement, parameters, parameterTypes);
    if (!options.analyze) {
      const events =
        statement.source.kind === 'values' ? await this.events(statement, parameters, parameterTypes) : null;
      const plan = await plannedAppend(state, statement, events, parameters, source);
      for (const chunk of encode(finishPlan(explain, plan, null, started))) state.output.write(chunk);
      return;
    }
    const events = await this.events(statement, parameters, parameterTypes);
    for (const event of events) state.access.requireAppend(event.aggregateType, event.aggregateId);
    await this.add(events, false, (rows, final) =>
      encode(
        finishPlan(explain, doneAppend(statement, rows, final, parameters, source), rows.length, started),
      ),
    );
  }

  /** Takes the client's COPY data, up to its end, then appends it as one. */
  private async copy(statement: CopyAppendStatement): Promise<void> {
    const { state } = this;
    await this.releaseHeld();
    const copy = new CopyIn(statement, (event) =>
      state.access.requireAppend(event.aggregateType, event.aggregateId),
    );
    state.output.write(
      encodeCopyInResponse(
        0,
        statement.columns.map(() => 0),
      ),
    );
    state.output.flush();
    state.beginCopy(copy);
    let events: NewEvent[];
    try {
      events = await copy.events;
    } finally {
      state.endCopy();
    }
    // Its data may have come for a long time.
    state.engine.tokens.requireValid(state.identity);
    await this.add(events, false, (rows) => [encodeCommandComplete(`COPY ${rows.length}`)]);
  }

  /** Adds events to the transaction and answers, at once or with its commit; null when nothing is to be waited for. */
  private add(
    events: readonly NewEvent[],
    shown: Shown | false,
    encode: (rows: readonly Appended[], final: boolean) => Buffer[],
  ): Promise<void> | null {
    const { state } = this;
    const { transaction } = state;
    if (events.length === 0) {
      // Nothing to commit, so nothing to wait for.
      for (const chunk of encode([], true)) state.output.write(chunk);
      return null;
    }
    if (state.explicit || transaction.isPreviewed) return this.addChecked(events, shown, encode);
    transaction.defer(events);
    const held = { kind: 'held', events: events.length, shown, encode } as const;
    this.held.push(held);
    state.output.hold(held);
    return null;
  }

  private async addChecked(
    events: readonly NewEvent[],
    shown: Shown | false,
    encode: (rows: readonly Appended[], final: boolean) => Buffer[],
  ): Promise<void> {
    const rows = await this.state.transaction.add(events, shown);
    for (const chunk of encode(rows, false)) this.state.output.write(chunk);
  }

  private valueEvents(statement: AppendStatement, parameters: Parameters): NewEvent[] {
    return buildEvents(statement, valueRows(statement, parameters), parameters);
  }

  private async events(
    statement: AppendStatement,
    parameters: Parameters,
    parameterTypes: readonly number[],
  ): Promise<NewEvent[]> {
    if (statement.source.kind === 'values') return this.valueEvents(statement, parameters);
    await this.releaseHeld();
    const rows = await runQuery(this.state, statement.source.read, parameters, parameterTypes);
    const wanted = columnTypes(statement, this.state.transaction.schema()).length;
    if (rows.columns > wanted || (rows.columns < wanted && !statement.rowsMayBeShort))
      throw new DatabaseError(
        SqlState.syntaxError,
        `INSERT has ${rows.columns > wanted ? 'more expressions than target columns' : 'more target columns than expressions'}`,
      );
    return buildEvents(statement, rows.rows, parameters);
  }

  private async runOther(
    statement: Exclude<DialectStatement, AppendStatement | CopyAppendStatement | ExplainStatement>,
    parameters: Parameters,
  ): Promise<Result> {
    const { state } = this;
    switch (statement.kind) {
      case 'createAggregate':
        return this.createAggregate(statement);
      case 'comment': {
        state.access.requireAdmin('change the schema');
        const { aggregateType, comment } = statement;
        const event = await state.engine.commentEvent(state.transaction.schema(), aggregateType, comment);
        await state.transaction.add([event], false);
        return { columns: [], rows: [], tag: 'COMMENT' };
      }
      case 'createView':
      case 'refreshView':
      case 'dropView':
        return runView(state, statement);
      case 'call':
        return runCall(statement, {
          engine: state.engine,
          access: state.access,
          writer: state.writer,
          parameters,
          signal: state.signal,
          timestamp: (text) => state.timestamp(text),
          beside: readModelFor(state.services),
        });
    }
  }

  private async createAggregate(statement: CreateAggregateStatement): Promise<Result> {
    const { state } = this;
    state.access.requireAdmin('change the schema');
    const { definition, ifNotExists } = statement;
    const schema = state.transaction.schema();
    if (ifNotExists && schema.aggregates.has(definition.type)) {
      const message = `aggregate "${definition.type}" already exists, skipping`;
      state.notice('NOTICE', SqlState.duplicateTable, message);
    } else {
      await state.transaction.add([await state.engine.createAggregateEvent(definition, schema)], false);
    }
    return { columns: [], rows: [], tag: 'CREATE AGGREGATE' };
  }
}
