import type { Node, ReturningClause } from 'libpg-query';
import { SqlState } from '../engine/errors.js';
import { eventColumns, type EventRelation } from '../engine/schema/eventRelations.js';
import { strings, unwrap } from './ast.js';
import { nearestHint } from './names.js';
import { refusal } from './refuse.js';
import { RETURNING_COLUMNS } from './statement.js';
import type { ReturningItem } from './statement.js';
import type { SqlText } from './text.js';

type Returned = ReturningItem['column'];

/** What RETURNING may name, by name, and what its `*` gives. */
interface Returnable {
  readonly columns: ReadonlyMap<string, Returned>;
  readonly star: readonly string[];
  readonly hint: string;
}

const APPEND: Returnable = {
  columns: new Map(RETURNING_COLUMNS.map((column) => [column, column])),
  star: RETURNING_COLUMNS,
  hint: `RETURNING gives ${RETURNING_COLUMNS.join(', ')}.`,
};

/** A relation of schema `events` also returns what it was given, as PostgreSQL's INSERT does. */
function returnable(relation: EventRelation): Returnable {
  const columns = new Map<string, Returned>(APPEND.columns);
  const own = eventColumns(relation);
  for (const { name, type, kind } of own) {
    if (kind === 'field') columns.set(name, { name, type });
    else if (name === 'metadata' || name === 'expected_version') columns.set(name, name);
  }
  const star = own.map(({ name }) => name);
  return { columns, star, hint: `RETURNING gives the columns of events.${relation.name}; no expressions.` };
}

/** RETURNING * | column [AS label], …: only what the append itself brings about. */
export function returningItems(
  text: SqlText,
  clause: ReturningClause | undefined,
  relation: EventRelation | null,
): ReturningItem[] {
  const known = relation === null ? APPEND : returnable(relation);
  if ((clause?.options?.length ?? 0) > 0) throw refusal(text, 'RETURNING WITH', known.hint);
  return (clause?.exprs ?? []).flatMap((node) => item(text, node, known));
}

function item(text: SqlText, node: Node, { columns, star, hint }: Returnable): ReturningItem[] {
  const target = unwrap(node, 'ResTarget');
  const fields = unwrap(target?.val, 'ColumnRef')?.fields;
  const location = target?.location;
  if (fields === undefined) throw refusal(text, 'an expression in RETURNING', hint, location);
  const last = fields.at(-1);
  if (unwrap(last, 'A_Star') !== undefined)
    return star.flatMap((label) => {
      const column = columns.get(label);
      return column === undefined ? [] : [{ column, label }];
    });
  const name = strings(fields)?.at(-1) ?? '';
  const column = columns.get(name);
  if (column === undefined) {
    const near = nearestHint(name, columns.keys(), 'column') ?? hint;
    throw text.error(SqlState.undefinedColumn, `column "${name}" does not exist`, location, { hint: near });
  }
  return [{ column, label: target?.name ?? name }];
}
