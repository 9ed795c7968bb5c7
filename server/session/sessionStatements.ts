import type { ReadStatement, SessionStatement } from '../../sql/statement.js';
import type { SessionState } from './state.js';

/** Statements that leave something behind in the connection to the read model. */
const KEEPS: ReadonlySet<SessionStatement['tag']> = new Set(['set', 'reset', 'listen', 'other']);

/**
 * What SET, RESET, DISCARD and DEALLOCATE change on our side of the relay.
 * @throws DatabaseError for `eventful.*` settings that do not exist or take no such value
 */
export function applySessionStatement(state: SessionState, statement: SessionStatement): void {
  if (statement.tag === 'listen' && state.engine.schema().aggregates.has(statement.target ?? ''))
    // Notifications name aggregates, whoever may read them.
    state.access.requireReadAll(statement.target);
  if (KEEPS.has(statement.tag) && !statement.local) state.keepsRelay = true;
  switch (statement.tag) {
    case 'set':
      if (statement.setting !== null)
        state.settings.set(statement.setting, statement.value, statement.local, statement.sql);
      return;
    case 'reset':
      if (statement.setting === null) state.settings.reset();
      else state.settings.set(statement.setting, null);
      return;
    case 'discard':
      if (statement.target !== 'all') return;
      state.settings.reset();
      state.keepsRelay = false;
      state.prepared.clear();
      state.portals.clear();
      return;
    case 'deallocate':
      if (statement.target === null) state.prepared.clear();
      else state.prepared.delete(statement.target);
      return;
    case 'show':
    case 'listen':
    case 'unlisten':
    case 'close':
    case 'other':
  }
}

/** DEALLOCATE of a statement that only we know needs no relaying. */
export function isOurDeallocate(state: SessionState, statement: SessionStatement): boolean {
  if (statement.tag !== 'deallocate' || statement.target === null) return false;
  const prepared = state.prepared.get(statement.target);
  return prepared !== undefined && prepared.backend === null;
}

/** Functions that leave settings or locks in the connection, and statements that make something there. */
const LEAVES_STATE = /\b(set_config|advisory|setseed)/i;

/** Remembers when a read leaves something behind in the connection to the read model. */
export function noteReadState(state: SessionState, read: ReadStatement): void {
  if (read.form === 'prepare' || read.form === 'declare' || LEAVES_STATE.test(read.sql))
    state.keepsRelay = true;
}
