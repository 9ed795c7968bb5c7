import type { Node } from 'libpg-query';
import { SqlState } from '../engine/errors.js';
import { strings, unwrap } from './ast.js';
import { nearestHint } from './names.js';
import { castOperand } from './operands.js';
import { PROCEDURES } from './procedures.js';
import { refusal } from './refuse.js';
import type { CallStatement, Operand } from './statement.js';
import type { SqlText } from './text.js';

/** CALL name(value, name => value, …); undefined for any other statement. */
export function callStatement(text: SqlText, node: Node): CallStatement | undefined {
  const call = unwrap(node, 'CallStmt')?.funccall;
  if (call === undefined) return undefined;
  const names = strings(call.funcname) ?? [];
  const procedure = names.at(-1) ?? '';
  const signature = PROCEDURES.get(procedure);
  if (signature === undefined || !isOwnSchema(names.slice(0, -1))) {
    const known = [...PROCEDURES.keys()];
    const hint =
      `${nearestHint(procedure, known, 'procedure') ?? ''} Procedures are ${known.join(', ')}.`.trim();
    throw text.error(
      SqlState.undefinedFunction,
      `procedure ${names.join('.')} does not exist`,
      call.location,
      { hint },
    );
  }
  const args: Operand[] = [];
  const labels: (string | null)[] = [];
  for (const argument of call.args ?? []) {
    const named = unwrap(argument, 'NamedArgExpr');
    if (named === undefined && labels.some((label) => label !== null)) {
      throw text.error(
        SqlState.syntaxError,
        'positional argument cannot follow named argument',
        call.location,
      );
    }
    if (named?.name !== undefined && labels.includes(named.name)) {
      throw text.error(
        SqlState.syntaxError,
        `argument name "${named.name}" used more than once`,
        named.location,
      );
    }
    args.push(argumentOperand(text, named === undefined ? argument : named.arg, call.location));
    labels.push(named?.name ?? null);
  }
  if (args.length < signature.minimum || args.length > signature.maximum) {
    const message = `procedure ${procedure} does not take ${args.length} argument${args.length === 1 ? '' : 's'}`;
    throw text.error(SqlState.undefinedFunction, message, call.location, { hint: `CALL ${signature.usage}` });
  }
  return { kind: 'call', procedure, args, names: labels };
}

function isOwnSchema(schema: readonly string[]): boolean {
  return schema.length === 0 || (schema.length === 1 && (schema[0] === 'eventful' || schema[0] === 'public'));
}

function argumentOperand(text: SqlText, node: Node | undefined, location: number | undefined): Operand {
  const array = unwrap(node, 'A_ArrayExpr');
  if (array !== undefined) return arrayLiteral(text, array.elements ?? [], location);
  const cast = unwrap(node, 'TypeCast');
  if (cast !== undefined && unwrap(cast.arg, 'A_ArrayExpr') !== undefined)
    return argumentOperand(text, cast.arg, location);
  const operand = castOperand(node)?.operand;
  if (operand === undefined)
    throw refusal(text, 'an expression as argument of CALL', 'Give constants or parameters.', location);
  return operand;
}

/** ARRAY['a', 'b'] as PostgreSQL would print it: every argument is text. */
function arrayLiteral(text: SqlText, elements: readonly Node[], location: number | undefined): Operand {
  const parts = elements.map((element) => {
    const operand = castOperand(element)?.operand;
    if (operand?.kind !== 'literal') {
      throw refusal(
        text,
        'an expression in an array argument of CALL',
        'Give constants, or the whole array as a parameter.',
        location,
      );
    }
    return operand.value === null ? 'NULL' : `"${operand.value.replace(/["\\]/g, '\\$&')}"`;
  });
  return { kind: 'literal', value: `{${parts.join(',')}}` };
}
