import { fdatasyncSync, writeSync } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';

/** null: it was done within the call; then there is nothing to wait for. Failures of that kind are thrown. */
export type Done = Promise<void> | null;

/** A file of the log, open for writing. */
export interface LogFile {
  /** Writes all of it at this offset. */
  write(data: Uint8Array, position: number): Done;
  /** fdatasync: a preallocated file has no size to change, so this writes no metadata. */
  sync(): Done;
  close(): Promise<void>;
}

/** Where the log's files come from; tests put failing disks and crashes behind it. */
export interface LogFiles {
  open(path: string, mode: 'create' | 'existing'): Promise<LogFile>;
}

/**
 * Up to here a write goes into the page cache at once, and may be synced directly: that takes less than the way to
 * another thread and back. In the running server 1 / 8 / 64 clients appended 1,420 / 4,170 / 8,400 a second so, and
 * 1,290 / 3,770 / 8,000 the other way.
 */
const DIRECT_BYTES = 256 * 1024;

/**
 * A sync that takes less than this is made directly. The way to another thread and back costs about 0.1 ms; and with
 * few clients all that arrive during a direct sync share the next one: 8 clients made 0.14 syncs and took 184 µs of CPU
 * per append, 0.24 and 284 µs the other way. The rates of 64 differ by less than the noise.
 */
const QUICK_SYNC_MS = 1;
/** Syncs made in another thread after a slow one, before the disk is tried directly again: at first, and at most. */
const PATIENCE = { first: 4, most: 1024 };

/**
 * Syncs directly as long as the disk answers quickly, so that nothing else could be done meanwhile anyway; in another
 * thread after it did not. With every further slow answer it is left alone for longer, so that one hiccup costs little
 * and a slow disk hardly ever stops the sessions. Only direct syncs tell how quick the disk is: what another thread
 * took holds the way there and whatever this thread was busy with.
 */
export class SyncPace {
  #elsewhere = 0;
  #patience = PATIENCE.first;
  readonly #now: () => number;

  /** @param now milliseconds */
  constructor(now = (): number => performance.now()) {
    this.#now = now;
  }

  /** @param direct syncs now @param away syncs in another thread */
  sync(direct: () => void, away: () => Promise<void>): Done {
    if (this.#elsewhere > 0) {
      this.#elsewhere -= 1;
      return away();
    }
    const start = this.#now();
    direct();
    if (this.#now() - start < QUICK_SYNC_MS) {
      this.#patience = Math.max(PATIENCE.first, this.#patience / 2);
    } else {
      this.#elsewhere = this.#patience;
      this.#patience = Math.min(PATIENCE.most, this.#patience * 2);
    }
    return null;
  }
}

/** One for the process: it is about the disk. */
const pace = new SyncPace();

/*
 * Measured for 1 KiB writes, each synced, on ext4: write and fdatasync from JavaScript take 121 µs, a write to a file
 * opened with O_DSYNC takes 120, and O_DIRECT gains nothing either; on another machine O_DIRECT with O_DSYNC took 3 to
 * 10 % less, for aligned memory, a second descriptor and a way back. The disk decides; the plainest is used.
 */
export const nodeFiles: LogFiles = {
  async open(path, mode) {
    const handle = await open(path, mode === 'create' ? 'w' : 'r+');
    let unsynced = 0;
    return {
      write(data, position) {
        unsynced += data.length;
        if (data.length > DIRECT_BYTES) return writeAll(handle, data, position);
        for (let done = 0; done < data.length;)
          done += writeSync(handle.fd, data, done, data.length - done, position + done);
        return null;
      },
      sync() {
        const much = unsynced > DIRECT_BYTES;
        unsynced = 0;
        if (much) return handle.datasync();
        return pace.sync(
          () => fdatasyncSync(handle.fd),
          () => handle.datasync(),
        );
      },
      close: () => handle.close(),
    };
  },
};

async function writeAll(handle: FileHandle, data: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < data.length;) {
    const { bytesWritten } = await handle.write(data, done, data.length - done, position + done);
    done += bytesWritten;
  }
}

/** Makes new, renamed and removed names durable. Windows has no such call and needs none. */
export async function syncDirectory(directory: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
