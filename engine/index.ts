/** Opens a store in a directory: `keyring.json`, `checkpoint`, `log/` (commit log) and `store/` (RocksDB). */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { openKeyring, type StoreKeys } from './crypto/keyring.js';
import type { Clock } from './commit/loop.js';
import { Engine } from './engine.js';
import type { CommitLog } from './log/log.js';
import { openSegmentLog } from './log/segments.js';
import { RocksStore } from './store/rocksdb.js';

export {
  createKeyring,
  keyringExists,
  openKeyring,
  parseKey,
  storeIdOf,
  type StoreKeys,
} from './crypto/keyring.js';
export { Engine } from './engine.js';
export { DatabaseError, SqlState } from './errors.js';
export type * from './types.js';

export interface OpenOptions extends StoreKeys {
  readonly directory: string;
  /** Size of a commit log segment in bytes; default 16 MiB. */
  readonly segmentBytes?: number;
  readonly clock?: Clock;
  readonly onError?: (error: unknown) => void;
}

/**
 * Opens the store of a directory that `createKeyring` prepared.
 * @throws DatabaseError F0000 (no store, unknown format), 28P01 (wrong key), 55006 (open elsewhere), XX001 (damage)
 */
export async function openEngine(options: OpenOptions): Promise<Engine> {
  const { directory } = options;
  const keyring = openKeyring(directory, options);
  const storeDirectory = join(directory, 'store');
  const logDirectory = join(directory, 'log');
  for (const path of [storeDirectory, logDirectory]) mkdirSync(path, { recursive: true, mode: 0o700 });
  // RocksDB's lock comes first: nothing else is touched while another process has the store.
  const store = await RocksStore.open(storeDirectory);
  let log: CommitLog | null = null;
  try {
    log = await openSegmentLog({
      directory: logDirectory,
      key: keyring.logKey,
      storeId: keyring.storeId,
      ...(options.segmentBytes === undefined ? {} : { segmentBytes: options.segmentBytes }),
    });
    return await Engine.open({
      store,
      log,
      keyring,
      directory,
      ...(options.clock === undefined ? {} : { clock: options.clock }),
      ...(options.onError === undefined ? {} : { onError: options.onError }),
    });
  } catch (error) {
    await log?.close();
    await store.close();
    throw error;
  }
}
