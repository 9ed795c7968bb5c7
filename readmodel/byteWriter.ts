/** Up to this length a loop in JavaScript writes a string faster than a call into Node does. */
const SHORT = 64;
/** Days since 1970 of the timestamps written last, as text: they mostly are of the same day. */
const day = { number: NaN, text: '' };
const MICROS_PER_DAY = 86_400_000_000;

/** Bytes put together front to back in one buffer that grows. Integers are big-endian, as PostgreSQL sends them. */
export class ByteWriter {
  private buffer: Buffer;
  private at = 0;

  constructor(size = 4096) {
    this.buffer = Buffer.allocUnsafe(size);
  }

  get length(): number {
    return this.at;
  }

  /** What was written, without a copy: `clear` and what is written after it go over it. */
  bytes(): Buffer {
    return this.buffer.subarray(0, this.at);
  }

  /** Empties it; the memory is used again, unless that is more than `keep` bytes. */
  clear(keep: number): void {
    this.at = 0;
    if (this.buffer.length > keep) this.buffer = Buffer.allocUnsafe(4096);
  }

  /** Forgets what was written from `length` on. */
  truncate(length: number): void {
    this.at = length;
  }

  /** Makes room for `count` more bytes. */
  private reserve(count: number): void {
    if (this.at + count <= this.buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, this.at + count));
    this.buffer.copy(larger, 0, 0, this.at);
    this.buffer = larger;
  }

  byte(value: number): void {
    this.reserve(1);
    this.buffer[this.at++] = value;
  }

  int16(value: number): void {
    this.reserve(2);
    this.at = this.buffer.writeInt16BE(value, this.at);
  }

  int32(value: number): void {
    this.reserve(4);
    this.setInt32(this.at, value);
    this.at += 4;
  }

  /** A safe integer as eight bytes. */
  int64(value: number): void {
    const high = Math.floor(value / 0x1_0000_0000);
    this.int32(high);
    this.int32(value - high * 0x1_0000_0000);
  }

  private setInt32(at: number, value: number): void {
    const { buffer } = this;
    buffer[at] = value >>> 24;
    buffer[at + 1] = value >>> 16;
    buffer[at + 2] = value >>> 8;
    buffer[at + 3] = value;
  }

  /** Room for a length that is known later: `endLength` fills it in. */
  startLength(): number {
    this.int32(0);
    return this.at;
  }

  /** @param own bytes of the length itself that it counts: 4 in a message, 0 in a value */
  endLength(start: number, own: 0 | 4 = 0): void {
    this.setInt32(start - 4, this.at - start + own);
  }

  /** The string in UTF-8. */
  text(value: string): void {
    const { length } = value;
    // UTF-16 never takes fewer units than a third of the bytes of UTF-8.
    this.reserve(length * 3);
    const { buffer, at } = this;
    if (length <= SHORT) {
      let i = 0;
      for (; i < length; i++) {
        const code = value.charCodeAt(i);
        if (code >= 0x80) break;
        buffer[at + i] = code;
      }
      if (i === length) {
        this.at = at + length;
        return;
      }
    }
    this.at = at + buffer.write(value, at);
  }

  cstring(value: string): void {
    this.text(value);
    this.byte(0);
  }

  /** A value with its length in front; null has length −1 and nothing behind it. */
  nullableText(value: string | null | undefined): void {
    if (value === null || value === undefined) return this.int32(-1);
    const start = this.startLength();
    this.text(value);
    this.endLength(start);
  }

  /** A value of COPY's text format. */
  copyText(value: string): void {
    const { length } = value;
    this.reserve(length * 3);
    const { buffer, at } = this;
    if (length > SHORT) return this.text(ESCAPED.test(value) ? escaped(value) : value);
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i);
      if (code >= 0x80 || code === 0x5c || (code <= 13 && code >= 9))
        return this.text(ESCAPED.test(value) ? escaped(value) : value);
      buffer[at + i] = code;
    }
    this.at = at + length;
  }

  /** A number as its last `digits` decimal digits, with zeros in front. */
  digits(value: number, digits: number): void {
    this.reserve(digits);
    let rest = value;
    for (let i = this.at + digits - 1; i >= this.at; i--) {
      const next = Math.floor(rest / 10);
      this.buffer[i] = 48 + rest - next * 10;
      rest = next;
    }
    this.at += digits;
  }

  /** Microseconds since 1970 as timestamptz input, exact to the microsecond. */
  timestamp(micros: number): void {
    const days = Math.floor(micros / MICROS_PER_DAY);
    if (days !== day.number) {
      day.text = new Date(days * 86_400_000).toISOString().slice(0, 11);
      day.number = days;
    }
    this.text(day.text);
    const ofDay = micros - days * MICROS_PER_DAY;
    const second = Math.floor(ofDay / 1_000_000);
    const minute = Math.floor(second / 60);
    const hour = Math.floor(minute / 60);
    this.digits(hour, 2);
    this.byte(0x3a);
    this.digits(minute - hour * 60, 2);
    this.byte(0x3a);
    this.digits(second - minute * 60, 2);
    this.byte(0x2e);
    this.digits(ofDay - second * 1_000_000, 6);
    this.byte(0x5a);
  }
}

const ESCAPED = /[\\\n\r\t]/;
const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };

function escaped(value: string): string {
  return value.replace(/[\\\n\r\t]/g, (found) => ESCAPES[found] ?? found);
}
