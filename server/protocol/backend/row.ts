/** RowDescription ('T') and DataRow ('D'). */
import type { Format } from '../bytes.js';
import {
  BodyReader,
  asFormat,
  checkCount,
  cstringBytes,
  protocolViolation,
  putCstring,
  putText,
  putValues,
  startMessage,
  textBytes,
  valuesBytes,
} from '../bytes.js';

export const ROW_DESCRIPTION = 0x54;
export const DATA_ROW = 0x44;

/** One column of a result. */
export interface RowField {
  readonly name: string;
  /** 0 when the column is not a table's. */
  readonly tableOid: number;
  /** The column's number in its table, from 1; 0 when it is not a table's. */
  readonly columnNumber: number;
  readonly typeOid: number;
  /** Bytes; -1 for a variable length. */
  readonly typeSize: number;
  /** -1 for none. */
  readonly typeModifier: number;
  readonly format: Format;
}

/** Bytes of a field besides its name. */
const FIELD_BYTES = 18;

export function encodeRowDescription(fields: readonly RowField[]): Buffer {
  let size = 2;
  for (const field of fields) size += cstringBytes(field.name) + FIELD_BYTES;
  const message = startMessage(ROW_DESCRIPTION, size);
  let at = message.writeUInt16BE(checkCount(fields.length, 'columns'), 5);
  for (const field of fields) {
    at = putCstring(message, at, field.name);
    at = message.writeUInt32BE(field.tableOid, at);
    at = message.writeInt16BE(field.columnNumber, at);
    at = message.writeUInt32BE(field.typeOid, at);
    at = message.writeInt16BE(field.typeSize, at);
    at = message.writeInt32BE(field.typeModifier, at);
    at = message.writeInt16BE(field.format, at);
  }
  return message;
}

export function decodeRowDescription(body: Buffer): RowField[] {
  const reader = new BodyReader(body, 'RowDescription');
  const count = reader.uint16();
  if (count * (FIELD_BYTES + 1) > reader.remaining) throw protocolViolation('invalid column count');
  const fields: RowField[] = [];
  for (let index = 0; index < count; index++) {
    fields.push({
      name: reader.cstring(),
      tableOid: reader.uint32(),
      columnNumber: reader.int16(),
      typeOid: reader.uint32(),
      typeSize: reader.int16(),
      typeModifier: reader.int32(),
      format: asFormat(reader.uint16()),
    });
  }
  reader.end();
  return fields;
}

/** Values already in their column's format; null is SQL NULL. */
export function encodeDataRow(values: readonly (Buffer | null)[]): Buffer {
  const message = startMessage(DATA_ROW, valuesBytes(values));
  putValues(message, 5, values);
  return message;
}

/** A row whose columns are all in text format, without a Buffer for each of them. */
export function encodeTextRow(values: readonly (string | null)[]): Buffer {
  let size = 2 + 4 * values.length;
  for (const value of values) if (value !== null) size += textBytes(value);
  const message = startMessage(DATA_ROW, size);
  let at = message.writeUInt16BE(checkCount(values.length, 'columns'), 5);
  for (const value of values) {
    if (value === null) {
      at = message.writeInt32BE(-1, at);
    } else {
      const end = putText(message, at + 4, value);
      message.writeInt32BE(end - at - 4, at);
      at = end;
    }
  }
  return message;
}

/** The values as views of the body. */
export function decodeDataRow(body: Buffer): (Buffer | null)[] {
  const reader = new BodyReader(body, 'DataRow');
  const values = reader.values();
  reader.end();
  return values;
}
