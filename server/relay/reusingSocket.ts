/**
 * A socket to the read model that reads into buffers which are used again. Node alone makes a new one of 64 KB for each
 * read, however little comes, and passes it on through a stream.
 */
import { Socket } from 'node:net';

/** As much as Linux holds for a Unix socket whose other end does not read yet, so one read takes it all. */
export const READ_BUFFER_BYTES = 256 * 1024;
/** Buffers that wait for the next connection or the next slow client. */
const SPARE_MAX = 16;

/** Asks for bytes to stay as they are after the call that gave them; to be told when they are no longer needed. */
export type Keep = () => () => void;

/**
 * Takes what was read, which changes after the call unless it is kept.
 * @returns how many of the last bytes are to come again, in front of what is read next: a message that has only begun
 */
export type Receiver = (bytes: Buffer, keep: Keep) => number;

interface ReadBuffer {
  readonly bytes: Buffer;
  /** The socket that reads into it, and whoever keeps something of it. */
  users: number;
}

const spare: ReadBuffer[] = [];

function take(): ReadBuffer {
  const buffer = spare.pop() ?? { bytes: Buffer.allocUnsafeSlow(READ_BUFFER_BYTES), users: 0 };
  buffer.users = 1;
  return buffer;
}

function release(buffer: ReadBuffer): void {
  buffer.users--;
  if (buffer.users === 0 && spare.length < SPARE_MAX) spare.push(buffer);
}

export class ReusingSocket {
  readonly socket: Socket;
  private buffer = take();
  /** Bytes at the buffer's start that come again; the next read goes behind them. */
  private again = 0;
  private closed = false;

  constructor(private receiver: Receiver) {
    const options = {
      allowHalfOpen: false,
      onread: {
        buffer: () => this.next(),
        callback: (size: number) => {
          this.receive(size);
          return true;
        },
      },
    };
    this.socket = new Socket(options);
  }

  /** From now on what is read goes there. */
  listen(receiver: Receiver): void {
    this.receiver = receiver;
    this.socket.once('close', () => {
      if (!this.closed) release(this.buffer);
      this.closed = true;
    });
  }

  private readonly keep: Keep = () => {
    const { buffer } = this;
    buffer.users++;
    return () => release(buffer);
  };

  private receive(size: number): void {
    const { buffer } = this;
    const end = this.again + size;
    const again = this.receiver(buffer.bytes.subarray(0, end), this.keep);
    if (buffer.users > 1) this.buffer = take();
    if (again > 0) buffer.bytes.copy(this.buffer.bytes, 0, end - again, end);
    if (buffer !== this.buffer) release(buffer);
    this.again = again;
  }

  /** Where the next read goes to. */
  private next(): Buffer {
    const { bytes } = this.buffer;
    return this.again === 0 ? bytes : bytes.subarray(this.again);
  }
}
