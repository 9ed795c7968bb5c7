import type { Checkpoints } from '../checkpoint.js';
import type { Progress } from '../codec/records.js';
import type { Head, Repository, StoredEvent } from '../repository.js';
import type { StoreTree } from '../storeTree.js';
import { frontierRoot } from '../tree.js';
import { entryFault, verifyAggregate } from './aggregate.js';
import { fail, failReadModel, type VerifyOptions, type VerifyReport } from './verify.js';

const TILE = 256;

interface Parts {
  readonly repository: Repository;
  readonly tree: StoreTree;
  readonly checkpoints: Checkpoints;
  readonly progress: Progress;
  /** The last position there is by now: appends go on meanwhile. */
  readonly newest: () => number;
}

/**
 * Verifies one aggregate: its events, the entries of the total order, every node of the store tree above them, the
 * root, and the newest signed checkpoint. Cost follows the aggregate, not the store.
 * @throws DatabaseError XX001 naming the first bad version
 */
export async function verifyOne(parts: Parts, head: Head, options: VerifyOptions): Promise<VerifyReport> {
  const { repository, tree, checkpoints, progress } = parts;
  const { type, id } = head;
  const checked = new Set<number>();
  const check = async (event: StoredEvent, leaf: Buffer): Promise<string | null> => {
    options.signal?.throwIfAborted();
    const wrong = entryFault(await repository.positions.at(event.position), event, leaf);
    const tile = Math.floor((event.position - 1) / TILE);
    if (wrong !== null || checked.has(tile)) return wrong;
    checked.add(tile);
    return tree.checkPath(event.position, progress.position);
  };
  const outcome = await verifyAggregate(repository, head.agg, head.version, check, {
    verified: head.position,
    // Asked for when the head has been read: it may be of an append that came meanwhile.
    get newest() {
      return parts.newest();
    },
  });
  if ('reason' in outcome) fail({ type, id, ...outcome });
  const version = head.version.toString();
  const root = await tree.root(progress.position);
  if (!root.equals(frontierRoot(progress.frontier)))
    fail({ type, id, version, reason: "the store tree's root is not the stored one" });
  const signed = await checkpoints.latest();
  if (signed !== null && !(await tree.root(signed.size)).equals(signed.root))
    fail({ type, id, version, reason: 'the store tree is not what its newest checkpoint signed' });
  const difference = outcome.state === null ? null : await options.compare?.([outcome.state]);
  if (difference) failReadModel(difference);
  return {
    aggregates: 1,
    events: head.version,
    size: progress.position,
    root: root.toString('hex'),
    checkpoints: signed === null ? 0 : 1,
  };
}
