import type { Duplex } from 'node:stream';

/** Something whose bytes are not known yet: what an append answers once its implicit transaction has committed. */
export interface HeldAnswer {
  readonly answer: symbol;
}

const FLUSH_BYTES = 64 * 1024;

/**
 * What goes to the client, gathered so that one answer is one write. While an answer is held back, everything behind it
 * waits too, so that the order never changes.
 */
export class Output {
  private chunks: Buffer[] = [];
  private size = 0;
  private held: (Buffer | HeldAnswer)[] | null = null;
  private drain: Promise<void> | null = null;

  constructor(private stream: Duplex) {}

  /** After TLS took over the socket. */
  use(stream: Duplex): void {
    this.stream = stream;
  }

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

  /** Puts the held answers in their places. `resolve` returning null ends the output there (the rest is dropped). */
  settle(resolve: (answer: HeldAnswer) => readonly Buffer[] | null): void {
    const held = this.held ?? [];
    this.held = null;
    for (const item of held) {
      if (Buffer.isBuffer(item)) {
        this.write(item);
        continue;
      }
      const chunks = resolve(item);
      if (chunks === null) return;
      for (const chunk of chunks) this.write(chunk);
    }
  }

  /** Hands everything that is not held to the socket, in one write. */
  flush(): void {
    if (this.size === 0) return;
    const bytes =
      this.chunks.length === 1 ? (this.chunks[0] ?? Buffer.alloc(0)) : Buffer.concat(this.chunks, this.size);
    this.chunks = [];
    this.size = 0;
    if (this.stream.destroyed) return;
    if (!this.stream.write(bytes)) this.drain ??= this.waitForDrain();
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
