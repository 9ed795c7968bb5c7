import { open } from 'node:fs/promises';

/** A file of the log, open for writing. */
export interface LogFile {
  /** Writes all of it at this offset. */
  write(data: Uint8Array, position: number): Promise<void>;
  /** fdatasync: a preallocated file has no size to change, so this writes no metadata. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Where the log's files come from; tests put failing disks and crashes behind it. */
export interface LogFiles {
  open(path: string, mode: 'create' | 'existing'): Promise<LogFile>;
}

/*
 * Measured for 1 KiB writes, each synced, on ext4: FileHandle 5,100–5,200/s, callbacks 5,100–5,200/s, writeSync with
 * fdatasync in the thread pool 4,900–5,600/s, O_DSYNC 5,800–6,300/s. The disk decides; the plainest is used.
 */
export const nodeFiles: LogFiles = {
  async open(path, mode) {
    const handle = await open(path, mode === 'create' ? 'w' : 'r+');
    return {
      async write(data, position) {
        for (let done = 0; done < data.length;) {
          const { bytesWritten } = await handle.write(data, done, data.length - done, position + done);
          done += bytesWritten;
        }
      },
      sync: () => handle.datasync(),
      close: () => handle.close(),
    };
  },
};

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
