/** Scans the store as far as it is sound: here, or in threads of their own. */
import { aggsWith, typePrefix, type AggRange } from '../codec/keys.js';
import type { Repository } from '../repository.js';
import type { TotalOrder } from './order.js';
import type { Limits } from './recompute.js';
import { scanSlices, type Scanned } from './scan.js';
import { ScanThread } from './scanThread.js';
import { slicesOfAll, slicesOfType } from './slices.js';

export interface StoreScan {
  readonly repository: Repository;
  /** Gets the marks of the events that are sound. */
  readonly order: TotalOrder;
  readonly limits: () => Limits;
  /** The number of the only type to scan; null: all. */
  readonly type: number | null;
  /** The numbers of all types, ascending. */
  readonly types: readonly number[];
  /** Beside this one; 0: none. */
  readonly threads: number;
  /** Aborted when anything fails, so that all threads end. */
  readonly stop: AbortController;
  /** Is not called again before it has resolved, by any one thread. */
  readonly take: (scanned: readonly Scanned[]) => Promise<void>;
}

export async function scanStore(scan: StoreScan): Promise<void> {
  const { repository, type, types, threads, stop } = scan;
  const { directory } = repository.store;
  if (threads === 0 || directory === null)
    return scanHere(scan, [aggsWith(type === null ? Buffer.alloc(0) : typePrefix(type))]);
  const parts = type === null ? slicesOfAll(types, threads) : slicesOfType(type, threads);
  const scans = parts.map((slices) =>
    scanInThread(scan, directory, slices).catch((error: unknown) => {
      stop.abort(error);
    }),
  );
  await Promise.all(scans);
  stop.signal.throwIfAborted();
}

async function scanHere(
  { repository, order, limits, stop: { signal }, take }: StoreScan,
  slices: readonly AggRange[],
): Promise<void> {
  for await (const scanned of scanSlices(repository, slices, { order, limits, signal })) await take(scanned);
}

async function scanInThread(scan: StoreScan, directory: string, slices: readonly AggRange[]): Promise<void> {
  const { repository, order, limits, stop, take } = scan;
  const { size, memory } = order;
  const thread = new ScanThread({ directory, keys: repository.plainKeys(), slices, size, memory });
  try {
    // Table files may go away while they are being opened there.
    if (!(await thread.open())) return await scanHere(scan, slices);
    for await (const scanned of thread.scanned(limits().newest)) {
      stop.signal.throwIfAborted();
      await take(scanned);
    }
  } finally {
    thread.end();
  }
}
