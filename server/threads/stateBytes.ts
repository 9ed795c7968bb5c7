/**
 * A state as bytes:
 *
 *     f64le × 4   version, position, createdAt, updatedAt
 *     u8          1 when archived
 *     u16le       n, the number of fields
 *     u16le × …   lengths in UTF-16 units: of type and id, then of each field's name and value; 0xffff for null
 *     UTF-8       all these texts, one behind the other
 *
 * One text is written and read in one go, and cut by lengths: several times quicker than text by text.
 */
import type { StateRow } from '../../engine/types.js';

const NULL_LENGTH = 0xffff;
const LENGTHS_AT = 35;
/** A UTF-16 unit takes three bytes of UTF-8 at most. */
const BYTES_PER_UNIT = 3;

/** @returns the bytes written; null where the state may not fit */
export function writeState(row: StateRow, to: Buffer): number | null {
  const { aggregateType, aggregateId, fields } = row;
  const names = Object.keys(fields);
  const textAt = LENGTHS_AT + 4 + names.length * 4;
  let text = aggregateType + aggregateId;
  for (const name of names) text += name + (fields[name] ?? '');
  if (textAt + text.length * BYTES_PER_UNIT > to.length) return null;
  to.writeDoubleLE(Number(row.version), 0);
  to.writeDoubleLE(Number(row.position), 8);
  to.writeDoubleLE(Number(row.createdAt), 16);
  to.writeDoubleLE(Number(row.updatedAt), 24);
  to.writeUInt8(row.archived ? 1 : 0, 32);
  to.writeUInt16LE(names.length, 33);
  let at = to.writeUInt16LE(aggregateType.length, LENGTHS_AT);
  at = to.writeUInt16LE(aggregateId.length, at);
  for (const name of names) {
    at = to.writeUInt16LE(name.length, at);
    at = to.writeUInt16LE(fields[name]?.length ?? NULL_LENGTH, at);
  }
  return textAt + to.write(text, textAt);
}

/** @returns undefined when it is the state of another aggregate */
export function readState(from: Buffer, length: number, type: string, id: string): StateRow | undefined {
  const count = from.readUInt16LE(33);
  const textAt = LENGTHS_AT + 4 + count * 4;
  const text = from.toString('utf8', textAt, length);
  let at = type.length + id.length;
  const cutAlike =
    from.readUInt16LE(LENGTHS_AT) === type.length && from.readUInt16LE(LENGTHS_AT + 2) === id.length;
  if (!cutAlike || text.slice(0, at) !== type + id) return undefined;
  const fields: Record<string, string | null> = {};
  for (let lengthAt = LENGTHS_AT + 4; lengthAt < textAt; lengthAt += 4) {
    const nameEnd = at + from.readUInt16LE(lengthAt);
    const name = text.slice(at, nameEnd);
    const units = from.readUInt16LE(lengthAt + 2);
    at = units === NULL_LENGTH ? nameEnd : nameEnd + units;
    setField(fields, name, units === NULL_LENGTH ? null : text.slice(nameEnd, at));
  }
  return {
    aggregateType: type,
    aggregateId: id,
    version: BigInt(from.readDoubleLE(0)),
    position: BigInt(from.readDoubleLE(8)),
    createdAt: BigInt(from.readDoubleLE(16)),
    updatedAt: BigInt(from.readDoubleLE(24)),
    archived: from.readUInt8(32) === 1,
    fields,
  };
}

/** A client may send a name that has a meaning of its own to JavaScript. */
export function setField(fields: Record<string, string | null>, name: string, value: string | null): void {
  if (name === '__proto__') Object.defineProperty(fields, name, { value, enumerable: true });
  else fields[name] = value;
}
