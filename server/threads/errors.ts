/** Errors on their way from one thread to another, with everything that a client may be told of them. */
import { DatabaseError } from '../../engine/errors.js';

export type PlainError =
  | {
      readonly kind: 'database';
      readonly sqlstate: string;
      readonly message: string;
      readonly detail: string | undefined;
      readonly hint: string | undefined;
      readonly position: number | undefined;
    }
  | {
      readonly kind: 'other';
      readonly name: string;
      readonly message: string;
      readonly stack: string | undefined;
      /** PostgreSQL's and Node's errors have one. */
      readonly code: string | undefined;
    };

export function toPlain(error: unknown): PlainError {
  if (error instanceof DatabaseError) {
    const { sqlstate, message, detail, hint, position } = error;
    return { kind: 'database', sqlstate, message, detail, hint, position };
  }
  if (!(error instanceof Error))
    return { kind: 'other', name: 'Error', message: String(error), stack: undefined, code: undefined };
  const { name, message, stack } = error;
  const { code } = error as { code?: unknown };
  return { kind: 'other', name, message, stack, code: typeof code === 'string' ? code : undefined };
}

export function fromPlain(plain: PlainError): Error {
  if (plain.kind === 'database') {
    const { sqlstate, message, detail, hint, position } = plain;
    return new DatabaseError(sqlstate, message, {
      ...(detail === undefined ? {} : { detail }),
      ...(hint === undefined ? {} : { hint }),
      ...(position === undefined ? {} : { position }),
    });
  }
  const { name, message, stack, code } = plain;
  const error = Object.assign(new Error(message), { name, ...(code === undefined ? {} : { code }) });
  if (stack !== undefined) error.stack = stack;
  return error;
}
