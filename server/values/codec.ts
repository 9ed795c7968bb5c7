/** What a value codec is, and the errors all of them share. Texts of errors never hold the value. */
import { DatabaseError, SqlState } from '../../engine/errors.js';

/** Between a type's binary format and PostgreSQL's text for it. */
export interface Codec {
  /** Throws 22P03 when the bytes are not a value of the type. */
  decode(bytes: Buffer): string;
  /** Throws 22P02, 22007, 22008 or 22003 when the text is not a value of the type. */
  encode(text: string): Buffer;
}

export function badBinary(type: string): DatabaseError {
  const message = `incorrect binary data format for type ${type}`;
  return new DatabaseError(SqlState.invalidBinaryRepresentation, message);
}

export function badText(type: string): DatabaseError {
  return new DatabaseError(SqlState.invalidTextRepresentation, `invalid input syntax for type ${type}`);
}

export function outOfRange(type: string): DatabaseError {
  return new DatabaseError(SqlState.numericValueOutOfRange, `value out of range for type ${type}`);
}

/** Refuses (22P03) binary data that has not the type's size. */
export function checkSize(bytes: Buffer, size: number, type: string): void {
  if (bytes.length !== size) throw badBinary(type);
}
