import { DatabaseError, SqlState } from '../errors.js';

/** Of a safe integer, 53 bits. */
const VARINT_BYTES_MAX = 8;
/** Of the last of so many bytes. */
const MAX_SCALE = 128 ** (VARINT_BYTES_MAX - 1);

/** More than a safe integer needs. */
const TIME_BYTES = 7;

const SHORT_TEXT = 24;
/** The most that a writer keeps between two records. */
const KEPT_BYTES = 65_536;

/** Appends numbers, texts and byte strings to one growing buffer. Integers are big-endian. */
export class ByteWriter {
  private buffer: Buffer;
  private length = 0;

  constructor(capacity = 256) {
    this.buffer = Buffer.allocUnsafe(capacity);
  }

  private reserve(size: number): number {
    const at = this.length;
    if (at + size > this.buffer.length) {
      const bigger = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, at + size));
      this.buffer.copy(bigger, 0, 0, at);
      this.buffer = bigger;
    }
    this.length = at + size;
    return at;
  }

  u8(value: number): this {
    const at = this.reserve(1);
    this.buffer[at] = value;
    return this;
  }

  u32(value: number): this {
    const at = this.reserve(4);
    this.buffer.writeUInt32BE(value, at);
    return this;
  }

  /** A non-negative safe integer as LEB128: 7 bits a byte, the lowest first. */
  varint(value: number): this {
    const at = this.reserve(VARINT_BYTES_MAX);
    let end = at;
    let rest = value;
    // Above 31 bits by arithmetic: the bit operators would cut the number.
    for (; rest >= 0x8000_0000; rest = Math.floor(rest / 128)) this.buffer[end++] = (rest % 128) | 128;
    for (; rest >= 128; rest >>>= 7) this.buffer[end++] = (rest & 127) | 128;
    this.buffer[end++] = rest;
    this.length = end;
    return this;
  }

  /** A non-negative safe integer as 8 bytes. */
  u64(value: number): this {
    const at = this.reserve(8);
    this.buffer.writeUInt32BE(Math.floor(value / 0x1_0000_0000), at);
    this.buffer.writeUInt32BE(value >>> 0, at + 4);
    return this;
  }

  /** A time in microseconds since 1970, as 7 bytes: as a varint those of our days take 8. */
  time(value: number): this {
    const at = this.reserve(TIME_BYTES);
    const high = Math.floor(value / 0x1_0000_0000);
    this.buffer[at] = high >>> 16;
    this.buffer[at + 1] = high >>> 8;
    this.buffer[at + 2] = high;
    this.buffer.writeUInt32BE(value >>> 0, at + 3);
    return this;
  }

  bytes(value: Uint8Array): this {
    const at = this.reserve(value.length);
    this.buffer.set(value, at);
    return this;
  }

  /** lp(x) of the format document: length as u32, then the bytes. */
  lp(value: Uint8Array): this {
    this.u32(value.length);
    return this.bytes(value);
  }

  /** A byte for each character, without their number. */
  latin1(value: string): this {
    const at = this.reserve(value.length);
    this.buffer.write(value, at, 'latin1');
    return this;
  }

  /** UTF-8 without its length. */
  rawText(value: string): this {
    // Room for the longest UTF-8 form, so that the text is walked once.
    const start = this.reserve(value.length * 3);
    this.length = start + this.put(value, start);
    return this;
  }

  /** @returns the bytes written */
  private put(value: string, at: number): number {
    if (value.length > SHORT_TEXT) return this.buffer.write(value, at);
    // A call into native code costs more than a few letters do here.
    for (let i = 0; i < value.length; i++) {
      const unit = value.charCodeAt(i);
      if (unit > 127) return this.buffer.write(value, at);
      this.buffer[at + i] = unit;
    }
    return value.length;
  }

  text(value: string): this {
    const start = this.reserve(4 + value.length * 3);
    const size = this.put(value, start + 4);
    this.buffer.writeUInt32BE(size, start);
    this.length = start + 4 + size;
    return this;
  }

  /** A text behind its length in bytes as a varint. */
  shortText(value: string): this {
    if (value.length > SHORT_TEXT) return this.varint(Buffer.byteLength(value)).rawText(value);
    // At most 72 bytes, so their number is one byte.
    const start = this.reserve(1 + value.length * 3);
    const size = this.put(value, start + 1);
    this.buffer[start] = size;
    this.length = start + 1 + size;
    return this;
  }

  /** What was written so far; valid until the next write. */
  result(): Buffer {
    return this.buffer.subarray(0, this.length);
  }

  /** What was written, as a view that is valid until the next write, which starts anew. */
  take(): Buffer {
    const view = this.buffer.subarray(0, this.length);
    this.length = 0;
    // One long value must not hold its room for ever.
    if (this.buffer.length > KEPT_BYTES) this.buffer = Buffer.allocUnsafe(KEPT_BYTES);
    return view;
  }
}

/** Reads what ByteWriter wrote. Running past the end is data corruption. */
export class ByteReader {
  private offset = 0;

  constructor(private readonly buffer: Buffer) {}

  get atEnd(): boolean {
    return this.offset === this.buffer.length;
  }

  private advance(size: number): number {
    const at = this.offset;
    if (at + size > this.buffer.length) {
      throw new DatabaseError(SqlState.dataCorrupted, 'a stored record is shorter than it says');
    }
    this.offset = at + size;
    return at;
  }

  u8(): number {
    return this.buffer[this.advance(1)] ?? 0;
  }

  u32(): number {
    return this.buffer.readUInt32BE(this.advance(4));
  }

  u64(): number {
    const at = this.advance(8);
    return this.buffer.readUInt32BE(at) * 0x1_0000_0000 + this.buffer.readUInt32BE(at + 4);
  }

  time(): number {
    const at = this.advance(TIME_BYTES);
    return this.buffer.readUIntBE(at, 3) * 0x1_0000_0000 + this.buffer.readUInt32BE(at + 3);
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.u8();
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
      if (scale > MAX_SCALE) throw new DatabaseError(SqlState.dataCorrupted, 'a stored number is too long');
    }
  }

  /** Of things that take at least a byte each. */
  count(): number {
    const count = this.varint();
    if (count > this.buffer.length - this.offset)
      throw new DatabaseError(SqlState.dataCorrupted, 'a stored record is shorter than it says');
    return count;
  }

  skip(size: number): void {
    this.advance(size);
  }

  bytes(size: number): Buffer {
    const at = this.advance(size);
    return this.buffer.subarray(at, at + size);
  }

  lp(): Buffer {
    return this.bytes(this.u32());
  }

  text(): string {
    const size = this.u32();
    const at = this.advance(size);
    return this.buffer.toString('utf8', at, at + size);
  }

  shortText(): string {
    return this.rawText(this.varint());
  }

  /** `size` bytes of UTF-8. */
  rawText(size: number): string {
    const at = this.advance(size);
    return this.buffer.toString('utf8', at, at + size);
  }

  /** `size` bytes, a character for each. */
  latin1(size: number): string {
    const at = this.advance(size);
    return this.buffer.toString('latin1', at, at + size);
  }

  restText(): string {
    return this.rawText(this.buffer.length - this.offset);
  }

  rest(): Buffer {
    return this.bytes(this.buffer.length - this.offset);
  }
}

/**
 * Whether so many bytes are the same. For keys and hashes, whose last bytes tell most of them apart, this is quicker than
 * a call into C++.
 */
export function sameBytes(
  left: Uint8Array,
  leftAt: number,
  right: Uint8Array,
  rightAt: number,
  bytes: number,
): boolean {
  for (let i = bytes - 1; i >= 0; i--) if (left[leftAt + i] !== right[rightAt + i]) return false;
  return true;
}
