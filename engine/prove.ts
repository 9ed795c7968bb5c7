import type { Checkpoint } from './checkpoint.js';
import { formatUuid } from './commit/appended.js';
import { DatabaseError, SqlState } from './errors.js';
import { payloadText, saltOf } from './hashes.js';
import { inclusionPath } from './proofs/merkle.js';
import type { EventProof } from './proofs/verifier.js';
import type { Head, Repository, StoredEvent } from './repository.js';
import { leafOf } from './rows.js';
import type { StoreTree } from './storeTree.js';
import { GrowingTree } from './tree.js';

function hex(hashes: readonly Uint8Array[]): string[] {
  return hashes.map((hash) => Buffer.from(hash).toString('hex'));
}

/** Hashes of the subtrees RFC 6962's recursion asks for, over leaves in memory. */
function leafRange(leaves: readonly Buffer[]): (start: number, end: number) => Promise<Buffer> {
  return (start, end) => {
    const tree = new GrowingTree();
    for (let i = start; i < end; i++) tree.add(leaves[i] ?? Buffer.alloc(32));
    return Promise.resolve(Buffer.from(tree.root()));
  };
}

/**
 * The proof that an event is in the store a checkpoint signs. Reads the aggregate's events up to the version.
 * @throws DatabaseError 42704 when there is no such version, XX001 when an event cannot be read
 */
export async function proveEvent(
  repository: Repository,
  tree: StoreTree,
  checkpoint: Checkpoint,
  head: Head,
  version: bigint,
): Promise<{ readonly proof: EventProof; readonly eventHash: string }> {
  const n = Number(version);
  if (n < 1 || n > head.version)
    throw new DatabaseError(SqlState.undefinedObject, `version ${version} does not exist`, {
      detail: `The aggregate is at version ${head.version}.`,
    });
  const leaves: Buffer[] = [];
  let event: StoredEvent | null = null;
  for await (const stored of repository.scanEvents(head, 1, n)) {
    leaves.push(leafOf(stored));
    event = stored;
  }
  if (event === null || leaves.length !== n)
    throw new DatabaseError(SqlState.dataCorrupted, 'an event is missing');
  const range = leafRange(leaves);
  const proof: EventProof = {
    event: {
      aggregateType: event.type,
      aggregateId: event.id,
      version: String(event.version),
      eventId: formatUuid(event.eventId),
      eventType: event.eventType,
      actor: event.actor,
      recordedAt: String(event.recordedAt),
      metadata: event.metadata,
      payload: payloadText(event.fields),
      salt: saltOf(event.key, event.version).toString('hex'),
    },
    position: String(event.position),
    aggregateRoot: (await range(0, n)).toString('hex'),
    aggregateProof: hex(await inclusionPath(range, n - 1, 0, n)),
    storeProof: hex(await tree.inclusion(event.position - 1, checkpoint.size)),
    checkpoint: checkpoint.note,
  };
  return { proof, eventHash: leafOf(event).toString('hex') };
}
