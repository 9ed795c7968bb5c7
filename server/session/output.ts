import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** Something whose bytes are not known yet: what an append answers once its implicit transaction has committed. */
export interface HeldAnswer {
  /** Tells them from the bytes that wait behind them. */
  readonly kind: 'held';
}

const FLUSH_BYTES = 64 * 1024;
const SCRATCH_BYTES = 16 * 1024;

/** Where short answers are put together: free again once the kernel has taken them, which most often it does at once. */
let scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);

/**
 * What goes to the client, gathered so that one answer is one write. While an answer is held back, everything behind it
 * waits too, so that the order never changes.
 */
export class Output {
  private chunks: Buffer[] = [];
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
    if (this.held !== null) {
      this.held.push(chunk);
      return;
    }
    this.chunks.push(chunk);
    this.size += chunk.length;
    if (this.size >= FLUSH_BYTES) this.flush();
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
    const { size, stream } = this;
    if (size === 0) return;
    // Behind bytes that wait already it would wait too, so it must not keep more memory than it needs.
    const isQuick = this.isPlain && size <= SCRATCH_BYTES && stream.writableLength === 0;
    const bytes = isQuick ? this.inScratch() : this.inOne();
    this.chunks.length = 0;
    this.size = 0;
    if (stream.destroyed) return;
    const keepsUp = stream.write(bytes);
    if (isQuick && stream.writableLength > 0) scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
    if (!keepsUp) this.drain ??= this.waitForDrain();
  }

  private inOne(): Buffer {
    const [first] = this.chunks;
    // What the read model sends in large pieces is not copied once more.
    return first !== undefined && this.chunks.length === 1 ? first : Buffer.concat(this.chunks, this.size);
  }

  private inScratch(): Buffer {
    let at = 0;
    for (const chunk of this.chunks) {
      scratch.set(chunk, at);
      at += chunk.length;
    }
    return scratch.subarray(0, at);
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
