import { DatabaseError, SqlState } from '../../engine/errors.js';
import type { ReadStatement, SessionStatement } from '../../sql/statement.js';
import type { SessionState } from './state.js';

/** Statements that leave something behind in the connection to the read model. */
const KEEPS: ReadonlySet<SessionStatement['tag']> = new Set(['set', 'reset', 'listen', 'other']);

/** Settings that change neither what a name means nor how values are printed; DateStyle and TimeZone are reported. */
const HARMLESS =
  /^(?:application_name|options|datestyle|timezone|time zone|client_encoding|names|extra_float_digits|client_min_messages|statement_timeout|lock_timeout|idle_in_transaction_session_timeout|idle_session_timeout|standard_conforming_strings|(?:default_)?transaction_.*|transaction|session characteristics|eventful\..*)$/;

export function isHarmless(setting: string): boolean {
  return HARMLESS.test(setting.toLowerCase());
}

/**
 * What SET, RESET, DISCARD and DEALLOCATE change on our side of the relay.
 * @throws DatabaseError for `eventful.*` settings that do not exist or take no such value, 25001 for DISCARD ALL in a transaction
 */
export function applySessionStatement(state: SessionState, statement: SessionStatement): void {
  // Notifications name aggregates, whoever may read them; also of a type that is made later.
  if (statement.tag === 'listen') state.access.requireReadAll(statement.target);
  if (KEEPS.has(statement.tag) && !statement.local) state.keepsRelay = true;
  switch (statement.tag) {
    case 'set':
      if (statement.setting === null) return;
      state.settings.set(statement.setting, statement.value, statement.local, statement.sql);
      if (!isHarmless(statement.setting)) state.plainNames = false;
      return;
    case 'reset':
      if (statement.setting === null) state.settings.reset();
      else state.settings.set(statement.setting, null);
      return;
    case 'discard':
      if (statement.target !== 'all') return;
      if (state.explicit)
        throw new DatabaseError(
          SqlState.activeSqlTransaction,
          'DISCARD ALL cannot run inside a transaction block',
        );
      state.settings.reset();
      state.keepsRelay = false;
      deallocateNamed(state);
      state.portals.clear();
      return;
    case 'deallocate':
      if (statement.target === null) deallocateNamed(state);
      else state.prepared.delete(statement.target);
      return;
    case 'show':
    case 'listen':
    case 'unlisten':
    case 'close':
    case 'other':
  }
}

function deallocateNamed({ prepared }: SessionState): void {
  for (const name of prepared.keys()) if (name !== '') prepared.delete(name);
}

/** DEALLOCATE of a statement that the read model has not been given needs no relaying. */
export function isOurDeallocate(state: SessionState, statement: SessionStatement): boolean {
  if (statement.tag !== 'deallocate' || statement.target === null) return false;
  const prepared = state.prepared.get(statement.target);
  if (prepared === undefined) return false;
  return prepared.backend === null || !state.hasRelay || prepared.generation !== state.generation;
}

/** Functions that leave settings or locks in the connection, and statements that make something there. */
const LEAVES_STATE = /\b(set_config|setseed)\b|advisory/i;

const SETS = /\bset_config\b/i;

/** False where `noteReadState` has nothing to remember. */
export function leavesState(read: ReadStatement): boolean {
  return read.form !== 'select' || LEAVES_STATE.test(read.sql);
}

/** Remembers when a read leaves something behind in the connection to the read model. */
export function noteReadState(state: SessionState, read: ReadStatement): void {
  if (read.form === 'prepare' || read.form === 'declare' || LEAVES_STATE.test(read.sql))
    state.keepsRelay = true;
  if (SETS.test(read.sql)) state.plainNames = false;
  // EXECUTE may run a set_config() that was prepared before.
  if (read.form === 'execute' || SETS.test(read.sql)) state.settings.stale = true;
}
