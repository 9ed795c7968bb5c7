/**
 * One-dimensional arrays. Text: `{a,"b c",NULL}`. Binary: dimensions, a flag for nulls, the element type, then size and
 * lower bound of the dimension, then each element behind its length.
 */
import { DatabaseError, SqlState } from '../../engine/errors.js';
import type { Codec } from './codec.js';
import { badBinary } from './codec.js';

interface ArrayValue {
  /** Index of the first element, 1 unless said otherwise. */
  readonly lowerBound: number;
  readonly elements: readonly (string | null)[];
}

const HEADER_BYTES = 12;
const DIMENSION_BYTES = 8;
const MAX_INT32 = 0x7fff_ffff;
const MIN_INT32 = -0x8000_0000;
const BOUNDS = /^\[\s*([+-]?\d{1,10})\s*:\s*([+-]?\d{1,10})\s*\]\s*=\s*/;
/** Space as PostgreSQL's array syntax has it: ASCII only. */
const NEEDS_QUOTES = /["\\{}, \t\n\r\v\f]|^$|^null$/i;

function malformed(): DatabaseError {
  return new DatabaseError(SqlState.invalidTextRepresentation, 'malformed array literal');
}

function severalDimensions(): DatabaseError {
  return new DatabaseError(SqlState.featureNotSupported, 'arrays of several dimensions are not supported');
}

/** The elements of an array's text. 22P02 when it is malformed, 0A000 when it has several dimensions. */
export function parseTextArray(text: string): (string | null)[] {
  return [...parseArray(text).elements];
}

/** PostgreSQL's text for an array, quoted only where it must be. */
export function formatTextArray(elements: readonly (string | null)[]): string {
  return `{${elements.map(elementText).join(',')}}`;
}

function elementText(element: string | null): string {
  if (element === null) return 'NULL';
  return NEEDS_QUOTES.test(element) ? `"${element.replace(/["\\]/g, '\\$&')}"` : element;
}

function parseArray(text: string): ArrayValue {
  const trimmed = text.trim();
  const bounds = BOUNDS.exec(trimmed);
  const literal = bounds === null ? trimmed : trimmed.slice(bounds[0].length);
  const elements = new ArrayTextParser(literal).parse();
  if (bounds === null) return { lowerBound: 1, elements };
  const lowerBound = Number(bounds[1]);
  const upperBound = Number(bounds[2]);
  if (upperBound - lowerBound + 1 !== elements.length) throw malformed();
  if (lowerBound < MIN_INT32 || upperBound > MAX_INT32) throw malformed();
  return { lowerBound, elements };
}

class ArrayTextParser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): (string | null)[] {
    const elements: (string | null)[] = [];
    if (this.#take() !== '{') throw malformed();
    this.#skipSpace();
    if (this.#peek() === '}') {
      this.#at++;
    } else {
      for (let more = true; more;) {
        this.#skipSpace();
        elements.push(this.#peek() === '"' ? this.#quoted() : this.#plain());
        this.#skipSpace();
        const mark = this.#take();
        if (mark !== ',' && mark !== '}') throw malformed();
        more = mark === ',';
      }
    }
    if (this.#at !== this.#text.length) throw malformed();
    return elements;
  }

  #peek(): string {
    return this.#text.charAt(this.#at);
  }

  #take(): string {
    return this.#text.charAt(this.#at++);
  }

  #skipSpace(): void {
    while (/^[ \t\n\r\v\f]$/.test(this.#peek())) this.#at++;
  }

  /** A character behind a backslash stands for itself. */
  #escaped(): string {
    if (this.#at >= this.#text.length) throw malformed();
    return this.#take();
  }

  #quoted(): string {
    let value = '';
    this.#at++;
    while (this.#at < this.#text.length) {
      const character = this.#take();
      if (character === '"') return value;
      value += character === '\\' ? this.#escaped() : character;
    }
    throw malformed();
  }

  #plain(): string | null {
    let value = '';
    /** Length up to the last character that is not unescaped space, which is trimmed. */
    let kept = 0;
    let escapes = false;
    while (this.#at < this.#text.length && this.#peek() !== ',' && this.#peek() !== '}') {
      const character = this.#take();
      if (character === '{' && value === '') throw severalDimensions();
      if (character === '"' || character === '{') throw malformed();
      escapes ||= character === '\\';
      value += character === '\\' ? this.#escaped() : character;
      if (character === '\\' || !/^[ \t\n\r\v\f]$/.test(character)) kept = value.length;
    }
    if (kept === 0) throw malformed();
    const trimmed = value.slice(0, kept);
    return !escapes && trimmed.toLowerCase() === 'null' ? null : trimmed;
  }
}

/** The codec for arrays whose elements have this OID and codec. */
export function arrayCodec(elementOid: number, element: Codec): Codec {
  return {
    decode: (bytes) => decodeArray(bytes, elementOid, element),
    encode: (text) => encodeArray(parseArray(text), elementOid, element),
  };
}

function decodeArray(bytes: Buffer, elementOid: number, element: Codec): string {
  if (bytes.length < HEADER_BYTES) throw badBinary('array');
  const dimensions = bytes.readInt32BE(0);
  const flags = bytes.readUInt32BE(4);
  const sentOid = bytes.readUInt32BE(8);
  if (dimensions < 0 || flags > 1) throw badBinary('array');
  if (sentOid !== elementOid) {
    const message = `binary data has array element type ${sentOid} instead of expected ${elementOid}`;
    throw new DatabaseError(SqlState.datatypeMismatch, message);
  }
  if (dimensions > 1) throw severalDimensions();
  if (dimensions === 0) {
    if (bytes.length !== HEADER_BYTES) throw badBinary('array');
    return '{}';
  }
  if (bytes.length < HEADER_BYTES + DIMENSION_BYTES) throw badBinary('array');
  const count = bytes.readInt32BE(HEADER_BYTES);
  const lowerBound = bytes.readInt32BE(HEADER_BYTES + 4);
  if (count < 0 || lowerBound + count - 1 > MAX_INT32) throw badBinary('array');
  const elements = decodeElements(bytes.subarray(HEADER_BYTES + DIMENSION_BYTES), count, element);
  if (count === 0) return '{}';
  const bounds = lowerBound === 1 ? '' : `[${lowerBound}:${lowerBound + count - 1}]=`;
  return bounds + formatTextArray(elements);
}

function decodeElements(bytes: Buffer, count: number, element: Codec): (string | null)[] {
  const elements: (string | null)[] = [];
  let at = 0;
  for (let index = 0; index < count; index++) {
    if (at + 4 > bytes.length) throw badBinary('array');
    const length = bytes.readInt32BE(at);
    at += 4;
    if (length === -1) {
      elements.push(null);
      continue;
    }
    if (length < 0 || at + length > bytes.length) throw badBinary('array');
    elements.push(element.decode(bytes.subarray(at, at + length)));
    at += length;
  }
  if (at !== bytes.length) throw badBinary('array');
  return elements;
}

function encodeArray({ lowerBound, elements }: ArrayValue, elementOid: number, element: Codec): Buffer {
  const encoded = elements.map((text) => (text === null ? null : element.encode(text)));
  const empty = encoded.length === 0;
  let size = empty ? HEADER_BYTES : HEADER_BYTES + DIMENSION_BYTES;
  for (const value of encoded) size += 4 + (value?.length ?? 0);
  const bytes = Buffer.allocUnsafe(size);
  bytes.writeInt32BE(empty ? 0 : 1, 0);
  bytes.writeUInt32BE(encoded.includes(null) ? 1 : 0, 4);
  let at = bytes.writeUInt32BE(elementOid, 8);
  if (empty) return bytes;
  at = bytes.writeInt32BE(encoded.length, at);
  at = bytes.writeInt32BE(lowerBound, at);
  for (const value of encoded) {
    at = bytes.writeInt32BE(value === null ? -1 : value.length, at);
    if (value === null) continue;
    bytes.set(value, at);
    at += value.length;
  }
  return bytes;
}
