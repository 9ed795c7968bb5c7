import type { Node } from 'libpg-query';
import { unwrap } from './ast.js';
import { refusal } from './refuse.js';
import type { TransactionStatement } from './statement.js';
import type { SqlText } from './text.js';

const ACTIONS: Readonly<Record<string, TransactionStatement['action']>> = {
  TRANS_STMT_BEGIN: 'begin',
  TRANS_STMT_START: 'begin',
  TRANS_STMT_COMMIT: 'commit',
  TRANS_STMT_ROLLBACK: 'rollback',
  TRANS_STMT_SAVEPOINT: 'savepoint',
  TRANS_STMT_RELEASE: 'release',
  TRANS_STMT_ROLLBACK_TO: 'rollbackTo',
};

/** BEGIN, COMMIT, ROLLBACK and savepoints; undefined for any other statement. */
export function transactionStatement(text: SqlText, node: Node): TransactionStatement | undefined {
  const transaction = unwrap(node, 'TransactionStmt');
  if (transaction === undefined) return undefined;
  const action = ACTIONS[transaction.kind ?? ''];
  if (action === undefined) {
    throw refusal(
      text,
      'two-phase commit',
      'End the transaction with COMMIT or ROLLBACK.',
      transaction.location,
    );
  }
  return {
    kind: 'transaction',
    action,
    name: transaction.savepoint_name ?? null,
    chain: transaction.chain === true,
    sql: text.sql,
    offset: text.offset,
  };
}
