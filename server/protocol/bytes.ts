/**
 * Reading and writing message bodies: every integer is big-endian, every string UTF-8 and ended by a zero byte.
 * What cannot be read is a protocol violation (08P01), never a RangeError.
 */
import { isUtf8 } from 'node:buffer';
import { DatabaseError, SqlState } from '../../engine/errors.js';

/** 0: text, 1: binary. */
export type Format = 0 | 1;

export function protocolViolation(message: string): DatabaseError {
  return new DatabaseError(SqlState.protocolViolation, message);
}

/** Texts up to this length are looked at byte by byte here: that is quicker than a call into C++. */
const SHORT_BYTES = 48;

/** The text when the bytes from `start` to `end` are few and plain ASCII without a zero; null otherwise. */
function shortAscii(bytes: Buffer, start: number, end: number): string | null {
  if (end - start > SHORT_BYTES) return null;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] ?? 0;
    if (byte === 0 || byte > 0x7f) return null;
  }
  return bytes.toString('latin1', start, end);
}

/** The bytes as text; 22021 when they are not UTF-8 or hold a zero byte, as PostgreSQL has it. */
export function utf8Text(bytes: Buffer): string {
  const short = shortAscii(bytes, 0, bytes.length);
  if (short !== null) return short;
  checkUtf8(bytes);
  return bytes.toString('utf8');
}

/** @throws DatabaseError 22021 when the bytes are not UTF-8 or hold a zero byte */
export function checkUtf8(bytes: Buffer): void {
  if (bytes.includes(0) || !isUtf8(bytes)) throw notUtf8();
}

function notUtf8(): DatabaseError {
  return new DatabaseError(SqlState.characterNotInRepertoire, 'invalid byte sequence for encoding "UTF8"');
}

function decodeUtf8(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw notUtf8();
  return bytes.toString('utf8');
}

/** Walks one message body from front to back. `name` is the message's name for error texts, e.g. `Bind`. */
export class BodyReader {
  readonly #body: Buffer;
  readonly #name: string;
  #offset = 0;

  constructor(body: Buffer, name: string) {
    this.#body = body;
    this.#name = name;
  }

  /** Bytes not read yet. */
  get remaining(): number {
    return this.#body.length - this.#offset;
  }

  #advance(count: number): number {
    const start = this.#offset;
    if (count < 0 || count > this.#body.length - start) {
      throw protocolViolation(`insufficient data left in ${this.#name} message`);
    }
    this.#offset = start + count;
    return start;
  }

  uint8(): number {
    return this.#body.readUInt8(this.#advance(1));
  }

  int16(): number {
    return this.#body.readInt16BE(this.#advance(2));
  }

  uint16(): number {
    return this.#body.readUInt16BE(this.#advance(2));
  }

  int32(): number {
    return this.#body.readInt32BE(this.#advance(4));
  }

  uint32(): number {
    return this.#body.readUInt32BE(this.#advance(4));
  }

  /** A view, not a copy. */
  bytes(count: number): Buffer {
    const start = this.#advance(count);
    return this.#body.subarray(start, start + count);
  }

  /** Everything up to the end of the body, as a view. */
  rest(): Buffer {
    return this.bytes(this.remaining);
  }

  /** The bytes before the next zero byte, which is skipped. */
  #terminated(): Buffer {
    const start = this.#offset;
    const zero = this.#body.indexOf(0, start);
    if (zero < 0) throw protocolViolation(`invalid string in ${this.#name} message`);
    this.#offset = zero + 1;
    return this.#body.subarray(start, zero);
  }

  /** A zero-terminated string; 22021 when it is not UTF-8. */
  cstring(): string {
    const start = this.#offset;
    if (this.#body[start] === 0) {
      this.#offset = start + 1;
      return '';
    }
    const bytes = this.#terminated();
    return shortAscii(bytes, 0, bytes.length) ?? decodeUtf8(bytes);
  }

  /** A zero-terminated string with damaged bytes replaced: for what another server says, which must not fail. */
  lenientCstring(): string {
    return this.#terminated().toString('utf8');
  }

  /** A counted list of format codes. 22023 for a code other than 0 and 1. */
  formats(): Format[] {
    const count = this.uint16();
    const formats: Format[] = [];
    for (let index = 0; index < count; index++) formats.push(asFormat(this.uint16()));
    return formats;
  }

  /** A counted list of values, each with its length in front; length -1 is null. Values are views. */
  values(): (Buffer | null)[] {
    const count = this.uint16();
    if (count * 4 > this.remaining)
      throw protocolViolation(`insufficient data left in ${this.#name} message`);
    const values: (Buffer | null)[] = [];
    for (let index = 0; index < count; index++) {
      const length = this.int32();
      values.push(length === -1 ? null : this.bytes(length));
    }
    return values;
  }

  /** Must be called last: refuses trailing bytes. */
  end(): void {
    if (this.remaining !== 0)
      throw protocolViolation(`invalid message format: trailing bytes in ${this.#name}`);
  }
}

export function asFormat(code: number): Format {
  if (code === 0 || code === 1) return code;
  throw new DatabaseError(SqlState.invalidParameterValue, `unsupported format code: ${code}`);
}

/** A message with type and length filled in; its body begins at byte 5 and is not initialised. */
export function startMessage(type: number, bodyBytes: number): Buffer {
  const message = Buffer.allocUnsafe(5 + bodyBytes);
  message[0] = type;
  message.writeUInt32BE(4 + bodyBytes, 1);
  return message;
}

/** Bytes a string takes with its zero byte. A zero inside would let its sender forge fields: 22021. */
export function cstringBytes(text: string): number {
  if (text.includes('\0')) {
    throw new DatabaseError(
      SqlState.characterNotInRepertoire,
      'invalid byte sequence for encoding "UTF8": 0x00',
    );
  }
  return Buffer.byteLength(text) + 1;
}

/** Writes a zero-terminated string and returns the offset after it. */
export function putCstring(message: Buffer, offset: number, text: string): number {
  const end = offset + message.write(text, offset, 'utf8');
  message[end] = 0;
  return end + 1;
}

/** Refuses a list longer than its 16-bit count can say (54000). */
export function checkCount(count: number, what: string): number {
  if (count > 0xffff) {
    throw new DatabaseError(SqlState.programLimitExceeded, `number of ${what} must be between 0 and 65535`);
  }
  return count;
}

/** Writes a counted list of format codes and returns the offset after it: 2 + 2 × length bytes. */
export function putFormats(message: Buffer, offset: number, formats: readonly Format[]): number {
  let at = message.writeUInt16BE(checkCount(formats.length, 'format codes'), offset);
  for (const format of formats) at = message.writeUInt16BE(format, at);
  return at;
}

/** Bytes a counted list of values takes. */
export function valuesBytes(values: readonly (Buffer | null)[]): number {
  let bytes = 2 + 4 * values.length;
  for (const value of values) if (value !== null) bytes += value.length;
  return bytes;
}

/** Writes a counted list of values (null: length -1) and returns the offset after it. */
export function putValues(message: Buffer, offset: number, values: readonly (Buffer | null)[]): number {
  let at = message.writeUInt16BE(checkCount(values.length, 'values'), offset);
  for (const value of values) {
    if (value === null) {
      at = message.writeInt32BE(-1, at);
    } else {
      at = message.writeInt32BE(value.length, at);
      message.set(value, at);
      at += value.length;
    }
  }
  return at;
}

/** Bytes of a text in UTF-8, and writing it, without a call into C++ for what is short and plain ASCII. */
export function textBytes(text: string): number {
  return isShortAscii(text) ? text.length : Buffer.byteLength(text);
}

/** @returns the offset behind the text */
export function putText(message: Buffer, offset: number, text: string): number {
  if (!isShortAscii(text)) return offset + message.write(text, offset, 'utf8');
  for (let at = 0; at < text.length; at++) message[offset + at] = text.charCodeAt(at);
  return offset + text.length;
}

function isShortAscii(text: string): boolean {
  if (text.length > SHORT_BYTES) return false;
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) > 0x7f) return false;
  return true;
}

/** A message whose body is one zero-terminated string. */
export function textMessage(type: number, text: string): Buffer {
  const message = startMessage(type, cstringBytes(text));
  putCstring(message, 5, text);
  return message;
}
