/** Finds reads that look one aggregate up by its id and do no more than compute on its columns. */
import type { A_Expr, A_Expr_Kind, Node, RangeVar, TypeCast } from 'libpg-query';
import { isObject, strings, typeReference, unwrap } from './ast.js';
import type { Catalogue } from './catalogue.js';
import { idOf, PARTS, selectOfAggregate } from './pointRead.js';

/** Parts of a SELECT that such a read may have. */
const LOOKUP_PARTS = new Set([...PARTS, 'sortClause']);

/** What does the same for everybody and takes next to no time. Functions are not among them: any may be slow. */
const PLAIN = new Set([
  'A_ArrayExpr',
  'A_Const',
  'A_Expr',
  'A_Star',
  'BoolExpr',
  'BooleanTest',
  'CaseExpr',
  'CaseWhen',
  'CoalesceExpr',
  'ColumnRef',
  'List',
  'MinMaxExpr',
  'NullTest',
  'ParamRef',
  'ResTarget',
  'SortBy',
  'String',
  'TypeCast',
  'TypeName',
]);
const KINDS: ReadonlySet<A_Expr_Kind | undefined> = new Set([
  'AEXPR_OP',
  'AEXPR_OP_ANY',
  'AEXPR_OP_ALL',
  'AEXPR_DISTINCT',
  'AEXPR_NOT_DISTINCT',
  'AEXPR_NULLIF',
  'AEXPR_IN',
  'AEXPR_LIKE',
  'AEXPR_ILIKE',
  'AEXPR_BETWEEN',
  'AEXPR_NOT_BETWEEN',
]);
/** Regular expressions are not among them: some take for ever. */
const OPERATORS = new Set(
  '= <> < > <= >= + - * / % || -> ->> #> #>> @> <@ ? ?| ?& ~~ ~~* !~~ !~~* BETWEEN'.split(' '),
);
const TYPES = new Set(
  'text varchar bpchar bool int2 int4 int8 numeric float4 float8 uuid date time timestamp timestamptz interval json jsonb'.split(
    ' ',
  ),
);

/**
 * True for `SELECT … FROM aggregate WHERE aggregate_id = constant | $n [AND …]` with plain expressions of built-in
 * types: it finds one row at most by its key, whatever its parameters are, and depends on nothing but them and the row.
 */
export function isLookup(node: Node, catalogue: Catalogue): boolean {
  const found = selectOfAggregate(node, catalogue, LOOKUP_PARTS);
  if (found === null) return false;
  const { select, relation } = found;
  const rest = { ...select, fromClause: undefined };
  return namesOne(rest.whereClause, relation) && isPlain(rest);
}

function namesOne(where: Node | undefined, relation: RangeVar): boolean {
  const conjunction = unwrap(where, 'BoolExpr');
  if (conjunction === undefined) return idOf(where, relation) !== undefined;
  return (
    conjunction.boolop === 'AND_EXPR' && (conjunction.args ?? []).some((part) => namesOne(part, relation))
  );
}

/** @param content of a syntax tree: nodes under the names of their kinds, lists, numbers, texts */
function isPlain(content: unknown): boolean {
  if (!isObject(content)) return true;
  return Object.entries(content).every(
    ([key, child]) => (!isKind(key) || isPlainNode(key, child)) && isPlain(child),
  );
}

/** Kinds of nodes begin with a capital, their fields do not. */
function isKind(key: string): boolean {
  return /^[A-Z]/.test(key);
}

function isPlainNode(kind: string, content: unknown): boolean {
  if (!PLAIN.has(kind)) return false;
  if (kind === 'A_Expr') {
    const expression = content as A_Expr;
    const names = strings(expression.name) ?? [];
    return KINDS.has(expression.kind) && names.length === 1 && OPERATORS.has(names[0] ?? '');
  }
  return kind !== 'TypeCast' || TYPES.has(typeReference((content as TypeCast).typeName).name);
}
