/** Finds reads that ask for one aggregate by its id and for plain columns: the engine can answer those by itself. */
import type { Node, RangeVar, SelectStmt } from 'libpg-query';
import type { AsOfText } from './asOf.js';
import { strings, unwrap } from './ast.js';
import type { Catalogue } from './catalogue.js';
import { castOperand } from './operands.js';
import { resolveRelation } from './relations.js';
import type { Operand, PointRead } from './statement.js';

/** Parts of a SELECT that a point read has; any other part makes it something else. */
const PARTS = new Set(['targetList', 'fromClause', 'whereClause', 'limitOption', 'op']);

/**
 * The point read that a statement is: `SELECT * | column, … FROM aggregate [AS OF …] WHERE aggregate_id = constant | $n`.
 * Anything more (expressions, joins, further conditions, LIMIT) is PostgreSQL's.
 */
export function pointRead(node: Node, catalogue: Catalogue, asOf: readonly AsOfText[]): PointRead | null {
  const select = unwrap(node, 'SelectStmt');
  if (select === undefined || asOf.length > 1 || Object.keys(select).some((part) => !PARTS.has(part)))
    return null;
  if (select.op !== undefined && select.op !== 'SETOP_NONE') return null;
  if (select.limitOption !== undefined && select.limitOption !== 'LIMIT_OPTION_DEFAULT') return null;
  const relation = onlyRelation(select);
  if (relation === undefined) return null;
  const resolved = resolveRelation(relation, catalogue);
  if (resolved.kind !== 'aggregate') return null;
  const alias = relation.alias?.aliasname ?? relation.relname ?? '';
  const id = idOf(select.whereClause, alias);
  const columns = columnsOf(select, alias);
  if (id === undefined || columns === undefined) return null;
  return { aggregateType: resolved.aggregateType, id, columns, asOf: asOf[0]?.clause ?? null };
}

function onlyRelation(select: SelectStmt): RangeVar | undefined {
  const from = select.fromClause ?? [];
  const relation = from.length === 1 ? unwrap(from[0], 'RangeVar') : undefined;
  // ONLY, and aliases that rename columns, are rare enough to leave.
  const plain = relation?.inh === true && (relation.alias?.colnames?.length ?? 0) === 0;
  return plain ? relation : undefined;
}

/** A column's own name where it is the relation's. */
function columnName(node: Node | undefined, alias: string): string | undefined {
  const names = strings(unwrap(node, 'ColumnRef')?.fields);
  if (names === null || names.length === 0 || names.length > 2) return undefined;
  return names.length === 2 && names[0] !== alias ? undefined : names.at(-1);
}

function idOf(where: Node | undefined, alias: string): Operand | undefined {
  const expression = unwrap(where, 'A_Expr');
  if (expression?.kind !== 'AEXPR_OP' || strings(expression.name)?.join('.') !== '=') return undefined;
  const { lexpr, rexpr } = expression;
  const value = columnName(lexpr, alias) === 'aggregate_id' ? rexpr : lexpr;
  if (value === lexpr && columnName(rexpr, alias) !== 'aggregate_id') return undefined;
  const constant = castOperand(value);
  if (constant === undefined || (constant.cast !== null && !['text', 'varchar'].includes(constant.cast)))
    return undefined;
  // A number is no text: PostgreSQL has an error for it.
  const isText = unwrap(value, 'A_Const') === undefined || unwrap(value, 'A_Const')?.sval !== undefined;
  return isText ? constant.operand : undefined;
}

/** The columns asked for, null for all of them. */
function columnsOf(select: SelectStmt, alias: string): readonly string[] | null | undefined {
  const targets = (select.targetList ?? []).map((target) => unwrap(target, 'ResTarget'));
  if (targets.length === 1 && isStar(targets[0]?.val, alias)) return null;
  const columns: string[] = [];
  for (const target of targets) {
    const name = columnName(target?.val, alias);
    if (name === undefined) return undefined;
    columns.push(name);
  }
  return columns.length > 0 ? columns : undefined;
}

function isStar(node: Node | undefined, alias: string): boolean {
  const fields = unwrap(node, 'ColumnRef')?.fields ?? [];
  if (fields.length === 0 || fields.length > 2 || unwrap(fields.at(-1), 'A_Star') === undefined) return false;
  return fields.length === 1 || unwrap(fields[0], 'String')?.sval === alias;
}
