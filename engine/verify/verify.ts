/**
 * CALL verify: re-reads and re-hashes what is stored, bottom up: bytes → commit → leaf → aggregate root → store root
 * → every signed checkpoint; then holds heads, snapshots and the read model's rows against the fold. Nothing that is
 * compared is taken from where it is compared with.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { tileKey, typeNumberOf, typePrefix } from '../codec/keys.js';
import type { Checkpoints } from '../checkpoint.js';
import { isInternalType, type Catalogue } from '../catalogue.js';
import { DatabaseError, SqlState } from '../errors.js';
import type { Repository, StoredEvent } from '../repository.js';
import { frontierRoot, GrowingTree, type NodeListener } from '../tree.js';
import type { Progress } from '../codec/records.js';
import type { StateRow } from '../types.js';
import { entryFault, verifyAggregate, type Failure } from './aggregate.js';
import { TotalOrder } from './order.js';
import type { Limits } from './recompute.js';
import { scanStore } from './scanStore.js';
import { defaultScanThreads } from './scanThread.js';

const READ_MODEL_BATCH = 500;
/** Aggregates read at the same time. */
const CONCURRENT = 16;
/** After so many leaves of the store tree, some milliseconds, others have their turn. */
const LEAVES_PER_TURN = 4096;

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

export interface VerifyParts {
  readonly repository: Repository;
  readonly checkpoints: Checkpoints;
  readonly catalogue: Catalogue;
  readonly progress: Progress;
  /** The last position there is by now: appends go on meanwhile. */
  readonly newest: () => number;
}

export interface VerifyOptions {
  readonly signal?: AbortSignal;
  /** Threads that scan the store beside this one; 0: none. By default half of the cores, where it is worth it. */
  readonly threads?: number;
  /** The ids of a type that somebody else knows, to name an aggregate by whose head cannot be read. */
  readonly ids?: (type: string) => AsyncIterable<readonly string[]>;
  /** Compares folded states with the read model; returns the first that differs. */
  readonly compare?: (states: readonly StateRow[]) => Promise<Difference | null>;
}

/** What the read model has otherwise than the events say. */
export interface Difference {
  readonly state: StateRow;
  readonly reason: string;
}

/** @throws DatabaseError XX001 whose detail names aggregate, id and first bad version */
export function fail(failure: Failure): never {
  const { type, id, version, reason } = failure;
  throw new DatabaseError(SqlState.dataCorrupted, 'verification failed', {
    detail: `aggregate "${type}", id "${id}", version ${version}: ${reason}`,
    hint: 'The data on disk is not what was written. Keep it as evidence and restore from a copy.',
  });
}

/** What is stored is sound, but not what queries read. @throws DatabaseError XX001 whose detail names the aggregate */
export function failReadModel({ state, reason }: Difference): never {
  const { aggregateType, aggregateId, version } = state;
  throw new DatabaseError(SqlState.dataCorrupted, 'the read model differs from the events', {
    detail: `aggregate "${aggregateType}", id "${aggregateId}", version ${version.toString()}: ${reason}`,
    hint: 'The stored events were verified and are sound. Have the read model made anew: "eventful restart --rebuild-read-model".',
  });
}

/** Verifies the whole store, or all aggregates of one type (then the store tree as well, since it spans types). */
export class StoreVerifier {
  private readonly repository: Repository;
  private readonly progress: Progress;
  private readonly order: TotalOrder;
  /** The order could be read to its end. */
  private isWhole = true;
  private folded: StateRow[] = [];
  /** The first, told once all that is stored was found sound. */
  private difference: Difference | null = null;
  /** Ends everything that is under way. */
  private readonly stop = new AbortController();
  private aggregates = 0;

  constructor(
    private readonly parts: VerifyParts,
    private readonly options: VerifyOptions,
  ) {
    this.repository = parts.repository;
    this.progress = parts.progress;
    this.order = new TotalOrder(this.progress.position);
    const { signal } = options;
    signal?.addEventListener('abort', () => this.stop.abort(signal.reason), { once: true });
    if (signal?.aborted === true) this.stop.abort(signal.reason);
  }

  /** @param type the number of the only type to verify; null: all */
  async run(type: number | null): Promise<VerifyReport> {
    try {
      return await this.verify(type);
    } finally {
      this.stop.abort();
    }
  }

  private async verify(type: number | null): Promise<VerifyReport> {
    const prefix = type === null ? Buffer.alloc(0) : typePrefix(type);
    this.isWhole = await this.order.read(this.repository);
    // Beside the scan; what it finds is told after what that finds, which names more.
    const tree = this.verifyTree();
    tree.catch(() => undefined);
    const amiss = await this.verifyByScan(type);
    const { events, unsound } = await this.order.review(prefix);
    for (const agg of unsound) amiss.add(agg);
    for (const group of groupsOf(await this.lastVersions(amiss))) {
      this.stop.signal.throwIfAborted();
      const outcomes = await Promise.all(
        group.map(async ({ agg, last }) => ({
          agg,
          outcome: await verifyAggregate(this.repository, agg, last, this.check, this.limits()),
        })),
      );
      for (const { agg, outcome } of outcomes) {
        if ('reason' in outcome) fail({ ...(await this.nameOf(agg)), ...outcome });
        await this.fold(outcome.state);
      }
    }
    await this.compareFolded();
    const signed = await tree;
    if (this.difference !== null) failReadModel(this.difference);
    return {
      aggregates: this.aggregates,
      events,
      size: this.progress.position,
      root: frontierRoot(this.progress.frontier).toString('hex'),
      checkpoints: signed,
    };
  }

  private limits(): Limits {
    return { verified: this.progress.position, newest: this.parts.newest() };
  }

  private readonly check = (event: StoredEvent, leaf: Buffer): string | null =>
    entryFault(this.order.entryAt(event.position), event, leaf);

  /** Verifies what is sound in one pass. @returns the aggregates that have to be looked at one by one */
  private async verifyByScan(type: number | null): Promise<Set<string>> {
    const { repository, order, stop } = this;
    const amiss = new Set<string>();
    await scanStore({
      repository,
      order,
      stop,
      type,
      types: this.parts.catalogue.typeNumbers(),
      threads: this.options.threads ?? defaultScanThreads(order.size),
      limits: () => this.limits(),
      take: async (scanned) => {
        for (const { agg, state } of scanned) {
          if (state === undefined) amiss.add(agg);
          else await this.fold(state);
        }
      },
    });
    return amiss;
  }

  /** The newest version of each of these aggregates (latin1 of agg); where the order is damaged, by their heads too. */
  private async lastVersions(aggs: ReadonlySet<string>): Promise<Map<string, number>> {
    const last = await this.order.newestOf(aggs);
    if (this.isWhole) return last;
    for (const [name, known] of last) {
      this.stop.signal.throwIfAborted();
      // A head that is damaged itself is named when its aggregate is verified.
      const head = await this.repository.head(Buffer.from(name, 'latin1')).catch(() => null);
      if (head !== null && head.position <= this.order.size) last.set(name, Math.max(known, head.version));
    }
    return last;
  }

  /** @param state null when the aggregate has changed since */
  private async fold(state: StateRow | null): Promise<void> {
    this.aggregates++;
    if (state === null || isInternalType(state.aggregateType)) return;
    this.folded.push(state);
    if (this.folded.length >= READ_MODEL_BATCH) await this.compareFolded();
  }

  private async compareFolded(): Promise<void> {
    const states = this.folded;
    this.folded = [];
    if (states.length > 0 && this.difference === null)
      this.difference = (await this.options.compare?.(states)) ?? null;
  }

  /** Recomputes the store tree from the leaves; returns how many checkpoints were held against it. */
  private async verifyTree(): Promise<number> {
    const wanted = new Map<number, Buffer>();
    for await (const checkpoint of this.parts.checkpoints.all())
      if (checkpoint.size <= this.progress.position) wanted.set(checkpoint.size, checkpoint.root);
    const beside = this.parts.checkpoints.beside();
    if (beside !== null && beside.size <= this.progress.position) wanted.set(beside.size, beside.root);
    const tree = new GrowingTree();
    const nodes: { level: number; index: number; hash: Buffer }[] = [];
    const keep: NodeListener = (level, index, hash) => {
      if (level % 8 === 0) nodes.push({ level, index, hash: Buffer.from(hash) });
    };
    for (let position = 1; position <= this.progress.position; position++) {
      tree.add(this.order.leaf(position), keep);
      const signed = wanted.get(position);
      if (signed !== undefined && !tree.root().equals(signed))
        await this.failAt(position, 'the store tree is not what its checkpoint signed');
      if (position % LEAVES_PER_TURN > 0) continue;
      await nextTurn();
      this.stop.signal.throwIfAborted();
    }
    for (const { level, index, hash } of nodes) await this.verifyNode(level, index, hash);
    if (!tree.root().equals(frontierRoot(this.progress.frontier)))
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

  /** Type and id of an aggregate; what cannot be told is `?`. */
  private async nameOf(agg: Buffer): Promise<{ type: string; id: string }> {
    const { repository, catalogue } = this.parts;
    const identity = await repository.identity(agg).catch(() => null);
    if (identity !== null) return { type: identity.type, id: identity.id };
    const number = typeNumberOf(agg);
    const type = catalogue.typeAt(number);
    if (type === null) return { type: '?', id: '?' };
    for await (const ids of this.options.ids?.(type) ?? []) {
      const id = ids.find((some) => repository.index.aggregate(number, type, some).equals(agg));
      if (id !== undefined) return { type, id };
    }
    return { type, id: '?' };
  }

  /** Fails naming the event at a position. */
  private async failAt(position: number, reason: string): Promise<never> {
    const entry = await this.repository.positions.at(position).catch(() => null);
    if (entry === null)
      return fail({ type: '?', id: '?', version: '?', reason: `position ${position}: ${reason}` });
    return fail({
      ...(await this.nameOf(entry.agg)),
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
