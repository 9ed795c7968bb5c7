/** Finds reads that ask for one aggregate by its id and for plain columns: the engine can answer those by itself. */
import type { Node, RangeVar, SelectStmt } from 'libpg-query';
import type { AsOfText } from './asOf.js';
import { strings, unwrap } from './ast.js';
import type { Catalogue } from './catalogue.js';
import { castOperand } from './operands.js';
import { resolveRelation } from './relations.js';
import type { Operand, PointRead } from './statement.js';

/** Parts of a SELECT that a point read has; any other part makes it something else. */
export const PARTS = new Set([
  'targetList',
  'fromClause',
  'whereClause',
  'limitCount',
  'limitOffset',
  'limitOption',
  'op',
]);
const LIMITS = new Set([undefined, 'LIMIT_OPTION_DEFAULT', 'LIMIT_OPTION_COUNT']);

/**
 * The point read that a statement is: `SELECT * | column, … FROM aggregate [AS OF …] WHERE aggregate_id = constant | $n`,
 * and what object-relational mappers write around it: `AND 1 = 1`, LIMIT and OFFSET, schema and table in front of columns.
 * Anything more (expressions, joins, further conditions) is PostgreSQL's.
 */
export function pointRead(node: Node, catalogue: Catalogue, asOf: readonly AsOfText[]): PointRead | null {
  const found = asOf.length > 1 ? null : selectOfAggregate(node, catalogue, PARTS);
  if (found === null) return null;
  const { select, relation, aggregateType } = found;
  const id = idOf(onlyCondition(select.whereClause), relation);
  const columns = columnsOf(select, relation);
  const [limit, offset] = [rowCount(select.limitCount), rowCount(select.limitOffset)];
  if (id === undefined || columns === undefined || limit === undefined || offset === undefined) return null;
  return { aggregateType, id, columns, asOf: asOf[0]?.clause ?? null, limit, offset };
}

/** A SELECT from one aggregate and from nothing else, with no other parts than these. */
export function selectOfAggregate(
  node: Node,
  catalogue: Catalogue,
  parts: ReadonlySet<string>,
): {
  readonly select: SelectStmt;
  readonly relation: RangeVar;
  readonly aggregateType: string;
} | null {
  const select = unwrap(node, 'SelectStmt');
  if (select === undefined || Object.keys(select).some((part) => !parts.has(part))) return null;
  if (select.op !== undefined && select.op !== 'SETOP_NONE') return null;
  if (!LIMITS.has(select.limitOption)) return null;
  const relation = onlyRelation(select);
  const resolved = relation === undefined ? undefined : resolveRelation(relation, catalogue);
  if (relation === undefined || resolved?.kind !== 'aggregate') return null;
  return { select, relation, aggregateType: resolved.aggregateType };
}

/** Of LIMIT or OFFSET; null where there is none. */
function rowCount(node: Node | undefined): Operand | null | undefined {
  if (node === undefined) return null;
  const constant = castOperand(node);
  return constant?.cast === null ? constant.operand : undefined;
}

/** What is left of a conjunction without the parts that always hold. */
function onlyCondition(where: Node | undefined): Node | undefined {
  const conjunction = unwrap(where, 'BoolExpr');
  if (conjunction?.boolop !== 'AND_EXPR') return where;
  const parts = (conjunction.args ?? []).filter((part) => !alwaysHolds(part));
  return parts.length === 1 ? parts[0] : where;
}

/** `1 = 1`, as Prisma writes it. */
function alwaysHolds(node: Node): boolean {
  const expression = unwrap(node, 'A_Expr');
  if (expression?.kind !== 'AEXPR_OP' || strings(expression.name)?.join('.') !== '=') return false;
  const [left, right] = [expression.lexpr, expression.rexpr].map(
    (side) => unwrap(side, 'A_Const')?.ival?.ival,
  );
  return left !== undefined && left === right;
}

/** The relation of a FROM that has no more than one. */
function onlyRelation(select: SelectStmt): RangeVar | undefined {
  const from = select.fromClause ?? [];
  const relation = from.length === 1 ? unwrap(from[0], 'RangeVar') : undefined;
  // ONLY, and aliases that rename columns, are rare enough to leave.
  const plain = relation?.inh === true && (relation.alias?.colnames?.length ?? 0) === 0;
  return plain ? relation : undefined;
}

/** Names in front of a column: none, the relation's, or that with its schema. */
function isOf(relation: RangeVar, names: readonly string[]): boolean {
  const { alias, schemaname, relname = '' } = relation;
  if (names.length < 2) return names.length === 0 || names[0] === (alias?.aliasname ?? relname);
  return alias === undefined && names.join('\0') === [schemaname ?? 'public', relname].join('\0');
}

/** A column's own name where it is the relation's. */
function columnName(node: Node | undefined, relation: RangeVar): string | undefined {
  const names = strings(unwrap(node, 'ColumnRef')?.fields);
  return names !== null && isOf(relation, names.slice(0, -1)) ? names.at(-1) : undefined;
}

/** The id of a condition `aggregate_id = …`. */
export function idOf(where: Node | undefined, relation: RangeVar): Operand | undefined {
  const expression = unwrap(where, 'A_Expr');
  if (expression?.kind !== 'AEXPR_OP' || strings(expression.name)?.join('.') !== '=') return undefined;
  const { lexpr, rexpr } = expression;
  const value = columnName(lexpr, relation) === 'aggregate_id' ? rexpr : lexpr;
  if (value === lexpr && columnName(rexpr, relation) !== 'aggregate_id') return undefined;
  const constant = castOperand(value);
  if (constant === undefined || (constant.cast !== null && !['text', 'varchar'].includes(constant.cast)))
    return undefined;
  // A number is no text: PostgreSQL has an error for it.
  const isText = unwrap(value, 'A_Const') === undefined || unwrap(value, 'A_Const')?.sval !== undefined;
  return isText ? constant.operand : undefined;
}

/** The columns asked for, null for all of them. */
function columnsOf(select: SelectStmt, relation: RangeVar): readonly string[] | null | undefined {
  const targets = (select.targetList ?? []).map((target) => unwrap(target, 'ResTarget'));
  if (targets.length === 1 && isStar(targets[0]?.val, relation)) return null;
  const columns: string[] = [];
  for (const target of targets) {
    const name = columnName(target?.val, relation);
    if (name === undefined) return undefined;
    columns.push(name);
  }
  return columns.length > 0 ? columns : undefined;
}

function isStar(node: Node | undefined, relation: RangeVar): boolean {
  const fields = unwrap(node, 'ColumnRef')?.fields ?? [];
  if (unwrap(fields.at(-1), 'A_Star') === undefined) return false;
  const names = strings(fields.slice(0, -1));
  return names !== null && isOf(relation, names);
}
