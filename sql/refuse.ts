import type { Node } from 'libpg-query';
import { SqlState } from '../engine/errors.js';
import type { DatabaseError } from '../engine/errors.js';
import { kindOf } from './ast.js';
import type { Catalogue } from './catalogue.js';
import { CREATE_HINT, LOCK_HINT, eventOf, writeHint, writtenRelation } from './hints.js';
import { isName } from './names.js';
import type { Token } from './lexer.js';
import type { SqlText } from './text.js';

/** An error 0A000 for a statement that this server does not run. */
export function refusal(text: SqlText, what: string, hint: string, byte?: number): DatabaseError {
  return text.error(SqlState.featureNotSupported, `${what} is not supported`, byte, { hint });
}

/** Words for the statements worth naming; any other is named after its node. */
const NAMES: Readonly<Record<string, string>> = {
  UpdateStmt: 'UPDATE',
  DeleteStmt: 'DELETE',
  InsertStmt: 'INSERT without EVENTS',
  MergeStmt: 'MERGE',
  TruncateStmt: 'TRUNCATE',
  DropStmt: 'DROP',
  DoStmt: 'DO',
  NotifyStmt: 'NOTIFY',
  GrantStmt: 'GRANT or REVOKE',
  GrantRoleStmt: 'GRANT or REVOKE',
  VacuumStmt: 'VACUUM or ANALYZE',
  ReindexStmt: 'REINDEX',
  ClusterStmt: 'CLUSTER',
  CheckPointStmt: 'CHECKPOINT',
  CreateTableAsStmt: 'CREATE TABLE AS',
  RefreshMatViewStmt: 'REFRESH MATERIALIZED VIEW',
  LoadStmt: 'LOAD',
  ConstraintsSetStmt: 'SET CONSTRAINTS',
};

/** The refusal of a statement that PostgreSQL would run and this server does not. */
export function refuseStatement(
  text: SqlText,
  node: Node | undefined,
  catalogue: Catalogue,
  byte?: number,
): DatabaseError {
  const kind = kindOf(node);
  const named = Object.hasOwn(NAMES, kind) ? NAMES[kind] : undefined;
  const what =
    named ??
    kind
      .replace(/Stmt$/, '')
      .replace(/([a-z])([A-Z])/g, '$1 $2')
      .toUpperCase();
  const relation = writtenRelation(node);
  const event = kind === 'InsertStmt' ? eventOf(relation) : undefined;
  const shown = event === undefined ? what : `INSERT INTO ${event} inside another statement`;
  // The place where TRUNCATE names its tables says nothing: it may name several.
  const place = kind === 'TruncateStmt' ? undefined : relation?.location;
  return refusal(text, shown, writeHint(node, catalogue), byte ?? place);
}

export function refuseLocking(text: SqlText, byte?: number): DatabaseError {
  return refusal(text, 'SELECT … FOR UPDATE or FOR SHARE', LOCK_HINT, byte);
}

/**
 * Refusals that need no syntax tree: families refused as a whole (a CREATE FUNCTION may even hold semicolons), and the
 * dialect's own statements where PostgreSQL's parser would only see a syntax error.
 */
export function refuseByTokens(text: SqlText, tokens: readonly Token[]): void {
  const first = tokens[0]?.word ?? '';
  const second = tokens[1]?.word ?? '';
  if (first === 'create' && isDefinition(tokens))
    throw refusal(text, `CREATE ${objectName(tokens)}`, CREATE_HINT, tokens[0]?.start);
  if (first === 'alter' || first === 'drop') {
    const view = objectName(tokens).endsWith('VIEW');
    const hint = view
      ? 'Define it anew with CREATE OR REPLACE VIEW, or drop it and create it again.'
      : first === 'drop'
        ? 'Nothing is ever dropped: an aggregate and its events stay.'
        : 'Declare a new aggregate with CREATE AGGREGATE; an open one (WITH (open = on)) takes new fields by itself.';
    if (second !== '')
      throw refusal(text, `${first.toUpperCase()} ${objectName(tokens)}`, hint, tokens[0]?.start);
  }
  refuseHiddenAppend(text, tokens);
}

/** Whether CREATE is followed by something that can be created, rather than by a slip of the pen. */
function isDefinition(tokens: readonly Token[]): boolean {
  return tokens[1]?.kind === 'word' && OBJECTS.has(tokens[1].word);
}

const OBJECTS = new Set(
  `or table temp temporary unlogged global local unique index view recursive materialized function procedure trigger
  event constraint schema role user group database type domain sequence extension server foreign policy publication
  subscription rule cast operator collation conversion access language trusted procedural text statistics tablespace
  transform default assertion`.split(/\s+/),
);

function objectName(tokens: readonly Token[]): string {
  const words = tokens.slice(1, 5).map((token) => (token.kind === 'word' ? token.word : ''));
  if (words[0] === 'or' && words[1] === 'replace') words.splice(0, 2);
  const prefix = new Set([
    'temp',
    'temporary',
    'unlogged',
    'global',
    'local',
    'unique',
    'recursive',
    'trusted',
    'procedural',
  ]);
  while (prefix.has(words[0] ?? '')) words.shift();
  const [head = '', next = ''] = words;
  const pair = new Set([
    'materialized view',
    'event trigger',
    'foreign table',
    'foreign data',
    'access method',
    'text search',
  ]);
  return (pair.has(`${head} ${next}`) ? `${head} ${next}` : head).toUpperCase();
}

/** INSERT … EVENTS stands only as a statement of its own. */
export function refuseHiddenAppend(text: SqlText, tokens: readonly Token[], from = 0): void {
  const first = tokens[0]?.word;
  tokens.forEach((token, index) => {
    if (index < from) return;
    if (!(token.word === 'insert' && tokens[index + 1]?.word === 'into')) return;
    let at = index + 2;
    if (!isName(tokens[at])) return;
    while (tokens[at + 1]?.word === '.' && isName(tokens[at + 2])) at += 2;
    if (tokens[at + 1]?.word !== 'events') return;
    const hint =
      first === 'prepare'
        ? "Prepare it through the driver (the protocol's Parse message) instead of SQL's PREPARE."
        : 'INSERT … EVENTS is a statement of its own; use RETURNING to get at what it wrote.';
    throw refusal(
      text,
      `INSERT … EVENTS inside ${first === 'prepare' ? 'PREPARE' : 'another statement'}`,
      hint,
      token.start,
    );
  });
}
