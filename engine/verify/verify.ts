/**
 * CALL verify: re-reads and re-hashes what is stored, bottom up: bytes → commit → leaf → aggregate root → store root
 * → every signed checkpoint; then holds heads, snapshots and the read model's rows against the fold. Nothing that is
 * compared is taken from where it is compared with.
 */
import { AGG_BYTES, Prefix, tileKey, versionKey } from '../codec/keys.js';
import type { LogEntry } from '../codec/records.js';
import type { Checkpoints } from '../checkpoint.js';
import { isInternalType } from '../catalogue.js';
import { DatabaseError, SqlState } from '../errors.js';
import type { Head, Repository, StoredEvent } from '../repository.js';
import { appendLeaf, frontierRoot, type Frontier } from '../tree.js';
import type { Progress } from '../codec/records.js';
import type { StateRow } from '../types.js';
import { entryFault, verifyAggregate, type Failure } from './aggregate.js';
import { scanAggregates } from './scan.js';

const READ_MODEL_BATCH = 500;
/** leaf(32) ‖ agg(20) ‖ version(8) ‖ time(8) */
const ENTRY_BYTES = 32 + AGG_BYTES + 16;
/** Aggregates read at the same time. */
const CONCURRENT = 16;

export interface VerifyReport {
  readonly aggregates: number;
  readonly events: number;
  /** Size of the store tree that was recomputed. */
  readonly size: number;
  /** Its root, hex. */
  readonly root: string;
  /** Signed checkpoints that were held against it. */
  readonly checkpoints: number;
}

export interface VerifyOptions {
  readonly signal?: AbortSignal;
  /** Compares folded states with the read model; returns the first that differs. */
  readonly compare?: (states: readonly StateRow[]) => Promise<{ state: StateRow; reason: string } | null>;
}

/** @throws DatabaseError XX001 whose detail names aggregate, id and first bad version */
export function fail(failure: Failure): never {
  const { type, id, version, reason } = failure;
  throw new DatabaseError(SqlState.dataCorrupted, 'verification failed', {
    detail: `aggregate "${type}", id "${id}", version ${version}: ${reason}`,
    hint: 'The data on disk is not what was written. Keep it as evidence and restore from a copy.',
  });
}

/** Verifies the whole store, or all aggregates of one type (then the store tree as well, since it spans types). */
export class StoreVerifier {
  /** The total order as read: leaf, agg, version and time of each position. */
  private order: Buffer = Buffer.alloc(0);
  private readonly lastVersions = new Map<string, number>();
  private folded: StateRow[] = [];

  constructor(
    private readonly repository: Repository,
    private readonly checkpoints: Checkpoints,
    private readonly progress: Progress,
    private readonly options: VerifyOptions,
  ) {}

  /** @param typePrefix only aggregates whose agg starts with these bytes */
  async run(typePrefix: Buffer): Promise<VerifyReport> {
    await this.readLog();
    const wanted = [...this.lastVersions].filter(([name]) => name.startsWith(typePrefix.toString('latin1')));
    const events = wanted.reduce((sum, [, last]) => sum + last, 0);
    const left = await this.verifyByScan(typePrefix, new Map(wanted));
    for (const group of groupsOf(left)) {
      this.options.signal?.throwIfAborted();
      const outcomes = await Promise.all(
        group.map(({ agg, last }) => verifyAggregate(this.repository, agg, last, this.check)),
      );
      for (const outcome of outcomes) {
        if ('reason' in outcome) fail(outcome);
        await this.fold(outcome.state);
      }
    }
    await this.compareFolded();
    const checked = await this.verifyTree();
    return {
      aggregates: wanted.length,
      events,
      size: this.progress.position,
      root: frontierRoot(this.progress.frontier).toString('hex'),
      checkpoints: checked,
    };
  }

  private readonly check = (event: StoredEvent, leaf: Buffer): string | null =>
    entryFault(this.entryAt(event.position), event, leaf);

  /** Verifies what is sound in one pass. @returns the aggregates that have to be looked at one by one */
  private async verifyByScan(
    typePrefix: Buffer,
    wanted: Map<string, number>,
  ): Promise<ReadonlyMap<string, number>> {
    const options = {
      last: (agg: Buffer) => wanted.get(agg.toString('latin1')),
      check: this.check,
      signal: this.options.signal,
    };
    for await (const { agg, state } of scanAggregates(this.repository, typePrefix, options)) {
      if (state === null) continue;
      wanted.delete(agg.toString('latin1'));
      await this.fold(state);
    }
    return wanted;
  }

  private async fold(state: StateRow): Promise<void> {
    if (isInternalType(state.aggregateType)) return;
    this.folded.push(state);
    if (this.folded.length >= READ_MODEL_BATCH) await this.compareFolded();
  }

  private async compareFolded(): Promise<void> {
    const states = this.folded;
    this.folded = [];
    const difference = states.length > 0 ? await this.options.compare?.(states) : null;
    if (difference === null || difference === undefined) return;
    const { state, reason } = difference;
    fail({ type: state.aggregateType, id: state.aggregateId, version: state.version.toString(), reason });
  }

  private entryAt(position: number): LogEntry | null {
    if (position < 1 || position > this.progress.position) return null;
    const at = (position - 1) * ENTRY_BYTES;
    const [version, recordedAt] = [at + 32 + AGG_BYTES, at + 40 + AGG_BYTES];
    if (this.order.readDoubleBE(version) === 0) return null;
    return {
      position,
      leaf: this.leaf(position),
      agg: this.order.subarray(at + 32, version),
      version: this.order.readDoubleBE(version),
      recordedAt: this.order.readDoubleBE(recordedAt),
    };
  }

  private leaf(position: number): Buffer {
    const at = (position - 1) * ENTRY_BYTES;
    return this.order.subarray(at, at + 32);
  }

  /** Collects the whole total order (68 bytes a position) and every aggregate's last version. */
  private async readLog(): Promise<void> {
    const size = this.progress.position;
    this.order = Buffer.alloc(size * ENTRY_BYTES);
    let next = 1;
    const take = (entry: LogEntry): void => {
      const at = (entry.position - 1) * ENTRY_BYTES;
      entry.leaf.copy(this.order, at);
      entry.agg.copy(this.order, at + 32);
      // A double holds every safe integer exactly.
      this.order.writeDoubleBE(entry.version, at + 32 + AGG_BYTES);
      this.order.writeDoubleBE(entry.recordedAt, at + 40 + AGG_BYTES);
      const name = entry.agg.toString('latin1');
      this.lastVersions.set(name, Math.max(entry.version, this.lastVersions.get(name) ?? 0));
      next = entry.position + 1;
    };
    try {
      for await (const entry of this.repository.scanLog(1, size)) {
        if (entry.position !== next) break;
        take(entry);
      }
    } catch {
      // Damage in the order itself: what it hides is named by the events that are not found in it.
    }
    if (next <= size) await this.recoverLog(next, take);
  }

  /** Goes on past a damaged part of the order, and finds the aggregates it hid through their heads. */
  private async recoverLog(from: number, take: (entry: LogEntry) => void): Promise<void> {
    for (let position = from; position <= this.progress.position; position++) {
      this.options.signal?.throwIfAborted();
      const entry = await this.repository.logAt(position).catch(() => null);
      if (entry !== null) take(entry);
    }
    const heads: Head[] = [];
    try {
      for await (const batch of this.repository.headBatches()) heads.push(...batch);
    } catch {
      // A damaged head is named when its aggregate is verified.
    }
    for (const head of heads) {
      const name = head.agg.toString('latin1');
      this.lastVersions.set(name, Math.max(head.version, this.lastVersions.get(name) ?? 0));
    }
  }

  /** Recomputes the store tree from the leaves; returns how many checkpoints were held against it. */
  private async verifyTree(): Promise<number> {
    const wanted = new Map<number, Buffer>();
    for await (const checkpoint of this.checkpoints.all())
      if (checkpoint.size <= this.progress.position) wanted.set(checkpoint.size, checkpoint.root);
    const beside = this.checkpoints.beside();
    if (beside !== null && beside.size <= this.progress.position) wanted.set(beside.size, beside.root);
    let frontier: Frontier = [];
    const nodes: { level: number; index: number; hash: Buffer }[] = [];
    for (let position = 1; position <= this.progress.position; position++) {
      frontier = appendLeaf(frontier, position - 1, this.leaf(position), (level, index, hash) => {
        if (level % 8 === 0) nodes.push({ level, index, hash });
      });
      const signed = wanted.get(position);
      if (signed !== undefined && !frontierRoot(frontier).equals(signed))
        await this.failAt(position, 'the store tree is not what its checkpoint signed');
    }
    for (const { level, index, hash } of nodes) await this.verifyNode(level, index, hash);
    if (!frontierRoot(frontier).equals(frontierRoot(this.progress.frontier)))
      await this.failAt(this.progress.position, "the store tree's root is not the stored one");
    return wanted.size;
  }

  private async verifyNode(level: number, index: number, hash: Buffer): Promise<void> {
    const key = tileKey(level, index);
    let reason = 'is missing';
    try {
      const value = await this.repository.store.get(key);
      if (value !== null) {
        if (this.repository.unseal(key, value).equals(hash)) return;
        reason = 'is another than its leaves give';
      }
    } catch {
      reason = 'is damaged';
    }
    await this.failAt(index * 2 ** level + 1, `node ${index} at level ${level} of the store tree ${reason}`);
  }

  /** Fails naming the event at a position. */
  private async failAt(position: number, reason: string): Promise<never> {
    const entry = await this.repository.logAt(position).catch(() => null);
    if (entry === null)
      return fail({ type: '?', id: '?', version: '?', reason: `position ${position}: ${reason}` });
    const key = versionKey(Prefix.event, entry.agg, entry.version);
    const value = await this.repository.store.get(key).catch(() => null);
    const header = value === null ? null : this.repository.eventHeader(key, value);
    return fail({
      type: header?.type ?? '?',
      id: header?.id ?? '?',
      version: entry.version.toString(),
      reason: `position ${position}: ${reason}`,
    });
  }
}

/** The aggregates to verify one by one, some at a time, so that one's reading overlaps with another's hashing. */
function* groupsOf(aggregates: ReadonlyMap<string, number>): Generator<{ agg: Buffer; last: number }[]> {
  let group: { agg: Buffer; last: number }[] = [];
  for (const [name, last] of aggregates) {
    group.push({ agg: Buffer.from(name, 'latin1'), last });
    if (group.length < CONCURRENT) continue;
    yield group;
    group = [];
  }
  if (group.length > 0) yield group;
}
