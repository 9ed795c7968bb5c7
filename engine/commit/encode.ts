/** Turns a staged group into the puts of one store batch. Each record is encoded and encrypted once, here. */
import { Prefix, numberKey, tileKey } from '../codec/keys.js';
import type { LogEntry, Progress } from '../codec/records.js';
import { ByteWriter } from '../codec/bytes.js';
import { storeLeaf } from '../hashes.js';
import type { Head, Repository } from '../repository.js';
import type { Entry } from '../store/store.js';
import { TILE_LEVELS } from '../tiles.js';
import { appendLeaf, frontierRoot } from '../tree.js';
import type { Group, Staged } from './stage.js';
import { TimeSlice } from './timeSlice.js';

/** Entries per record of the total order. */
const RUN_LENGTH = 256;

export interface EncodedGroup {
  readonly entries: Entry[];
  /** Each aggregate's new head, and its record among the entries. */
  readonly heads: readonly { readonly head: Head; readonly record: Buffer }[];
  readonly progress: Progress;
  /** The newest of the store tree. */
  readonly leaf: Buffer;
}

/** In slices of time: a large group takes seconds. */
export async function encodeGroupEntries(
  repository: Repository,
  group: Group,
  before: Progress,
  recordedAt: number,
): Promise<EncodedGroup> {
  const slice = new TimeSlice();
  const entries: Entry[] = [];
  let { frontier } = before;
  let position = before.position;
  let leaf: Buffer = Buffer.alloc(0);
  let run: Omit<LogEntry, 'position' | 'recordedAt'>[] = [];
  const endRun = (): void => {
    if (run.length > 0) entries.push(repository.positions.entry(position - run.length + 1, recordedAt, run));
    run = [];
  };
  for (const staged of group.staged) {
    if (slice.isOver) await slice.next();
    addEvent(repository, staged, group.catalogue.snapshotThreshold(staged.stored.type), entries);
    const { stored, head } = staged;
    leaf = storeLeaf(stored, staged.leaf, frontierRoot(head.frontier));
    frontier = appendLeaf(frontier, position, leaf, (level, index, hash) => {
      if (level % TILE_LEVELS === 0) entries.push(repository.sealed(tileKey(level, index), hash));
    });
    position++;
    run.push({ agg: head.agg, version: stored.version, leaf });
    if (run.length === RUN_LENGTH) endRun();
  }
  endRun();
  const heads: { head: Head; record: Buffer }[] = [];
  for (const head of group.heads.values()) {
    if (slice.isOver) await slice.next();
    const entry = repository.headEntry(head);
    entries.push(entry);
    heads.push({ head, record: entry.value });
  }
  for (const [tokenId, used] of group.usage)
    entries.push(repository.sealed(repository.index.usage(tokenId), new ByteWriter(8).u64(used).result()));
  const progress = { sequence: before.sequence + 1, position, recordedAt, frontier };
  entries.push(repository.progressEntry(progress), ...repository.dictionary.entries());
  return { entries, heads, progress, leaf };
}

function addEvent(repository: Repository, staged: Staged, threshold: number, entries: Entry[]): void {
  const { stored, givenId, head } = staged;
  entries.push(repository.eventEntry(stored, givenId));
  if (givenId !== null) entries.push(repository.givenIdEntry(givenId, stored.position));
  if (stored.version % threshold === 0) entries.push(repository.snapshotEntry(head, head.version, head));
}

export function checkpointKey(size: number): Buffer {
  return numberKey(Prefix.checkpoint, size);
}
