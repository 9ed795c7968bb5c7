/** BEGIN, COMMIT, ROLLBACK and savepoints: our appends and the read model's transaction move together. */
import { DatabaseError, SqlState } from '../../engine/errors.js';
import type { TransactionStatement } from '../../sql/statement.js';
import type { Dialect } from './dialect.js';
import type { SessionState } from './state.js';
import { fillViews } from './views.js';

/** Runs the statement; returns its command tag. */
export async function runTransaction(
  state: SessionState,
  dialect: Dialect,
  statement: TransactionStatement,
): Promise<string> {
  switch (statement.action) {
    case 'begin':
      return begin(state, dialect, statement);
    case 'commit':
      return commit(state, dialect, statement);
    case 'rollback':
      return rollback(state, dialect, statement);
    case 'savepoint':
    case 'release':
    case 'rollbackTo':
      return savepoint(state, statement, statement.action);
  }
}

function warn(state: SessionState, sqlstate: string, message: string): void {
  state.notice('WARNING', sqlstate, message);
}

async function begin(
  state: SessionState,
  dialect: Dialect,
  statement: TransactionStatement,
): Promise<string> {
  if (state.explicit)
    warn(state, SqlState.activeSqlTransaction, 'there is already a transaction in progress');
  // What this message has appended so far belongs to the transaction, as in PostgreSQL.
  else await dialect.releaseHeld();
  if (!state.explicit) {
    state.explicit = true;
    state.beginSql = statement.sql;
    state.settings.begin(statement.sql);
  }
  return /^\s*start\b/i.test(statement.sql) ? 'START TRANSACTION' : 'BEGIN';
}

async function commit(
  state: SessionState,
  dialect: Dialect,
  statement: TransactionStatement,
): Promise<string> {
  if (!state.explicit) {
    requireNoChain(statement, 'COMMIT');
    warn(state, SqlState.noActiveSqlTransaction, 'there is no transaction in progress');
    await dialect.commitImplicit();
    return 'COMMIT';
  }
  if (state.failed) return rollback(state, dialect, statement);
  const { viewsToFill } = state.transaction;
  try {
    await state.transaction.commit(state.settings.durable);
  } catch (error) {
    end(state, statement);
    await state.endRelayTransaction('ROLLBACK').catch(() => undefined);
    throw error;
  }
  state.settings.commit();
  end(state, statement);
  // Committed, whatever becomes of the read model's part: an error would make the client append it again.
  await state.endRelayTransaction('COMMIT').catch(() => undefined);
  await fillViews(state, viewsToFill);
  return 'COMMIT';
}

async function rollback(
  state: SessionState,
  dialect: Dialect,
  statement: TransactionStatement,
): Promise<string> {
  if (!state.explicit) {
    requireNoChain(statement, 'ROLLBACK');
    // Undone, as in PostgreSQL, and answered all the same.
    await dialect.releaseHeld();
    warn(state, SqlState.noActiveSqlTransaction, 'there is no transaction in progress');
  }
  end(state, statement);
  // A lost connection has rolled back by itself.
  await state.endRelayTransaction('ROLLBACK').catch(() => undefined);
  return 'ROLLBACK';
}

function requireNoChain({ chain }: TransactionStatement, tag: string): void {
  if (chain)
    throw new DatabaseError(
      SqlState.noActiveSqlTransaction,
      `${tag} AND CHAIN can only be used in transaction blocks`,
    );
}

function end(state: SessionState, statement: TransactionStatement): void {
  state.transaction.discard();
  state.failed = false;
  // Undone unless it was kept by the commit just before.
  state.settings.rollback();
  state.explicit = statement.chain;
  if (statement.chain) state.settings.begin(state.beginSql);
  state.portals.clear();
}

async function savepoint(
  state: SessionState,
  statement: TransactionStatement,
  action: 'savepoint' | 'release' | 'rollbackTo',
): Promise<string> {
  if (!state.explicit)
    throw new DatabaseError(
      SqlState.noActiveSqlTransaction,
      `${TAGS[action]} can only be used in transaction blocks`,
    );
  const name = statement.name ?? '';
  const relay = await state.relayReady();
  if (action === 'savepoint') state.transaction.savepoint(name, new Set(state.portals.values()));
  else if (action === 'release') state.transaction.release(name);
  else {
    const kept = await state.transaction.rollbackTo(name);
    // Portals made since then are gone, as in PostgreSQL.
    for (const [portal, made] of state.portals) if (!kept.has(made)) state.portals.delete(portal);
  }
  state.settings[action](name);
  await relay.run(statement.sql);
  if (action === 'rollbackTo') state.failed = false;
  return TAGS[action];
}

const TAGS = { savepoint: 'SAVEPOINT', release: 'RELEASE', rollbackTo: 'ROLLBACK' } as const;
