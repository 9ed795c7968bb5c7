/** Values on the wire ↔ PostgreSQL's text for them, by type OID and format. */
import { DatabaseError, SqlState } from '../../engine/errors.js';
import type { Format } from '../protocol/bytes.js';
import { utf8Text } from '../protocol/bytes.js';
import { arrayCodec } from './arrays.js';
import type { Codec } from './codec.js';
import { dateCodec, timeCodec, timestampCodecWithZone, timestampCodecWithoutZone } from './datetime.js';
import { float4Codec, float8Codec } from './floats.js';
import { numericCodec } from './numeric.js';
import {
  boolCodec,
  byteaCodec,
  charCodec,
  int2Codec,
  int4Codec,
  int8Codec,
  jsonbCodec,
  oidCodec,
  textCodec,
  uuidCodec,
} from './scalars.js';
import { TypeOid } from './types.js';

const CODECS: ReadonlyMap<number, Codec> = new Map<number, Codec>([
  [TypeOid.bool, boolCodec],
  [TypeOid.bytea, byteaCodec],
  [TypeOid.char, charCodec],
  [TypeOid.name, textCodec],
  [TypeOid.int8, int8Codec],
  [TypeOid.int2, int2Codec],
  [TypeOid.int4, int4Codec],
  [TypeOid.text, textCodec],
  [TypeOid.oid, oidCodec],
  [TypeOid.json, textCodec],
  [TypeOid.float4, float4Codec],
  [TypeOid.float8, float8Codec],
  [TypeOid.unknown, textCodec],
  [TypeOid.bpchar, textCodec],
  [TypeOid.varchar, textCodec],
  [TypeOid.date, dateCodec],
  [TypeOid.time, timeCodec],
  [TypeOid.timestamp, timestampCodecWithoutZone],
  [TypeOid.timestamptz, timestampCodecWithZone],
  [TypeOid.numeric, numericCodec],
  [TypeOid.uuid, uuidCodec],
  [TypeOid.jsonb, jsonbCodec],
  [TypeOid.boolArray, arrayCodec(TypeOid.bool, boolCodec)],
  [TypeOid.int2Array, arrayCodec(TypeOid.int2, int2Codec)],
  [TypeOid.int4Array, arrayCodec(TypeOid.int4, int4Codec)],
  [TypeOid.textArray, arrayCodec(TypeOid.text, textCodec)],
  [TypeOid.varcharArray, arrayCodec(TypeOid.varchar, textCodec)],
  [TypeOid.int8Array, arrayCodec(TypeOid.int8, int8Codec)],
  [TypeOid.float8Array, arrayCodec(TypeOid.float8, float8Codec)],
  [TypeOid.timestamptzArray, arrayCodec(TypeOid.timestamptz, timestampCodecWithZone)],
  [TypeOid.numericArray, arrayCodec(TypeOid.numeric, numericCodec)],
  [TypeOid.uuidArray, arrayCodec(TypeOid.uuid, uuidCodec)],
]);

/** OID 0 ("infer") in binary format can only be text: nothing else is known of the value. */
function codec(oid: number): Codec {
  const found = oid === 0 ? textCodec : CODECS.get(oid);
  if (found === undefined) {
    throw new DatabaseError(SqlState.featureNotSupported, `no binary format for the type with OID ${oid}`, {
      hint: 'Send and ask for values of this type in text format.',
    });
  }
  return found;
}

/**
 * One bound parameter as text. A parameter in binary format comes out as PostgreSQL prints its type; one in text format
 * is only checked to be UTF-8: whether it casts to the type is for the statement to say.
 * Throws 22P03 for malformed binary, 22021 for bad UTF-8 or a zero byte, 0A000 for binary of a type not known here.
 */
export function decodeParameter(bytes: Buffer, oid: number, format: Format): string {
  return format === 0 ? utf8Text(bytes) : codec(oid).decode(bytes);
}

/**
 * A value's text in the format asked for. Binary needs text as PostgreSQL prints it; 22P02, 22007, 22008 or 22003 when it
 * is not a value of the type, 0A000 for binary of a type not known here.
 */
export function encodeResult(text: string, oid: number, format: Format): Buffer {
  return format === 0 ? Buffer.from(text) : codec(oid).encode(text);
}

/** A value that was taken as it was written, as PostgreSQL would print it: by way of its binary form. */
export function printedText(text: string | null, oid: number): string | null {
  if (text === null) return null;
  try {
    return codec(oid).decode(codec(oid).encode(text));
  } catch {
    // Types without a binary form here, and spellings only PostgreSQL reads.
    return text;
  }
}

/** Whether values of the type can be sent and received in binary format. */
export function hasBinaryFormat(oid: number): boolean {
  return oid === 0 || CODECS.has(oid);
}
