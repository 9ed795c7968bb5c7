/**
 * Lends the descriptors of accepted sockets to other threads.
 *
 * Node gives a socket to another process, but not to another thread. Threads share the descriptors of their process,
 * though: the number of one is enough to open it there. What has to be solved is the end. The borrower closes the
 * descriptor, for only that ends the connection; the handle that accepted it still believes to own the number, and
 * if it were closed as well, it might close whatever has been given that number since. So a lent handle is closed
 * only when its number is known to be ours: we open /dev/null until the system, which gives out the lowest free
 * number, gives us that one. Handles whose number is taken wait until it is free again.
 */
import { closeSync, fstatSync, openSync } from 'node:fs';
import type { Socket } from 'node:net';
import { devNull } from 'node:os';
import { handleOf } from '../socketHandle.js';

/** Numbers tried in one go; others wait for the next. */
const ATTEMPTS = 64;
const RETRY_MS = 1000;

export interface Lent {
  readonly socket: Socket;
  readonly fd: number;
  /** Tells the socket from whatever has its number later. */
  readonly inode: bigint;
}

/** Takes the number of an accepted, paused socket. Null when it has none any more. */
export function lend(socket: Socket): Lent | null {
  const fd = handleOf(socket)?.fd ?? -1;
  return fd < 0 ? null : { socket, fd, inode: fstatSync(fd, { bigint: true }).ino };
}

/** The handles whose descriptors were closed by their borrowers. */
export class Returned {
  private readonly byNumber = new Map<number, Socket[]>();
  private timer: NodeJS.Timeout | null = null;

  /** How many handles still wait for their number. */
  get size(): number {
    let size = 0;
    for (const sockets of this.byNumber.values()) size += sockets.length;
    return size;
  }

  /** The borrower has closed the descriptor. */
  add({ socket, fd }: Lent): void {
    const same = this.byNumber.get(fd);
    if (same === undefined) this.byNumber.set(fd, [socket]);
    else same.push(socket);
    this.settle(fd);
  }

  /** The borrower ended in whatever way: the descriptor may be open still, if it was never taken over. */
  addUnsure(lent: Lent): void {
    if (inodeOf(lent.fd) === lent.inode) lent.socket.destroy();
    else this.add(lent);
  }

  private settle(upTo: number): void {
    const others: number[] = [];
    for (let attempt = 0; attempt < ATTEMPTS && this.byNumber.size > 0; attempt++) {
      const fd = openSync(devNull, 'r');
      const sockets = this.byNumber.get(fd);
      if (sockets === undefined) others.push(fd);
      // Closes the number that we have just opened.
      else sockets.pop()?.destroy();
      if (sockets?.length === 0) this.byNumber.delete(fd);
      if (fd > upTo) break;
    }
    for (const fd of others) closeSync(fd);
    if (this.byNumber.size === 0) return;
    this.timer ??= setTimeout(() => {
      this.timer = null;
      this.settle(Math.max(...this.byNumber.keys()));
    }, RETRY_MS).unref();
  }
}

function inodeOf(fd: number): bigint | null {
  try {
    return fstatSync(fd, { bigint: true }).ino;
  } catch {
    return null;
  }
}
