import { DatabaseError, SqlState } from '../../engine/errors.js';
import { changeErrorFields, type ErrorFields } from '../protocol/backend/error.js';
import type { Access } from './access.js';

const WRITING_FUNCTION = /^permission denied for function (lo_|lowrite|pg_notify|pg_logical_emit_message)/;

/** From a position in what the read model was given to one in what the client sent, both from 1. */
export type PositionMap = (position: number) => number;

export const UNMOVED: PositionMap = (position) => position;

const WRITE_HINT =
  'State is never written directly. Append an event: INSERT INTO <aggregate> EVENTS <event> (aggregate_id, …) VALUES (…).';

/**
 * An error of the read model as the client should see it: positions in its own text, and an attempted write, however
 * well hidden in functions, as the refusal it is.
 */
export function translateError(fields: ErrorFields, map: PositionMap, access: Access): ErrorFields {
  const changes: Record<string, string | null> = {};
  // The read model's end is not the session's.
  if (fields.get('V') !== 'ERROR') Object.assign(changes, { S: 'ERROR', V: 'ERROR' });
  const position = Number(fields.get('P'));
  if (position > 0) changes['P'] = String(map(position));
  if (isWrite(fields, access)) {
    changes['C'] = SqlState.featureNotSupported;
    changes['H'] = WRITE_HINT;
  }
  return changeErrorFields(fields, changes);
}

function isWrite(fields: ErrorFields, access: Access): boolean {
  const code = fields.get('C');
  const message = fields.get('M') ?? '';
  if (code === '25006') return true;
  if (code === SqlState.featureNotSupported)
    return message.includes('is not allowed in a non-volatile function');
  if (code !== SqlState.insufficientPrivilege) return false;
  // What can only be an attempt to write; a session that may read everything lacks no other right on a table.
  if (WRITING_FUNCTION.test(message) || /^permission denied (for (language|schema)|to create)/.test(message))
    return true;
  return access.everything && /^permission denied for (table|view|relation) (?!pg_)/.test(message);
}

/** Whatever was thrown, as the one error class. Unforeseen ones are reported without their inside. */
export function asDatabaseError(error: unknown): DatabaseError {
  if (error instanceof DatabaseError) return error;
  if (error instanceof Error && error.name === 'AbortError')
    return new DatabaseError(SqlState.queryCanceled, 'canceling statement due to user request');
  return new DatabaseError(SqlState.internalError, 'internal error', {
    hint: 'The server log says more. Please report it.',
  });
}

/** Why the read model cannot be reached, as the client should hear it. */
export function connectFailure(error: unknown): DatabaseError {
  if (error instanceof DatabaseError) return error;
  const { code, message } = error as { code?: string; message?: string };
  return /^[0-9A-Z]{5}$/.test(code ?? '')
    ? new DatabaseError(
        code ?? SqlState.connectionFailure,
        message ?? 'the read model refused the connection',
      )
    : new DatabaseError(SqlState.cannotConnectNow, 'the read model is not reachable', {
        hint: 'It is being restarted; appends go on. Retry the query.',
      });
}
