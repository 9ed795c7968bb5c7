/** A thread that verifies some slices of a store, which it opens for itself to read. */
import { parentPort, workerData } from 'node:worker_threads';
import { SealKey } from '../crypto/seal.js';
import { DatabaseError } from '../errors.js';
import { Repository } from '../repository.js';
import { RocksStore } from '../store/rocksdb.js';
import { WriteBehindStore } from '../store/writeBehind.js';
import { TotalOrder } from './order.js';
import { scanSlices, type Scanned } from './scan.js';
import type { FromScan, ScanJob, ToScan } from './scanMessages.js';

function send(message: FromScan): void {
  parentPort?.postMessage(message);
}

async function open({ directory, keys }: ScanJob): Promise<Repository> {
  const ring = new Map(keys.ring.map(([id, bytes]) => [id, new SealKey(id, bytes)]));
  const [currentDataKey] = ring.values();
  if (currentDataKey === undefined) throw new Error('a store has a data key');
  const store = new WriteBehindStore(await RocksStore.openToRead(directory));
  const repository = new Repository(store, {
    storeId: Buffer.from(keys.storeId),
    indexKey: Buffer.from(keys.indexKey),
    ring,
    currentDataKey,
  });
  try {
    await repository.dictionary.load();
  } catch (error) {
    // Open, it would keep this thread.
    await store.close();
    throw error;
  }
  return repository;
}

async function serve(job: ScanJob): Promise<void> {
  const { slices, size, memory } = job;
  const repository = await open(job);
  let scanning: AsyncGenerator<Scanned[]> | null = null;
  parentPort?.on('message', (message: ToScan) => {
    void answer(message);
  });
  // A generator does what it is asked for one after the other, so the answers are in order.
  const answer = async (message: ToScan): Promise<void> => {
    switch (message.kind) {
      case 'begin': {
        const limits = { verified: size, newest: message.newest };
        scanning = scanSlices(repository, slices, {
          order: new TotalOrder(size, memory),
          limits: () => limits,
          signal: undefined,
        });
        return;
      }
      case 'next': {
        const step = await scanning?.next();
        send(step?.done === false ? { kind: 'scanned', scanned: step.value } : { kind: 'ended' });
        return;
      }
      case 'end':
        await scanning?.return(undefined);
        await repository.store.close();
        parentPort?.close();
    }
  };
  send({ kind: 'opened' });
}

await serve(workerData as ScanJob).catch((error: unknown) => {
  // Anything else is no matter of the store, and ends the verification.
  if (!(error instanceof DatabaseError)) throw error;
  send({ kind: 'failed' });
});
