import type { A_Expr, Node } from 'libpg-query';
import { kindOf, strings, typeReference, unwrap } from './ast.js';
import { castOperand } from './operands.js';
import type { Condition, EngineRelation, Operand } from './statement.js';

type Column = Condition['column'];

const COLUMNS: Readonly<Record<EngineRelation['source']['kind'], readonly Column[]>> = {
  state: ['aggregate_id', 'version'],
  events: ['aggregate_id', 'version', 'position', 'recorded_at', 'event_type'],
  history: ['aggregate_id', 'version', 'position', 'event_type'],
  event: ['aggregate_id', 'version', 'position', 'recorded_at'],
  system: [],
};

/** Casts under which a parameter's or constant's text still means the same to the column. */
const CASTS: Readonly<Record<Column, readonly string[]>> = {
  aggregate_id: ['text', 'varchar'],
  event_type: ['text', 'varchar'],
  version: ['int2', 'int4', 'int8'],
  position: ['int2', 'int4', 'int8'],
  recorded_at: ['timestamptz', 'timestamp', 'date'],
};
const LITERALS: Readonly<Record<Column, RegExp>> = {
  aggregate_id: /^/,
  event_type: /^/,
  version: /^[+-]?[0-9]{1,18}$/,
  position: /^[+-]?[0-9]{1,18}$/,
  recorded_at: /^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T]|$)/,
};
/** `a < b` read from the right. */
const MIRRORED: Readonly<Record<string, string>> = { '=': '=', '<': '>', '<=': '>=', '>': '<', '>=': '<=' };

/** The relation whose conditions are wanted. */
export interface ConditionTarget {
  readonly kind: EngineRelation['source']['kind'];
  /** The name its columns are qualified with. */
  readonly alias: string;
  /** True where it is the only item of FROM, so that a bare column can only be its own. */
  readonly alone: boolean;
}

/**
 * The conditions of a WHERE that the engine may apply before PostgreSQL does. Only top-level ANDs of comparisons that
 * reject NULL are taken, so that filtering early is safe under outer joins too. Ranges of text are left out: the
 * engine's byte order is not the collation's.
 */
export function collectConditions(where: Node | undefined, target: ConditionTarget): Condition[] {
  const conjunction = unwrap(where, 'BoolExpr');
  if (conjunction !== undefined) {
    if (conjunction.boolop !== 'AND_EXPR') return [];
    return (conjunction.args ?? []).flatMap((part) => collectConditions(part, target));
  }
  const expression = unwrap(where, 'A_Expr');
  return expression === undefined ? [] : fromExpression(expression, target);
}

function fromExpression(expression: A_Expr, target: ConditionTarget): Condition[] {
  const names = strings(expression.name) ?? [];
  const operator = names.length === 1 ? (names[0] ?? '') : '';
  const left = columnOf(expression.lexpr, target);
  switch (expression.kind) {
    case 'AEXPR_OP': {
      if (left !== undefined) return comparison(left, operator, expression.rexpr);
      const right = columnOf(expression.rexpr, target);
      return right === undefined ? [] : comparison(right, MIRRORED[operator] ?? '', expression.lexpr);
    }
    case 'AEXPR_IN':
      return left !== undefined && operator === '=' ? membership(left, listItems(expression.rexpr)) : [];
    case 'AEXPR_OP_ANY':
      return left !== undefined && operator === '=' ? anyOf(left, expression.rexpr) : [];
    case 'AEXPR_BETWEEN': {
      const bounds = listItems(expression.rexpr);
      if (left === undefined || bounds?.length !== 2) return [];
      return [...comparison(left, '>=', bounds[0]), ...comparison(left, '<=', bounds[1])];
    }
    default:
      return [];
  }
}

function columnOf(node: Node | undefined, target: ConditionTarget): Column | undefined {
  const names = strings(unwrap(node, 'ColumnRef')?.fields);
  if (names === null || names.length === 0 || names.length > 2) return undefined;
  if (names.length === 1 ? !target.alone : names[0] !== target.alias) return undefined;
  return COLUMNS[target.kind].find((column) => column === names.at(-1));
}

function operandFor(column: Column, node: Node | undefined): Operand | undefined {
  const constant = castOperand(node);
  if (constant === undefined || (constant.cast !== null && !CASTS[column].includes(constant.cast)))
    return undefined;
  const { operand } = constant;
  // A parameter cast to another time type is converted in a way that its text does not show.
  const converted = column === 'recorded_at' && constant.cast !== null && constant.cast !== 'timestamptz';
  if (operand.kind === 'parameter') return converted ? undefined : operand;
  return operand.value === null || LITERALS[column].test(operand.value) ? operand : undefined;
}

function comparison(column: Column, operator: string, node: Node | undefined): Condition[] {
  if (operator !== '=' && operator !== '<' && operator !== '<=' && operator !== '>' && operator !== '>=')
    return [];
  if (operator !== '=' && (column === 'aggregate_id' || column === 'event_type')) return [];
  const operand = operandFor(column, node);
  return operand === undefined ? [] : [{ column, operator, values: [operand], array: false }];
}

function listItems(node: Node | undefined): readonly Node[] | undefined {
  return unwrap(node, 'List')?.items;
}

function membership(column: Column, items: readonly Node[] | undefined): Condition[] {
  const values = (items ?? []).map((item) => operandFor(column, item));
  const known = values.filter((value) => value !== undefined);
  if (known.length === 0 || known.length !== values.length) return [];
  return [{ column, operator: 'in', values: known, array: false }];
}

/** `= ANY (ARRAY[…])`, `= ANY ($1)` and `= ANY ('{…}')`, each possibly cast to an array of the column's own type. */
function anyOf(column: Column, node: Node | undefined): Condition[] {
  const cast = unwrap(node, 'TypeCast');
  if (cast !== undefined) {
    const type = typeReference(cast.typeName);
    const fits =
      type.array && !type.modified && column !== 'recorded_at' && CASTS[column].includes(type.name);
    return fits && kindOf(cast.arg) !== 'TypeCast' ? anyOf(column, cast.arg) : [];
  }
  const array = unwrap(node, 'A_ArrayExpr');
  if (array !== undefined) return membership(column, array.elements);
  const constant = castOperand(node);
  if (constant === undefined || (constant.operand.kind === 'literal' && constant.operand.value === null))
    return [];
  return [{ column, operator: 'in', values: [constant.operand], array: true }];
}
