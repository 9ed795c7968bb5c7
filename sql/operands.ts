import type { Node } from 'libpg-query';
import { constantText, typeReference, unwrap } from './ast.js';
import type { Operand } from './statement.js';

const INTEGER = /^[+-]?[0-9]+$/;
const NUMBER = /^[+-]?[0-9]+(\.[0-9]+)?$/;
const DATE = /^[0-9]{4}-[0-9]{2}-[0-9]{2}$/;
const TIMESTAMP = /^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)?$/;
const ZONED = /^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9:.]+ ?(Z|[+-][0-9:]+)?)?$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const ANY = /^/;

/** For each type, the constants that a cast to it leaves as they are, so that the cast can be dropped. */
const UNCHANGED_BY_CAST: ReadonlyMap<string, RegExp> = new Map([
  ['text', ANY],
  ['varchar', ANY],
  ['json', ANY],
  ['jsonb', ANY],
  ['bool', /^(true|false)$/],
  ['int2', INTEGER],
  ['int4', INTEGER],
  ['int8', INTEGER],
  ['numeric', NUMBER],
  ['uuid', UUID],
  ['date', DATE],
  ['timestamp', TIMESTAMP],
  ['timestamptz', ZONED],
]);

export interface CastOperand {
  readonly operand: Operand;
  /** Name of the type it is cast to, null without a cast. */
  readonly cast: string | null;
}

/**
 * A constant or a parameter, possibly under a cast that does not change its text; undefined for anything else, which
 * PostgreSQL has to evaluate.
 */
export function castOperand(node: Node | undefined): CastOperand | undefined {
  const constant = unwrap(node, 'A_Const');
  if (constant !== undefined) {
    const value = constantText(constant);
    return value === undefined ? undefined : { operand: { kind: 'literal', value }, cast: null };
  }
  const parameter = unwrap(node, 'ParamRef');
  if (parameter !== undefined) {
    return { operand: { kind: 'parameter', number: parameter.number ?? 0 }, cast: null };
  }
  const signed = unwrap(node, 'A_Expr');
  if (signed !== undefined) return positive(signed.lexpr, signed.name, signed.rexpr);
  const cast = unwrap(node, 'TypeCast');
  if (cast === undefined) return undefined;
  const inner = castOperand(cast.arg);
  const type = typeReference(cast.typeName);
  if (inner === undefined || type.array || type.modified) return undefined;
  if (inner.operand.kind === 'parameter') return { operand: inner.operand, cast: type.name };
  const { value } = inner.operand;
  const unchanged = value === null || UNCHANGED_BY_CAST.get(type.name)?.test(value) === true;
  return unchanged ? { operand: inner.operand, cast: type.name } : undefined;
}

/** `+5` is an operator to PostgreSQL's parser, while `-5` is a constant. */
function positive(
  left: Node | undefined,
  name: readonly Node[] | undefined,
  right: Node | undefined,
): CastOperand | undefined {
  if (left !== undefined || unwrap(name?.[0], 'String')?.sval !== '+') return undefined;
  const inner = castOperand(right);
  const numeric =
    inner?.operand.kind === 'literal' && inner.cast === null && unwrap(right, 'A_Const')?.sval === undefined;
  return numeric ? inner : undefined;
}
