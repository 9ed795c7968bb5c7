import { DatabaseError, SqlState } from '../../engine/errors.js';
import { formatAt, type Bind } from '../protocol/frontend/bind.js';
import { decodeParameter } from '../values/values.js';
import { isDialect, resultColumns } from './dialect.js';
import type { LocalPortal, Prepared } from './prepared.js';

/** The parameters of a Bind as text, by number from 1. */
export function parametersOf(message: Bind, types: readonly number[]): (number: number) => string | null {
  return (number) => {
    const value = message.parameters[number - 1];
    if (value === undefined)
      throw new DatabaseError(SqlState.undefinedParameter, `there is no parameter $${number}`);
    return value === null
      ? null
      : decodeParameter(value, types[number - 1] ?? 0, formatAt(message.parameterFormats, number - 1));
  };
}

/** Binds a statement of our own. @throws DatabaseError 08P01 when counts do not fit, 22P02, 22P03 for bad values */
export function bindLocal(message: Bind, prepared: Prepared): LocalPortal {
  const types = prepared.types ?? [];
  const { parameters, parameterFormats, resultFormats } = message;
  if (parameters.length !== types.length)
    throw new DatabaseError(
      SqlState.protocolViolation,
      `bind message supplies ${parameters.length} parameters, but prepared statement "${prepared.name}" requires ${types.length}`,
    );
  if (parameterFormats.length > 1 && parameterFormats.length !== parameters.length)
    throw new DatabaseError(
      SqlState.protocolViolation,
      `bind message has ${parameterFormats.length} parameter formats but ${parameters.length} parameters`,
    );
  const columns = isDialect(prepared.statement) ? (resultColumns(prepared.statement)?.length ?? 0) : 0;
  if (resultFormats.length > 1 && resultFormats.length !== columns)
    throw new DatabaseError(
      SqlState.protocolViolation,
      `bind message has ${resultFormats.length} result formats but query has ${columns} columns`,
    );
  const value = parametersOf(message, types);
  return {
    kind: 'local',
    prepared,
    parameters: parameters.map((_, i) => value(i + 1)),
    resultFormats,
    executed: false,
    suspended: null,
    direct: null,
  };
}
