/** The simple protocol: one Query message, any number of statements, one implicit transaction. */
import { DatabaseError, SqlState } from '../../engine/errors.js';
import type { ReadStatement, SessionStatement, Statement } from '../../sql/statement.js';
import { encodeCommandComplete, encodeEmptyQueryResponse } from '../protocol/backend/complete.js';
import type { Frame } from '../protocol/frames.js';
import { encodeBind } from '../protocol/frontend/bind.js';
import { encodeSync } from '../protocol/frontend/control.js';
import { encodeDescribe } from '../protocol/frontend/describe.js';
import { encodeExecute } from '../protocol/frontend/execute.js';
import { encodeParse } from '../protocol/frontend/parse.js';
import { encodeQuery } from '../protocol/frontend/query.js';
import type { Sink } from '../relay/relay.js';
import { TypeOid } from '../values/types.js';
import { describeColumns, encodeOutcome } from '../statements/result.js';
import { isDialect, resultColumns, type Dialect } from './dialect.js';
import type { PositionMap } from './errors.js';
import { annotated } from './explain.js';
import { inlineRead, overlaid, prepareRead } from './rewriting.js';
import { applySessionStatement, isOurDeallocate, noteReadState } from './sessionStatements.js';
import type { SessionState } from './state.js';
import { runTransaction } from './transactions.js';

const NO_PARAMETERS = (number: number): never => {
  throw new DatabaseError(SqlState.undefinedParameter, `there is no parameter $${number}`);
};

const DATA_MESSAGES = new Set(['T', 'D', 'C', 'I', 's', 'H', 'd', 'c'].map((letter) => letter.charCodeAt(0)));

/** Passes on rows and completions; what answers messages the client never sent stays here. */
function rowsOnly(frame: Frame): Buffer | null {
  return DATA_MESSAGES.has(frame.type) ? frame.raw : null;
}

/** Runs a Query message. Returns without an answer to the statements behind one that the read model refused. */
export async function runSimpleQuery(state: SessionState, dialect: Dialect, text: string): Promise<void> {
  // As in PostgreSQL, a simple query ends the unnamed statement and portal.
  state.prepared.delete('');
  state.portals.delete('');
  const statements = state.parse(text);
  if (statements.length === 0 || statements.every(({ kind }) => kind === 'empty')) {
    state.output.write(encodeEmptyQueryResponse());
    return;
  }
  state.relayFailed = false;
  for (const statement of statements) {
    state.requireUsable(statement);
    state.timers.statementBegins();
    await runStatement(state, dialect, statement);
    if (state.relayFailed) {
      dialect.forget();
      return;
    }
  }
  await dialect.commitImplicit();
}

async function runStatement(state: SessionState, dialect: Dialect, statement: Statement): Promise<void> {
  if (isDialect(statement)) {
    const columns = resultColumns(statement);
    // The description goes with the rows, so that a statement that fails leaves no half of an answer.
    await dialect.run(statement, NO_PARAMETERS, [], (result) =>
      columns === null
        ? encodeOutcome(result, [])
        : [describeColumns(columns, []), ...encodeOutcome(result, [])],
    );
    return;
  }
  switch (statement.kind) {
    case 'empty':
      return;
    case 'transaction': {
      const tag = await runTransaction(state, dialect, statement);
      state.output.write(encodeCommandComplete(tag));
      return;
    }
    case 'session':
      await runSession(state, dialect, statement);
      return;
    case 'read':
      await dialect.releaseHeld();
      await runRead(state, statement);
  }
}

async function runSession(state: SessionState, dialect: Dialect, statement: SessionStatement): Promise<void> {
  const ours = isOurDeallocate(state, statement);
  applySessionStatement(state, statement);
  if (ours) {
    state.output.write(encodeCommandComplete('DEALLOCATE'));
    return;
  }
  await dialect.releaseHeld();
  await relayQuery(state, statement.sql, (position) => position + statement.offset);
}

/**
 * Where backslashes might mean to PostgreSQL what they do not to us, the text is one that cannot hold two statements,
 * whatever it makes of them.
 */
async function relayQuery(state: SessionState, sql: string, map: PositionMap): Promise<void> {
  if (sql.includes('\\')) {
    await relayStatement(state, sql, [], state.sinks.forward(map, rowsOnly));
    return;
  }
  const relay = await state.relayReady();
  relay.send(encodeQuery(sql), 'query', state.sinks.forwardAnswer(map));
  await relay.idle();
}

/** @param json parameters of type json */
async function relayStatement(
  state: SessionState,
  sql: string,
  json: readonly Buffer[],
  sink: Sink,
): Promise<void> {
  const relay = await state.relayReady();
  const parameterTypes = json.map(() => TypeOid.json);
  relay.send(encodeParse({ statement: '', text: sql, parameterTypes }), 'parse', sink);
  const bind = { portal: '', statement: '', parameterFormats: [], parameters: json, resultFormats: [] };
  relay.send(encodeBind(bind), 'bind', sink);
  relay.send(encodeDescribe({ target: 'portal', name: '' }), 'describe', sink);
  relay.send(encodeExecute(''), 'execute', sink);
  relay.send(encodeSync(), 'sync', sink);
  await relay.idle();
}

async function runRead(state: SessionState, read: ReadStatement): Promise<void> {
  noteReadState(state, read);
  await state.waitForReads();
  const plain = read.engineRelations.length === 0 && overlaid(state, read).length === 0;
  if (plain) {
    await relayQuery(state, read.sql, (position) => position + read.offset);
    return;
  }
  if (read.form === 'copy') {
    const { sql, map } = await inlineRead(state, read);
    await relayQuery(state, sql, map);
    return;
  }
  const { sql, map, extra, notes } = await prepareRead(state, read, NO_PARAMETERS);
  await relayStatement(
    state,
    sql,
    extra,
    state.sinks.forward(map, (frame) => annotated(notes, frame, rowsOnly)),
  );
}
