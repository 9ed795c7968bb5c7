/**
 * Nonces that never repeat under a key, and take little room: 19 random bytes that a process draws when it first
 * seals, and a counter.
 *
 *   nonce    prefix(19) ‖ u40(counter)
 *   carried  varint(number of the prefix) ‖ varint(counter), or 0 ‖ nonce(24)
 *
 * The store keeps each prefix under its number, in the same batch as the first record that needs it, so the two are
 * there or lost together, whatever is copied, restored or cut off by a crash. Two copies of a store may give one number
 * to different prefixes; that one nonce is never used twice rests on the random bytes alone.
 */
import { randomBytes } from 'node:crypto';
import { DatabaseError, SqlState } from '../errors.js';

/** As the cipher takes it. */
const NONCE_BYTES = 24;
const PREFIX_BYTES = 19;
const COUNTERS = 2 ** 40;
/** As keys of records hold it. */
const NUMBERS = 2 ** 32;
/** In place of a number: the nonce itself follows. */
const WRITTEN_OUT = 0;
const CARRIED_BYTES_MAX = 1 + NONCE_BYTES;

export class Nonces {
  /** The one that was drawn or read last. */
  readonly nonce = Buffer.alloc(NONCE_BYTES);
  /** What a record carries of the one drawn last, `carriedBytes` of it. */
  readonly carried = Buffer.alloc(CARRIED_BYTES_MAX);
  carriedBytes = 0;
  private readonly prefixes: (Buffer | undefined)[] = [undefined];
  /** Whose prefix stands in `nonce`. */
  private filled = WRITTEN_OUT;
  /** The prefix that is drawn from; 0: none so far. */
  private current = WRITTEN_OUT;
  private counter = 0;
  private kept = 0;
  private at = 0;

  constructor(private readonly random: (size: number) => Buffer = randomBytes) {}

  /** A prefix as it was kept. */
  load(number: number, prefix: Uint8Array): void {
    if (number === this.current) return;
    this.kept = Math.max(this.kept, number);
    // A damaged one opens nothing, but its number is not given again.
    this.prefixes[number] = prefix.length === PREFIX_BYTES ? Buffer.from(prefix) : undefined;
    this.filled = WRITTEN_OUT;
  }

  /** The newest prefix's number. */
  get newest(): number {
    return this.prefixes.length - 1;
  }

  /** What was drawn and is not kept yet: to be kept in one batch with the first records that carry it. */
  get added(): { readonly number: number; readonly prefix: Buffer }[] {
    const added: { number: number; prefix: Buffer }[] = [];
    for (let number = this.kept + 1; number < this.prefixes.length; number++) {
      const prefix = this.prefixes[number];
      if (prefix !== undefined) added.push({ number, prefix });
    }
    return added;
  }

  /** Prefixes up to this number are kept for good. */
  settle(number: number): void {
    this.kept = Math.max(this.kept, number);
  }

  /** Sets `nonce` to one that was never used, and `carried`. */
  draw(): void {
    if (this.current === WRITTEN_OUT || this.counter === COUNTERS) this.begin();
    const counter = this.counter++;
    this.fill(this.current, counter);
    this.carriedBytes = this.put(counter, this.put(this.current, 0));
  }

  /** The same for a record that stands alone: what it carries needs no prefix to be kept. */
  drawWhole(): void {
    this.nonce.set(this.random(NONCE_BYTES));
    this.filled = WRITTEN_OUT;
    this.carried[0] = WRITTEN_OUT;
    this.carried.set(this.nonce, 1);
    this.carriedBytes = CARRIED_BYTES_MAX;
  }

  /** Sets `nonce` to what a record carries. @returns where that ends @throws DatabaseError XX001 */
  read(record: Buffer, at: number): number {
    this.at = at;
    const number = this.varint(record);
    if (number === WRITTEN_OUT) {
      if (this.at + NONCE_BYTES > record.length) throw corrupted('it is cut short');
      this.filled = WRITTEN_OUT;
      this.nonce.set(record.subarray(this.at, this.at + NONCE_BYTES));
      return this.at + NONCE_BYTES;
    }
    const counter = this.varint(record);
    if (counter >= COUNTERS) throw corrupted('its nonce is none of this store');
    this.fill(number, counter);
    return this.at;
  }

  private begin(): void {
    if (this.prefixes.length === NUMBERS)
      throw new DatabaseError(SqlState.programLimitExceeded, 'the store has used up its nonces');
    this.current = this.prefixes.length;
    this.prefixes.push(Buffer.from(this.random(PREFIX_BYTES)));
    this.counter = 0;
  }

  private fill(number: number, counter: number): void {
    if (this.filled !== number) {
      const prefix = this.prefixes[number];
      if (prefix === undefined) throw corrupted('its nonce is none of this store');
      this.nonce.set(prefix);
      this.filled = number;
    }
    this.nonce[PREFIX_BYTES] = Math.floor(counter / 0x1_0000_0000);
    this.nonce.writeUInt32BE(counter >>> 0, PREFIX_BYTES + 1);
  }

  private put(value: number, at: number): number {
    let [rest, end] = [value, at];
    for (; rest >= 128; rest = Math.floor(rest / 128)) this.carried[end++] = (rest % 128) | 128;
    this.carried[end++] = rest;
    return end;
  }

  private varint(record: Buffer): number {
    let value = 0;
    for (let scale = 1; scale < 2 ** 49; scale *= 128) {
      const byte = record[this.at++];
      if (byte === undefined) break;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    throw corrupted('it is cut short');
  }
}

export function corrupted(why: string): DatabaseError {
  return new DatabaseError(SqlState.dataCorrupted, `a stored record does not authenticate: ${why}`);
}
