import { DatabaseError, SqlState } from '../errors.js';

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

  /** A non-negative safe integer as 8 bytes. */
  u64(value: number): this {
    const at = this.reserve(8);
    this.buffer.writeUInt32BE(Math.floor(value / 0x1_0000_0000), at);
    this.buffer.writeUInt32BE(value >>> 0, at + 4);
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

  text(value: string): this {
    // Room for the longest UTF-8 form, so that the text is walked once.
    const start = this.reserve(4 + value.length * 3);
    const size = this.buffer.write(value, start + 4);
    this.buffer.writeUInt32BE(size, start);
    this.length = start + 4 + size;
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

  rest(): Buffer {
    return this.bytes(this.buffer.length - this.offset);
  }
}
