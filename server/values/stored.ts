import { typeModifier } from './types.js';

/** Text that PostgreSQL prints just as it stands, by type. */
const INTEGER = /^(?:0|-?[1-9]\d*)$/;
const NUMERIC = /^-?(?:0|[1-9]\d*)(?:\.(\d+))?$/;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const DATE = /^\d{4}-\d\d-\d\d$/;
const TIMESTAMP = /^\d{4}-\d\d-\d\d (?:[01]\d|2[0-3]):\d\d:[0-5]\d(?:\.\d{0,5}[1-9])?$/;
const TIMESTAMP_UTC = /^\d{4}-\d\d-\d\d (?:[01]\d|2[0-3]):\d\d:[0-5]\d(?:\.\d{0,5}[1-9])?\+00$/;

/**
 * A stored value as PostgreSQL would print it after casting it to its field's type, with DateStyle ISO and in UTC.
 * @returns null where that would take PostgreSQL to say: the value is not written as PostgreSQL writes it
 */
export function printedValue(value: string, type: string): string | null {
  switch (type) {
    case 'text':
    case 'character varying':
    case 'json':
      return value;
    case 'boolean':
      if (value === 't' || value === 'true') return 't';
      return value === 'f' || value === 'false' ? 'f' : null;
    case 'smallint':
    case 'integer':
    case 'bigint':
      return INTEGER.test(value) ? value : null;
    case 'uuid':
      return UUID.test(value) ? value : null;
    case 'date':
      return DATE.test(value) ? value : null;
    case 'timestamp without time zone':
      return TIMESTAMP.test(value) ? value : null;
    case 'timestamp with time zone':
      return TIMESTAMP_UTC.test(value) ? value : null;
    default:
      return type.startsWith('numeric') ? printedNumeric(value, type) : null;
  }
}

function printedNumeric(value: string, type: string): string | null {
  const match = NUMERIC.exec(value);
  if (match === null || /^-[0.]*$/.test(value)) return null;
  if (type === 'numeric') return value;
  // The scale stands in the modifier's lowest 11 bits; a value of another scale would be rounded or filled up.
  const scale = (typeModifier(type) - 4) & 0x7ff;
  return (match[1] ?? '').length === scale ? value : null;
}
