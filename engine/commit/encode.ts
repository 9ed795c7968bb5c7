/** Turns a staged group into the puts of one store batch. Each record is encoded and encrypted once, here. */
import { Prefix, numberKey, placeOf, tileKey } from '../codec/keys.js';
import { storeLeaf, type LogEntry, type Progress } from '../codec/records.js';
import { ByteWriter } from '../codec/bytes.js';
import type { Repository } from '../repository.js';
import type { Entry } from '../store/store.js';
import { appendLeaf, frontierRoot } from '../tree.js';
import type { Group, Staged } from './stage.js';

/** Entries per record of the total order. */
const RUN_LENGTH = 256;
/** Nodes of the store tree are kept at every eighth level. */
const TILE_LEVELS = 8;

export interface EncodedGroup {
  readonly entries: Entry[];
  readonly progress: Progress;
}

/** @param newKeys the key records of aggregates this group creates */
export function encodeGroupEntries(
  repository: Repository,
  group: Group,
  before: Progress,
  recordedAt: number,
  newKeys: readonly Entry[],
  thresholdOf: (aggregateType: string) => number,
): EncodedGroup {
  const entries: Entry[] = [...newKeys];
  let frontier = before.frontier.slice();
  let position = before.position;
  let run: Omit<LogEntry, 'position'>[] = [];
  const endRun = (): void => {
    if (run.length > 0) entries.push(repository.logEntry(position - run.length + 1, run));
    run = [];
  };
  for (const staged of group.staged) {
    entries.push(...eventEntries(repository, staged, thresholdOf(staged.header.type)));
    const { header, head } = staged;
    const leaf = storeLeaf(header.type, header.id, header.version, staged.leaf, frontierRoot(head.frontier));
    frontier = appendLeaf(frontier, position, leaf, (level, index, hash) => {
      if (level % TILE_LEVELS === 0) entries.push(repository.sealed(tileKey(level, index), hash));
    });
    position++;
    run.push({ agg: head.agg, version: header.version, recordedAt: header.recordedAt, leaf });
    if (run.length === RUN_LENGTH) endRun();
  }
  endRun();
  for (const head of group.heads.values()) entries.push(repository.headEntry(head));
  for (const [tokenId, used] of group.usage)
    entries.push(repository.sealed(repository.index.usage(tokenId), new ByteWriter(8).u64(used).result()));
  const progress = { sequence: before.sequence + 1, position, recordedAt, frontier };
  entries.push(repository.progressEntry(progress));
  return { entries, progress };
}

function eventEntries(repository: Repository, staged: Staged, threshold: number): Entry[] {
  const { header, body, head } = staged;
  const place = placeOf(head.agg, header.version);
  const entries = [
    repository.eventEntry(head.agg, head.key, header, body),
    // Not sealed: it holds the same pseudonyms as the keys, and whoever follows it checks where it leads.
    { key: repository.index.eventId(header.eventId), value: place },
  ];
  if (header.version % threshold === 0) {
    entries.push(
      repository.snapshotEntry(head.agg, head.key, header.version, {
        position: header.position,
        createdAt: head.createdAt,
        updatedAt: head.updatedAt,
        state: Buffer.from(JSON.stringify(head.state)),
      }),
    );
  }
  return entries;
}

export function checkpointKey(size: number): Buffer {
  return numberKey(Prefix.checkpoint, size);
}
