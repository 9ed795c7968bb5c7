/** CREATE VIEW, REFRESH MATERIALIZED VIEW and DROP VIEW. Views are events of the schema; the read model makes them from those. */
import { DatabaseError, SqlState } from '../../engine/errors.js';
import {
  checkViewName,
  dependents,
  missing,
  readersFirst,
  shown,
  viewDefined,
  viewDropped,
} from '../../engine/schema/views.js';
import type { ViewDefinition } from '../../engine/types.js';
import type { CreateViewStatement, DropViewStatement, RefreshViewStatement } from '../../sql/statement.js';
import { encodeNoticeResponse } from '../protocol/backend/error.js';
import type { Result } from '../statements/result.js';
import type { SessionState } from './state.js';

export type ViewStatement = CreateViewStatement | RefreshViewStatement | DropViewStatement;

export async function runView(state: SessionState, statement: ViewStatement): Promise<Result> {
  state.access.requireAdmin('change the schema');
  switch (statement.kind) {
    case 'createView':
      await create(state, statement);
      return done(statement.materialized ? 'CREATE MATERIALIZED VIEW' : 'CREATE VIEW');
    case 'refreshView':
      await refresh(state, statement);
      return done('REFRESH MATERIALIZED VIEW');
    case 'dropView':
      await drop(state, statement);
      return done(statement.materialized ? 'DROP MATERIALIZED VIEW' : 'DROP VIEW');
  }
}

function done(tag: string): Result {
  return { columns: [], rows: [], tag };
}

function notice(state: SessionState, sqlstate: string, message: string): void {
  state.output.write(encodeNoticeResponse({ sqlstate, message }, 'NOTICE'));
}

async function create(state: SessionState, statement: CreateViewStatement): Promise<void> {
  const { name, materialized, columns, functions, types, populate } = statement;
  const schema = state.transaction.schema();
  const before = schema.views.get(name);
  if (before !== undefined && statement.ifNotExists) {
    notice(state, SqlState.duplicateTable, `relation "${name}" already exists, skipping`);
    return;
  }
  if (before !== undefined && !(statement.orReplace && before.kind === 'view'))
    throw statement.orReplace ? wrongKind(name, 'view') : taken(name);
  if (before === undefined) checkViewName(schema, name);
  for (const read of statement.views) {
    if (schema.views.has(read.name)) continue;
    throw new DatabaseError(SqlState.undefinedTable, `relation "${read.name}" does not exist`, {
      position: read.position,
      hint: 'A view reads aggregates and other views.',
    });
  }
  await settled(state);
  const kind = materialized ? 'materialized' : 'view';
  const shape = await state.services.readModel
    .tryView(schema, { name, kind, query: statement.query, columns, functions })
    .catch((error: unknown) => {
      throw moved(error, statement.queryOffset);
    });
  const views = [...new Set(statement.views.map((read) => read.name))];
  const definition: ViewDefinition = { name, kind, ...shape, types, views, populate };
  await state.transaction.add([viewDefined(definition, statement.query, before !== undefined)], false);
}

/** Whatever the session asked for, the read model has the schema a view is to be made or filled from. */
function settled(state: SessionState): Promise<void> {
  const { engine, readModel } = state.services;
  return readModel.waitFor(engine.committedPosition(), state.signal);
}

function moved(error: unknown, offset: number): unknown {
  if (!(error instanceof DatabaseError) || error.position === undefined) return error;
  const { sqlstate, message, detail, hint, position } = error;
  return new DatabaseError(sqlstate, message, {
    position: position + offset,
    ...(detail === undefined ? {} : { detail }),
    ...(hint === undefined ? {} : { hint }),
  });
}

function taken(name: string): DatabaseError {
  return new DatabaseError(SqlState.duplicateTable, `relation "${name}" already exists`);
}

function wrongKind(name: string, wanted: 'view' | 'materialized view', hint?: string): DatabaseError {
  return new DatabaseError('42809', `"${name}" is not a ${wanted}`, hint === undefined ? {} : { hint });
}

async function refresh(state: SessionState, { name, withData }: RefreshViewStatement): Promise<void> {
  if (state.explicit || !state.transaction.isEmpty)
    // On a connection of its own: it would wait for ever for what this transaction has read.
    throw new DatabaseError(
      SqlState.activeSqlTransaction,
      'REFRESH MATERIALIZED VIEW cannot run inside a transaction block',
    );
  const view = state.engine.schema().views.get(name);
  if (view === undefined)
    throw new DatabaseError(SqlState.undefinedTable, `relation "${name}" does not exist`);
  if (view.kind !== 'materialized') throw wrongKind(name, 'materialized view');
  await settled(state);
  await state.services.readModel.refreshView(name, withData, { signal: state.signal });
}

async function drop(state: SessionState, statement: DropViewStatement): Promise<void> {
  const { views } = state.transaction.schema();
  const kind = statement.materialized ? 'materialized' : 'view';
  const wanted = statement.materialized ? 'materialized view' : 'view';
  const names = [...new Set(statement.names)].filter((name) => {
    const view = views.get(name);
    if (view?.kind === kind) return true;
    if (view !== undefined) {
      const other = statement.materialized ? 'view' : 'materialized view';
      throw wrongKind(name, wanted, `Use DROP ${other.toUpperCase()} to remove a ${other}.`);
    }
    const unknown = missing(wanted, name);
    if (!statement.ifExists) throw unknown;
    notice(state, '00000', `${unknown.message}, skipping`);
    return false;
  });
  const also = statement.cascade ? dependents(views, names) : [];
  for (const name of also) notice(state, '00000', `drop cascades to ${shown(views, name)}`);
  const events = readersFirst(views, [...also, ...names]).map((name) => viewDropped(name));
  if (events.length > 0) await state.transaction.add(events, false);
}

/** Fills the materialized views a commit has made; a view that cannot be filled stays, empty, and the client is told. */
export async function fillViews(state: SessionState, names: readonly string[]): Promise<void> {
  if (names.length === 0) return;
  await settled(state);
  const failures = await state.services.readModel.fillViews(names, { signal: state.signal });
  for (const name of names) {
    const reason = failures.get(name);
    if (reason === undefined) continue;
    const message = `materialized view "${name}" was made but could not be filled: ${reason}`;
    state.output.write(
      encodeNoticeResponse(
        { sqlstate: '01000', message, hint: 'REFRESH MATERIALIZED VIEW tries again.' },
        'WARNING',
      ),
    );
  }
}
