import type { Node, ReturningClause } from 'libpg-query';
import { SqlState } from '../engine/errors.js';
import { strings, unwrap } from './ast.js';
import { nearestHint } from './names.js';
import { refusal } from './refuse.js';
import { RETURNING_COLUMNS } from './statement.js';
import type { ReturningColumn, ReturningItem } from './statement.js';
import type { SqlText } from './text.js';

const HINT = `RETURNING gives ${RETURNING_COLUMNS.join(', ')}.`;

/** RETURNING * | column [AS label], …: only what the append itself brings about. */
export function returningItems(text: SqlText, clause: ReturningClause | undefined): ReturningItem[] {
  if ((clause?.options?.length ?? 0) > 0) throw refusal(text, 'RETURNING WITH', HINT);
  return (clause?.exprs ?? []).flatMap((node) => item(text, node));
}

function item(text: SqlText, node: Node): ReturningItem[] {
  const target = unwrap(node, 'ResTarget');
  const fields = unwrap(target?.val, 'ColumnRef')?.fields;
  const location = target?.location;
  if (fields === undefined) throw refusal(text, 'an expression in RETURNING', HINT, location);
  const last = fields.at(-1);
  if (unwrap(last, 'A_Star') !== undefined)
    return RETURNING_COLUMNS.map((column) => ({ column, label: column }));
  const name = strings(fields)?.at(-1) ?? '';
  const column = RETURNING_COLUMNS.find((known): known is ReturningColumn => known === name);
  if (column === undefined) {
    const hint = nearestHint(name, RETURNING_COLUMNS, 'column') ?? HINT;
    throw text.error(SqlState.undefinedColumn, `column "${name}" does not exist`, location, { hint });
  }
  return [{ column, label: target?.name ?? column }];
}
