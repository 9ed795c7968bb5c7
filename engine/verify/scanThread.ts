/** A thread that verifies some slices of a store, which it opens for itself to read. */
import { parentPort, workerData } from 'node:worker_threads';
import { SealKey } from '../crypto/seal.js';
import { Repository } from '../repository.js';
import { RocksStore } from '../store/rocksdb.js';
import { WriteBehindStore } from '../store/writeBehind.js';
import { TotalOrder } from './order.js';
import { scanAggregates } from './scan.js';
import type { FromScan, PlainScanned, ScanJob, ToScan } from './scanMessages.js';

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
  await repository.dictionary.load();
  return repository;
}

async function* scan(
  repository: Repository,
  { slices, size, memory }: ScanJob,
  newest: number,
): AsyncGenerator<PlainScanned[]> {
  const order = new TotalOrder(size, memory);
  const limits = { verified: size, newest };
  for (const slice of slices) {
    const scanned = scanAggregates(repository, slice, {
      check: (event, leaf) => order.confirms(event, leaf),
      limits: () => limits,
      signal: undefined,
    });
    for await (const some of scanned)
      yield some.map(({ agg, state }) => ({ agg: agg.toString('latin1'), state }));
  }
}

async function serve(job: ScanJob): Promise<void> {
  const repository = await open(job);
  let scanning: AsyncGenerator<PlainScanned[]> | null = null;
  parentPort?.on('message', (message: ToScan) => {
    void answer(message);
  });
  // A generator does what it is asked for one after the other, so the answers are in order.
  const answer = async (message: ToScan): Promise<void> => {
    switch (message.kind) {
      case 'begin':
        scanning = scan(repository, job, message.newest);
        return;
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
  send({ kind: 'failed', reason: error instanceof Error ? error.message : String(error) });
});
