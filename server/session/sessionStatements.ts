import type { SessionStatement } from '../../sql/statement.js';
import type { SessionState } from './state.js';

/**
 * What SET, RESET, DISCARD and DEALLOCATE change on our side of the relay.
 * @throws DatabaseError for `eventful.*` settings that do not exist or take no such value
 */
export function applySessionStatement(state: SessionState, statement: SessionStatement): void {
  switch (statement.tag) {
    case 'set':
      if (statement.setting !== null) state.settings.set(statement.setting, statement.value);
      return;
    case 'reset':
      if (statement.setting === null) state.settings.reset();
      else state.settings.set(statement.setting, null);
      return;
    case 'discard':
      if (statement.target !== 'all') return;
      state.settings.reset();
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
