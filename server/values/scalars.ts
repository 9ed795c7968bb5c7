/** Codecs without arithmetic of their own: text types, boolean, integers, bytea, "char", uuid, jsonb. */
import { DatabaseError, SqlState } from '../../engine/errors.js';
import { utf8Text } from '../protocol/bytes.js';
import type { Codec } from './codec.js';
import { badBinary, badText, checkSize, outOfRange } from './codec.js';

/** Types whose binary format is their text. */
export const textCodec: Codec = {
  decode: utf8Text,
  encode: (text) => Buffer.from(text),
};

const TRUE_TEXTS = new Set(['t', 'true', 'y', 'yes', 'on', '1']);
const FALSE_TEXTS = new Set(['f', 'false', 'n', 'no', 'off', '0']);

export const boolCodec: Codec = {
  decode(bytes) {
    checkSize(bytes, 1, 'boolean');
    return bytes[0] === 0 ? 'f' : 't';
  },
  encode(text) {
    const word = text.trim().toLowerCase();
    if (TRUE_TEXTS.has(word)) return Buffer.from([1]);
    if (FALSE_TEXTS.has(word)) return Buffer.from([0]);
    throw badText('boolean');
  },
};

const INTEGER = /^\s*[+-]?\d+\s*$/;
/** Longer texts are out of any range; bounded so that no giant bigint is built from them. */
const MAX_INTEGER_TEXT = 64;

function integer(text: string, type: string, min: bigint, max: bigint): bigint {
  if (!INTEGER.test(text)) throw badText(type);
  if (text.length > MAX_INTEGER_TEXT) throw outOfRange(type);
  // BigInt reads a minus sign but not a plus sign.
  const value = BigInt(text.trim().replace(/^\+/, ''));
  if (value < min || value > max) throw outOfRange(type);
  return value;
}

export const int2Codec: Codec = {
  decode(bytes) {
    checkSize(bytes, 2, 'smallint');
    return String(bytes.readInt16BE(0));
  },
  encode(text) {
    const bytes = Buffer.allocUnsafe(2);
    bytes.writeInt16BE(Number(integer(text, 'smallint', -0x8000n, 0x7fffn)));
    return bytes;
  },
};

export const int4Codec: Codec = {
  decode(bytes) {
    checkSize(bytes, 4, 'integer');
    return String(bytes.readInt32BE(0));
  },
  encode(text) {
    const bytes = Buffer.allocUnsafe(4);
    bytes.writeInt32BE(Number(integer(text, 'integer', -0x8000_0000n, 0x7fff_ffffn)));
    return bytes;
  },
};

export const int8Codec: Codec = {
  decode(bytes) {
    checkSize(bytes, 8, 'bigint');
    return String(bytes.readBigInt64BE(0));
  },
  encode(text) {
    const bytes = Buffer.allocUnsafe(8);
    bytes.writeBigInt64BE(integer(text, 'bigint', -(1n << 63n), (1n << 63n) - 1n));
    return bytes;
  },
};

export const oidCodec: Codec = {
  decode(bytes) {
    checkSize(bytes, 4, 'oid');
    return String(bytes.readUInt32BE(0));
  },
  encode(text) {
    const bytes = Buffer.allocUnsafe(4);
    bytes.writeUInt32BE(Number(integer(text, 'oid', 0n, 0xffff_ffffn)));
    return bytes;
  },
};

const HEX_PAIRS = /^(?:[0-9a-fA-F]{2})*$/;

export const byteaCodec: Codec = {
  decode: (bytes) => `\\x${bytes.toString('hex')}`,
  encode(text) {
    if (text.startsWith('\\x')) {
      const hex = text.slice(2).replaceAll(/\s+/g, '');
      if (!HEX_PAIRS.test(hex)) throw badText('bytea');
      return Buffer.from(hex, 'hex');
    }
    return escapedBytes(text);
  },
};

/** bytea's older text format: `\\` is a backslash, `\ooo` a byte in octal. */
function escapedBytes(text: string): Buffer {
  const source = Buffer.from(text);
  const out = Buffer.allocUnsafe(source.length);
  let length = 0;
  for (let at = 0; at < source.length; length++) {
    if (source[at] !== 0x5c) {
      out[length] = source.readUInt8(at++);
    } else if (source[at + 1] === 0x5c) {
      out[length] = 0x5c;
      at += 2;
    } else {
      const octal = source.toString('latin1', at + 1, at + 4);
      if (!/^[0-3][0-7]{2}$/.test(octal)) throw badText('bytea');
      out[length] = parseInt(octal, 8);
      at += 4;
    }
  }
  return out.subarray(0, length);
}

/** "char": one byte; shown as nothing when zero and in octal when not ASCII. */
export const charCodec: Codec = {
  decode(bytes) {
    checkSize(bytes, 1, '"char"');
    const byte = bytes.readUInt8(0);
    if (byte === 0) return '';
    return byte < 0x80 ? String.fromCharCode(byte) : `\\${byte.toString(8)}`;
  },
  encode(text) {
    if (/^\\[0-3][0-7]{2}$/.test(text)) return Buffer.from([parseInt(text.slice(1), 8)]);
    return text === '' ? Buffer.from([0]) : Buffer.from(text).subarray(0, 1);
  },
};

const UUID = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;

export const uuidCodec: Codec = {
  decode(bytes) {
    checkSize(bytes, 16, 'uuid');
    const hex = bytes.toString('hex');
    const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)];
    return parts.join('-');
  },
  encode(text) {
    if (!UUID.test(text)) throw badText('uuid');
    return Buffer.from(text.replaceAll('-', ''), 'hex');
  },
};

const JSONB_VERSION = 1;

/** jsonb is its text behind a version byte. The text is passed as it is, not brought into jsonb's key order. */
export const jsonbCodec: Codec = {
  decode(bytes) {
    if (bytes.length === 0) throw badBinary('jsonb');
    if (bytes[0] !== JSONB_VERSION) {
      const message = `unsupported jsonb version number ${String(bytes[0])}`;
      throw new DatabaseError(SqlState.invalidBinaryRepresentation, message);
    }
    return utf8Text(bytes.subarray(1));
  },
  encode: (text) => Buffer.concat([Buffer.from([JSONB_VERSION]), Buffer.from(text)]),
};
