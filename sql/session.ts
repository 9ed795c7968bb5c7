import type { Node, VariableSetStmt } from 'libpg-query';
import { constantText, unwrap } from './ast.js';
import { LOCK_HINT } from './hints.js';
import { refusal } from './refuse.js';
import { refuseSetting } from './settings.js';
import type { SessionStatement } from './statement.js';
import type { SqlText } from './text.js';

type Parts = Pick<SessionStatement, 'tag'> &
  Partial<Pick<SessionStatement, 'setting' | 'value' | 'target' | 'local'>>;

/** SET, SHOW and the other statements about the session itself; undefined for any other statement. */
export function sessionStatement(text: SqlText, node: Node): SessionStatement | undefined {
  const parts = variable(text, node) ?? named(node) ?? lock(text, node);
  if (parts === undefined) return undefined;
  const { sql, offset } = text;
  return { kind: 'session', setting: null, value: null, target: null, local: false, ...parts, sql, offset };
}

function variable(text: SqlText, node: Node): Parts | undefined {
  const show = unwrap(node, 'VariableShowStmt');
  if (show !== undefined) {
    const name = (show.name ?? '').toLowerCase();
    return { tag: 'show', setting: name === 'all' ? null : name };
  }
  const set = unwrap(node, 'VariableSetStmt');
  if (set === undefined) return undefined;
  const setting = set.name?.toLowerCase() ?? null;
  const local = set.is_local === true;
  if (set.kind === 'VAR_RESET_ALL') return { tag: 'reset' };
  if (set.kind === 'VAR_RESET') return { tag: 'reset', setting };
  const value = set.kind === 'VAR_SET_VALUE' ? valueText(set) : null;
  // SET x FROM CURRENT has no place outside a function, and no value here.
  if (setting !== null && set.kind === 'VAR_SET_VALUE') refuseSetting(text, setting, value, set.location);
  return { tag: 'set', setting, value, local };
}

/** The new value as text; a list's parts are joined as PostgreSQL shows them. */
function valueText(set: VariableSetStmt): string {
  const parts = (set.args ?? []).map((argument) => {
    const constant = unwrap(argument, 'A_Const') ?? unwrap(unwrap(argument, 'TypeCast')?.arg, 'A_Const');
    return constant === undefined ? '' : (constantText(constant) ?? '');
  });
  return parts.join(', ');
}

const DISCARDED: Readonly<Record<string, string>> = {
  DISCARD_ALL: 'all',
  DISCARD_PLANS: 'plans',
  DISCARD_SEQUENCES: 'sequences',
  DISCARD_TEMP: 'temp',
};

function named(node: Node): Parts | undefined {
  const discard = unwrap(node, 'DiscardStmt');
  if (discard !== undefined) return { tag: 'discard', target: DISCARDED[discard.target ?? ''] ?? 'all' };
  const deallocate = unwrap(node, 'DeallocateStmt');
  if (deallocate !== undefined) return { tag: 'deallocate', target: deallocate.name ?? null };
  const listen = unwrap(node, 'ListenStmt');
  if (listen !== undefined) return { tag: 'listen', target: listen.conditionname ?? null };
  const unlisten = unwrap(node, 'UnlistenStmt');
  if (unlisten !== undefined) return { tag: 'unlisten', target: unlisten.conditionname ?? null };
  const close = unwrap(node, 'ClosePortalStmt');
  return close === undefined ? undefined : { tag: 'close', target: close.portalname ?? null };
}

/** PostgreSQL's number for ACCESS SHARE, the lock that every SELECT takes anyway. */
const ACCESS_SHARE = 1;

function lock(text: SqlText, node: Node): Parts | undefined {
  const statement = unwrap(node, 'LockStmt');
  if (statement === undefined) return undefined;
  if (statement.mode === ACCESS_SHARE) return { tag: 'other' };
  throw refusal(text, 'LOCK TABLE', LOCK_HINT, unwrap(statement.relations?.[0], 'RangeVar')?.location);
}
