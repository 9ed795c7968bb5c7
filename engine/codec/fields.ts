/**
 * Fields on disk: a number for the list of their names, and all values in one text, so that decoding makes one string
 * and cuts it.
 *
 *   shape ‖ for each name varint(0: null, else UTF-16 units + 1) ‖ the values, one behind the other, in UTF-8
 *
 * They are always the last thing in a record.
 */
import { DatabaseError, SqlState } from '../errors.js';
import type { Fields } from '../types.js';
import type { ByteReader, ByteWriter } from './bytes.js';
import type { Names } from './names.js';

export function writeFields(to: ByteWriter, names: Names, fields: Fields): void {
  const keys = Object.keys(fields);
  let text = '';
  names.shapes.write(to, keys);
  for (const name of keys) {
    const value = fields[name] ?? null;
    if (value === null) {
      to.varint(0);
    } else {
      to.varint(value.length + 1);
      text += value;
    }
  }
  to.rawText(text);
}

/** In the order in which they were written. @throws DatabaseError XX001 */
export function readFields(from: ByteReader, names: Names): Fields {
  const keys = names.shapes.read(from);
  const lengths: number[] = [];
  for (let i = 0; i < keys.length; i++) lengths.push(from.varint());
  const text = from.restText();
  const fields: Record<string, string | null> = {};
  let at = 0;
  for (let i = 0; i < keys.length; i++) {
    const length = lengths[i] ?? 0;
    // No field is called __proto__: validation refuses that name.
    fields[keys[i] ?? ''] = length === 0 ? null : text.slice(at, at + length - 1);
    at += Math.max(0, length - 1);
  }
  if (at !== text.length)
    throw new DatabaseError(SqlState.dataCorrupted, 'stored fields are not as long as they say');
  return fields;
}
