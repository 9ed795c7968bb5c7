/** PostgreSQL's built-in types, as far as fields, columns and parameters have them: OID, size and modifier. */
import { DatabaseError, SqlState } from '../../engine/errors.js';

/** OIDs from PostgreSQL's pg_type; they never change. */
export const TypeOid = {
  bool: 16,
  bytea: 17,
  char: 18,
  name: 19,
  int8: 20,
  int2: 21,
  int4: 23,
  text: 25,
  oid: 26,
  json: 114,
  float4: 700,
  float8: 701,
  unknown: 705,
  boolArray: 1000,
  int2Array: 1005,
  int4Array: 1007,
  textArray: 1009,
  varcharArray: 1015,
  int8Array: 1016,
  float8Array: 1022,
  bpchar: 1042,
  varchar: 1043,
  date: 1082,
  time: 1083,
  timestamp: 1114,
  timestamptz: 1184,
  timestamptzArray: 1185,
  numericArray: 1231,
  numeric: 1700,
  uuid: 2950,
  uuidArray: 2951,
  jsonb: 3802,
} as const;

const BY_NAME: ReadonlyMap<string, number> = new Map([
  ['boolean', TypeOid.bool],
  ['bytea', TypeOid.bytea],
  ['"char"', TypeOid.char],
  ['name', TypeOid.name],
  ['bigint', TypeOid.int8],
  ['smallint', TypeOid.int2],
  ['integer', TypeOid.int4],
  ['text', TypeOid.text],
  ['oid', TypeOid.oid],
  ['json', TypeOid.json],
  ['real', TypeOid.float4],
  ['double precision', TypeOid.float8],
  ['boolean[]', TypeOid.boolArray],
  ['smallint[]', TypeOid.int2Array],
  ['integer[]', TypeOid.int4Array],
  ['text[]', TypeOid.textArray],
  ['character varying[]', TypeOid.varcharArray],
  ['bigint[]', TypeOid.int8Array],
  ['double precision[]', TypeOid.float8Array],
  ['character', TypeOid.bpchar],
  ['character varying', TypeOid.varchar],
  ['date', TypeOid.date],
  ['time without time zone', TypeOid.time],
  ['timestamp without time zone', TypeOid.timestamp],
  ['timestamp with time zone', TypeOid.timestamptz],
  ['timestamp with time zone[]', TypeOid.timestamptzArray],
  ['numeric[]', TypeOid.numericArray],
  ['numeric', TypeOid.numeric],
  ['uuid', TypeOid.uuid],
  ['uuid[]', TypeOid.uuidArray],
  ['jsonb', TypeOid.jsonb],
]);

const SIZES: ReadonlyMap<number, number> = new Map([
  [TypeOid.bool, 1],
  [TypeOid.char, 1],
  [TypeOid.name, 64],
  [TypeOid.int8, 8],
  [TypeOid.int2, 2],
  [TypeOid.int4, 4],
  [TypeOid.oid, 4],
  [TypeOid.float4, 4],
  [TypeOid.float8, 8],
  [TypeOid.unknown, -2],
  [TypeOid.date, 4],
  [TypeOid.time, 8],
  [TypeOid.timestamp, 8],
  [TypeOid.timestamptz, 8],
  [TypeOid.uuid, 16],
]);

/** `numeric(10,2)` → `numeric` and `10,2`; `timestamp(3) with time zone` → `timestamp with time zone` and `3`. */
const WITH_MODIFIER = /^([^()]*)\(\s*(-?\d+)\s*(?:,\s*(-?\d+)\s*)?\)([^()]*)$/;

/** Bytes PostgreSQL counts in front of a value: added to the modifiers of text types and numeric. */
const HEADER_BYTES = 4;

/** The OID for a canonical type name, with or without a modifier. 42704 for a name not known here. */
export function typeOid(canonicalTypeName: string): number {
  const plain = BY_NAME.get(canonicalTypeName);
  if (plain !== undefined) return plain;
  const match = WITH_MODIFIER.exec(canonicalTypeName);
  const name = match === null ? canonicalTypeName : `${match[1] ?? ''}${match[4] ?? ''}`;
  const oid = BY_NAME.get(name);
  if (oid === undefined) {
    throw new DatabaseError(SqlState.undefinedObject, `type "${canonicalTypeName}" does not exist`);
  }
  return oid;
}

/** Bytes a value of the type takes in RowDescription's terms: -1 for a variable length, -2 for `unknown`. */
export function typeSize(oid: number): number {
  return SIZES.get(oid) ?? -1;
}

/** The modifier RowDescription shows for a canonical type name, as PostgreSQL packs it; -1 for none. */
export function typeModifier(canonicalTypeName: string): number {
  const match = WITH_MODIFIER.exec(canonicalTypeName);
  if (match === null) return -1;
  const first = Number(match[2]);
  switch (typeOid(canonicalTypeName)) {
    case TypeOid.varchar:
    case TypeOid.bpchar:
      return first + HEADER_BYTES;
    case TypeOid.numeric:
      // Precision in the high half; scale, which may be negative, in 11 bits of the low half.
      return ((first << 16) | (Number(match[3] ?? '0') & 0x7ff)) + HEADER_BYTES;
    case TypeOid.time:
    case TypeOid.timestamp:
    case TypeOid.timestamptz:
      return first;
    default:
      return -1;
  }
}
