/** Splits a byte stream into messages, whatever the chunks it arrives in. */
import type { DatabaseError } from '../../engine/errors.js';
import { protocolViolation } from './bytes.js';
import { startupGarbage } from './garbage.js';

/** One whole message. `raw` and `body` are views of received bytes: copy what is kept for long. */
export interface Frame {
  /** The type byte; 0 for a startup packet, which has none. */
  readonly type: number;
  /** Type, length and body. */
  readonly raw: Buffer;
  readonly body: Buffer;
}

/**
 * What the stream holds now. `startup`: packets without a type byte. `authentication`: only password messages, and
 * small ones, so that nobody unknown makes us hold megabytes. `normal`: what a client sends afterwards.
 * `backend`: what a PostgreSQL server sends to us.
 */
export type FrameMode = 'startup' | 'authentication' | 'normal' | 'backend';

export interface FrameReaderOptions {
  /** Default `startup`. */
  readonly mode?: FrameMode;
  /** Largest length word accepted for messages that carry data, in bytes. Default DEFAULT_MAX_MESSAGE_BYTES. */
  readonly maxMessageBytes?: number;
}

/** 64 MiB of data and room for what surrounds it. */
export const DEFAULT_MAX_MESSAGE_BYTES = 64 * 1024 * 1024 + 64 * 1024;

const MIN_STARTUP_BYTES = 8;
const MAX_STARTUP_BYTES = 10_000;
const MAX_PASSWORD_BYTES = 65_535;
const MAX_SMALL_BYTES = 30_000;
const FIRST_CAPACITY = 512;
const PASSWORD = 0x70;

const EMPTY = Buffer.alloc(0);
/** Types whose length is bounded by `maxMessageBytes`: Query, FunctionCall, Bind, Parse, CopyData. */
const LARGE_TYPES = typeSet('QFBPd');
/** Terminate, Close, Describe, Execute, Flush, Sync, CopyDone, CopyFail. */
const SMALL_TYPES = typeSet('XCDEHScf');
const BACKEND_TYPES = typeSet('RKSZENTDC123nIsptvAGHWdcV');

function typeSet(letters: string): ReadonlySet<number> {
  return new Set(Buffer.from(letters, 'latin1'));
}

/** Most messages are looked at whole or without their header, few in both ways: a Buffer is made when asked for. */
class View implements Frame {
  constructor(
    readonly type: number,
    private readonly buffer: Buffer,
    private readonly start: number,
    private readonly end: number,
    private readonly header: number,
  ) {}

  get raw(): Buffer {
    return this.buffer.subarray(this.start, this.end);
  }

  get body(): Buffer {
    return this.buffer.subarray(this.start + this.header, this.end);
  }
}

/**
 * Bytes in with `push`, messages out with `next`. A message that lies within one chunk is a view of it; one that does
 * not is gathered in a buffer that doubles as it fills, so the work is linear however small the chunks are, and no
 * memory is reserved for bytes that were only announced. Bytes handed out are never written again.
 */
export class FrameReader {
  readonly #maxMessageBytes: number;
  #mode: FrameMode;
  #buffer: Buffer = EMPTY;
  #start = 0;
  #end = 0;
  /** `#buffer` was allocated here, so the space behind `#end` may be written. */
  #owned = false;
  /** Size of the message at `#start` once its header was read, else 0. */
  #pending = 0;

  constructor(options: FrameReaderOptions = {}) {
    this.#mode = options.mode ?? 'startup';
    this.#maxMessageBytes = options.maxMessageBytes ?? DEFAULT_MAX_MESSAGE_BYTES;
  }

  get mode(): FrameMode {
    return this.#mode;
  }

  /** Says how the bytes not consumed yet are to be read. */
  set mode(mode: FrameMode) {
    this.#mode = mode;
    this.#pending = 0;
  }

  /** Number of bytes pushed and not consumed by `next`. */
  get buffered(): number {
    return this.#end - this.#start;
  }

  /** How many bytes more the message that has begun needs, as far as its first bytes tell; 0 when none has. */
  get missing(): number {
    if (this.buffered === 0) return 0;
    const known = this.#pending > 0 ? this.#pending : this.#mode === 'startup' ? 4 : 5;
    return Math.max(0, known - this.buffered);
  }

  /** Takes ownership of the chunk: the caller must not write into it any more. */
  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    const kept = this.buffered;
    if (kept === 0) {
      this.#adopt(chunk, false);
      return;
    }
    if (!this.#owned || this.#buffer.length - this.#end < chunk.length) {
      const needed = kept + chunk.length;
      const wanted = Math.max(FIRST_CAPACITY, needed * 2);
      const capacity = this.#pending > 0 ? Math.max(needed, Math.min(wanted, this.#pending)) : wanted;
      const grown = Buffer.allocUnsafe(capacity);
      grown.set(this.#buffer.subarray(this.#start, this.#end));
      const pending = this.#pending;
      this.#adopt(grown, true);
      this.#end = kept;
      this.#pending = pending;
    }
    this.#buffer.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /**
   * The next whole message, or null until more bytes are pushed. Throws 08P01 for an impossible length or an unknown
   * type; the stream has no way back from that, so every later call throws the same.
   */
  next(): Frame | null {
    const startup = this.#mode === 'startup';
    const header = startup ? 4 : 5;
    if (this.#pending === 0) {
      if (!startup && this.buffered > 0) this.#checkType();
      if (this.buffered < header) return null;
      this.#pending = startup ? this.#startupSize() : this.#messageSize();
    }
    const size = this.#pending;
    if (this.buffered < size) return null;
    const type = startup ? 0 : (this.#buffer[this.#start] ?? 0);
    const frame = new View(type, this.#buffer, this.#start, this.#start + size, header);
    this.#start += size;
    this.#pending = 0;
    if (this.#start === this.#end) this.#adopt(EMPTY, false);
    return frame;
  }

  /** Removes the bytes not consumed yet and returns them, e.g. to hand the start of a TLS handshake on. */
  takeRest(): Buffer {
    const rest = this.#buffer.subarray(this.#start, this.#end);
    this.#adopt(EMPTY, false);
    return rest;
  }

  /** Drops the bytes not consumed yet, e.g. plaintext sent behind an SSLRequest; returns how many there were. */
  discard(): number {
    return this.takeRest().length;
  }

  #adopt(buffer: Buffer, owned: boolean): void {
    this.#buffer = buffer;
    this.#start = 0;
    this.#end = owned ? 0 : buffer.length;
    this.#owned = owned;
    this.#pending = 0;
  }

  #startupSize(): number {
    const length = this.#buffer.readUInt32BE(this.#start);
    if (length >= MIN_STARTUP_BYTES && length <= MAX_STARTUP_BYTES) return length;
    throw startupGarbage(this.#buffer.subarray(this.#start, this.#end));
  }

  /** Early, on the type byte alone: a client that speaks something else is told at once. */
  #checkType(): void {
    const type = this.#buffer.readUInt8(this.#start);
    if (this.#limit(type) === null) throw unknownType(this.#mode, type);
  }

  #limit(type: number): number | null {
    if (this.#mode === 'backend') return BACKEND_TYPES.has(type) ? this.#maxMessageBytes : null;
    if (this.#mode === 'authentication') return type === PASSWORD ? MAX_PASSWORD_BYTES : null;
    if (LARGE_TYPES.has(type)) return this.#maxMessageBytes;
    if (type === PASSWORD) return MAX_PASSWORD_BYTES;
    return SMALL_TYPES.has(type) ? MAX_SMALL_BYTES : null;
  }

  #messageSize(): number {
    const limit = this.#limit(this.#buffer.readUInt8(this.#start)) ?? 0;
    const length = this.#buffer.readUInt32BE(this.#start + 1);
    if (length < 4 || length > limit) throw protocolViolation('invalid message length');
    return 1 + length;
  }
}

function unknownType(mode: FrameMode, type: number): DatabaseError {
  if (mode === 'authentication') {
    return protocolViolation(`expected password response, got message type ${type}`);
  }
  return protocolViolation(`invalid ${mode === 'backend' ? 'backend' : 'frontend'} message type ${type}`);
}
