import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Keep } from '../relay/reusingSocket.js';

/** Something whose bytes are not known yet: what an append answers once its implicit transaction has committed. */
export interface HeldAnswer {
  /** Tells them from the bytes that wait behind them. */
  readonly kind: 'held';
}

/** What is gathered before it is written; larger pieces are written as they are. */
const GATHERED_BYTES = 64 * 1024;
/** Borrowed bytes from so many on are rather kept for a while than copied. */
const KEPT_BYTES = 16 * 1024;

/** Most answers are no longer: of appends that wait for a sync, every client has one begun. */
const SHORT_BYTES = 4 * 1024;
const SHORT_SPARE_MAX = 256;
const SPARE_MAX = 16;

/** Where answers are put together. One is free again once the kernel has taken it, which most often it does at once. */
const spare: Buffer[] = [];
const shortSpare: Buffer[] = [];

function take(bytes: number): Buffer {
  if (bytes > SHORT_BYTES) return spare.pop() ?? Buffer.allocUnsafeSlow(GATHERED_BYTES);
  return shortSpare.pop() ?? Buffer.allocUnsafeSlow(SHORT_BYTES);
}

function giveBack(buffer: Buffer): void {
  const isShort = buffer.length === SHORT_BYTES;
  const others = isShort ? shortSpare : spare;
  if (others.length < (isShort ? SHORT_SPARE_MAX : SPARE_MAX)) others.push(buffer);
}

/**
 * What goes to the client, gathered so that one answer is one write. While an answer is held back, everything behind it
 * waits too, so that the order never changes.
 */
export class Output {
  private gathered: Buffer | null = null;
  private size = 0;
  private held: (Buffer | HeldAnswer)[] | null = null;
  private drain: Promise<void> | null = null;
  /** The stream hands bytes to the kernel as they are, and is done with them then. */
  private isPlain: boolean;

  constructor(private stream: Duplex) {
    this.isPlain = stream instanceof Socket;
  }

  /** After TLS took over the socket. */
  use(stream: Duplex): void {
    this.stream = stream;
    this.isPlain = false;
  }

  /** @param chunk must not change any more */
  write(chunk: Buffer): void {
    if (this.held !== null) this.held.push(chunk);
    else if (chunk.length <= GATHERED_BYTES) this.gather(chunk);
    else {
      this.flush();
      this.send(chunk);
    }
  }

  /** As `write`, of bytes that change after the call unless they are kept. */
  pass(chunk: Buffer, keep: Keep): void {
    if (this.held !== null) this.held.push(Buffer.from(chunk));
    else if (chunk.length < KEPT_BYTES) this.gather(chunk);
    else {
      this.flush();
      let done: (() => void) | null = null;
      // Called later in any case.
      if (!this.send(chunk, () => done?.())) done = keep();
    }
  }

  /** Holds a place in the order, and everything behind it, until `settle`. */
  hold(answer: HeldAnswer): void {
    (this.held ??= []).push(answer);
  }

  get holding(): boolean {
    return this.held !== null;
  }

  /** Puts the held answers in their places, in order. `next` returning null ends the output there (the rest is dropped). */
  settle(next: () => readonly Buffer[] | null): void {
    const { held } = this;
    if (held === null) return;
    this.held = null;
    for (const item of held) {
      if (Buffer.isBuffer(item)) {
        this.write(item);
        continue;
      }
      const chunks = next();
      if (chunks === null) return;
      for (const chunk of chunks) this.write(chunk);
    }
  }

  /** Hands everything that is not held to the socket, in one write. */
  flush(): void {
    const { gathered, size, stream } = this;
    if (gathered === null) return;
    this.gathered = null;
    this.size = 0;
    const bytes = gathered.subarray(0, size);
    // Behind bytes that wait already it would wait too, so it must not keep more memory than it needs.
    const isQuick = this.isPlain && stream.writableLength === 0;
    const isFree = isQuick ? this.send(bytes) : (this.send(Buffer.from(bytes)), true);
    if (isFree) giveBack(gathered);
  }

  private gather(chunk: Buffer): void {
    if (this.size + chunk.length > GATHERED_BYTES) this.flush();
    this.room(this.size + chunk.length).set(chunk, this.size);
    this.size += chunk.length;
  }

  /** What is gathered, in memory for so many bytes. */
  private room(bytes: number): Buffer {
    const { gathered } = this;
    if (gathered !== null && bytes <= gathered.length) return gathered;
    const buffer = take(bytes);
    if (gathered !== null) {
      buffer.set(gathered.subarray(0, this.size));
      giveBack(gathered);
    }
    this.gathered = buffer;
    return buffer;
  }

  /** @returns true when the bytes are needed no longer, else they are until `written` is called */
  private send(bytes: Buffer, written?: () => void): boolean {
    const { stream } = this;
    if (stream.destroyed) return true;
    const keepsUp = stream.write(bytes, written);
    const isGone = this.isPlain && stream.writableLength === 0;
    if (!keepsUp && !isGone) this.drain ??= this.waitForDrain();
    return isGone;
  }

  /** null while the client keeps up; otherwise resolves when it has caught up or gone. */
  get backlog(): Promise<void> | null {
    return this.drain;
  }

  private waitForDrain(): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.stream.off('drain', done);
        this.stream.off('close', done);
        this.drain = null;
        resolve();
      };
      this.stream.on('drain', done);
      this.stream.on('close', done);
    });
  }
}
