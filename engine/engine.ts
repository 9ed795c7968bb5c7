/**
 * The engine: everything below SQL, behind one asynchronous interface that takes and returns plain data.
 */
import { isInternalType, isInternalTypeNumber, type Catalogue } from './catalogue.js';
import { systemClock } from './clock.js';
import { Checkpoints, type Checkpoint } from './checkpoint.js';
import { ByteReader } from './codec/bytes.js';
import { typeNumberOf, typePrefix } from './codec/keys.js';
import { decodeGroup } from './codec/records.js';
import { CommitLoop, type Clock } from './commit/loop.js';
import type { Appended } from './commit/appended.js';
import type { Preview } from './commit/preview.js';
import type { Keyring } from './crypto/keyring.js';
import { DatabaseError, SqlState } from './errors.js';
import { loadCatalogue } from './loadCatalogue.js';
import type { CommitLog } from './log/log.js';
import type { EventProof } from './proofs/verifier.js';
import { proveEvent } from './prove.js';
import type { ReadCounts } from './lookBack.js';
import { EventReader, type EventFilter } from './eventReader.js';
import { Reader, type Ids, type ReadEstimate } from './reader.js';
import { Repository, type Head } from './repository.js';
import { toStateRow } from './rows.js';
import { requireAggregate } from './schema/validate.js';
import type { Store } from './store/store.js';
import { WriteBehindStore } from './store/writeBehind.js';
import { SegmentRelease } from './segmentRelease.js';
import { StoreTree } from './storeTree.js';
import { Tokens } from './tokens/tokens.js';
import type {
  AggregateDefinition,
  AsOf,
  CommittedEvent,
  CommittedGroup,
  EventRow,
  HistoryRow,
  NewEvent,
  ProjectionSource,
  Schema,
  StateRow,
  Writer,
} from './types.js';
import { Versions } from './versions.js';
import { verifyOne } from './verify/one.js';
import { StoreVerifier, type VerifyOptions, type VerifyReport } from './verify/verify.js';

const BATCH = 500;

export interface EngineParts {
  readonly store: Store;
  readonly log: CommitLog;
  readonly keyring: Keyring;
  /** Where the last checkpoint is kept beside the store; null: nowhere. */
  readonly directory: string | null;
  readonly clock?: Clock;
  /** Told of failures in the background (checkpoints, flushes). */
  readonly onError?: (error: unknown) => void;
}

/** No record of the store has such a key: a file cannot be passed off as one, nor one as a file. */
function fileKey(name: string): Buffer {
  return Buffer.from(`file:${name}`);
}

export class Engine implements ProjectionSource {
  readonly tokens: Tokens;
  readonly checkpoints: Checkpoints;
  readonly versions: Versions;
  private readonly loop: CommitLoop;
  private readonly reader: Reader;
  private readonly eventReader: EventReader;
  private readonly repository: Repository;
  private readonly tree: StoreTree;
  private readonly listeners = new Set<(group: CommittedGroup) => void>();
  private readonly segments: SegmentRelease;

  private constructor(
    private readonly parts: EngineParts,
    repository: Repository,
    loopState: CommitLoop['state'],
  ) {
    const { keyring, clock = systemClock, onError = () => undefined } = parts;
    this.repository = repository;
    this.loop = new CommitLoop(repository, parts.log, loopState, clock, (group) => this.committed(group));
    this.reader = new Reader(repository, this.loop);
    this.eventReader = new EventReader(repository, this.loop);
    this.versions = new Versions(repository, this.loop);
    this.tree = new StoreTree(repository);
    this.checkpoints = new Checkpoints(
      repository,
      this.loop,
      keyring.signingKey,
      parts.directory,
      keyring.storeId,
      onError,
    );
    const nowSeconds = (): number => Math.floor(clock() / 1e6);
    this.tokens = new Tokens(repository, this.loop, parts.keyring.tokenKey, this.storeId, nowSeconds);
    this.segments = new SegmentRelease(parts.log, repository.store, onError);
  }

  /**
   * Replays the commit log into the store and checks its tail.
   * @throws DatabaseError XX001 when log or store are damaged or have lost something
   */
  static async open(parts: EngineParts): Promise<Engine> {
    const store = new WriteBehindStore(parts.store);
    const repository = new Repository(store, parts.keyring);
    await repository.dictionary.loadNonces();
    const applied = await repository.progress();
    for await (const record of parts.log.replay(BigInt(applied.sequence))) {
      await store.room();
      store.enqueue(decodeGroup(record.payload));
    }
    await store.applied();
    // Groups that only the store still has must not depend on its own unsynced log.
    if (parts.log.storeAhead) await store.flush();
    await repository.dictionary.load();
    const progress = await repository.progress();
    const catalogue = await loadCatalogue(repository);
    const engine = new Engine(parts, repository, { progress, catalogue });
    await engine.checkpoints.checkTail(engine.tree);
    await engine.tokens.load();
    return engine;
  }

  /** Hex. */
  get storeId(): string {
    return this.parts.keyring.storeId.toString('hex');
  }

  committedPosition(): bigint {
    return BigInt(this.loop.state.progress.position);
  }

  schema(): Schema {
    return this.catalogue.schema;
  }

  private get catalogue(): Catalogue {
    return this.loop.state.catalogue;
  }

  // Writing

  /** Appends events of user types as one unit. See CommitLoop.append. */
  async append(
    events: readonly NewEvent[],
    writer: Writer,
    options: { readonly durable?: boolean } = {},
  ): Promise<Appended[]> {
    const internal = events.find((event) => isInternalType(event.aggregateType));
    if (internal !== undefined)
      throw new DatabaseError(
        SqlState.undefinedTable,
        `aggregate "${internal.aggregateType}" does not exist`,
      );
    return this.loop.append(events, writer, options);
  }

  /** Appends a transaction, whose DDL stands among its events. */
  commitTransaction(
    events: readonly NewEvent[],
    writer: Writer,
    options: { readonly durable?: boolean } = {},
  ): Promise<Appended[]> {
    return this.loop.append(events, writer, options);
  }

  /** @throws DatabaseError 42P07 */
  async createAggregate(definition: AggregateDefinition, writer: Writer): Promise<void> {
    await this.loop.append([this.createAggregateEvent(definition)], writer);
  }

  async commentOnAggregate(type: string, comment: string | null, writer: Writer): Promise<void> {
    await this.loop.append([this.commentEvent(this.schema(), type, comment)], writer);
  }

  /** The events behind DDL, for transactions that hold several statements. */
  createAggregateEvent(definition: AggregateDefinition, also: Schema = this.schema()): NewEvent {
    return this.catalogue.createEvent(definition, also);
  }

  commentEvent(schema: Schema, type: string, comment: string | null): NewEvent {
    return this.catalogue.changeEvent('comment_set', { ...requireAggregate(schema, type), comment });
  }

  /** Starts checking a transaction's appends; `append` them all to commit. */
  preview(): Promise<Preview> {
    return this.loop.preview();
  }

  /** @param version absent or null: as it is now */
  state(type: string, id: string, version: bigint | null = null): Promise<StateRow | null> {
    return this.reader.state(type, id, version);
  }

  /** As `state` where the answer is in memory, without a promise; undefined where it is not. */
  stateNow(type: string, id: string, version: bigint | null = null): StateRow | null | undefined {
    return this.reader.stateNow(type, id, version);
  }

  /** @param counts grows by what is read */
  states(
    type: string,
    ids: Ids,
    asOf: AsOf | null,
    signal?: AbortSignal,
    counts?: ReadCounts,
  ): AsyncGenerator<StateRow[]> {
    return this.reader.states(type, ids, asOf, signal, counts);
  }

  history(type: string, ids: Ids, signal?: AbortSignal, counts?: ReadCounts): AsyncGenerator<HistoryRow[]> {
    return this.reader.history(type, ids, signal, counts);
  }

  events(filter: EventFilter, signal?: AbortSignal, counts?: ReadCounts): AsyncGenerator<EventRow[]> {
    return this.eventReader.events(filter, signal, counts);
  }

  /** What looking back would have to read, for EXPLAIN. */
  estimateRead(type: string, ids: Ids, asOf: AsOf | null): Promise<ReadEstimate> {
    return this.reader.estimate(type, ids, asOf);
  }

  /** How many aggregates of a type there are. */
  countAggregates(type: string): Promise<number> {
    return this.reader.count(type);
  }

  // Following

  onCommit(listener: (group: CommittedGroup) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  async leafAt(position: bigint): Promise<string> {
    // Whether a record is damaged is for verify to say.
    const entry = await this.repository.positions.at(Number(position)).catch(() => null);
    return entry?.leaf.toString('hex') ?? '';
  }

  changedSince(position: bigint): { through: bigint; batches: AsyncIterable<readonly StateRow[]> } {
    const through = this.committedPosition();
    return { through, batches: this.changed(Number(position) + 1, Number(through)) };
  }

  private async *changed(from: number, through: number): AsyncGenerator<readonly StateRow[]> {
    let aggs = new Map<string, Buffer>();
    const flush = async (): Promise<StateRow[]> => {
      const heads = await this.repository.heads([...aggs.values()]);
      aggs = new Map();
      return heads.filter((head) => head !== null).map(toStateRow);
    };
    if (from > through) return;
    for await (const { agg } of this.repository.positions.scan(from, through)) {
      if (isInternalTypeNumber(typeNumberOf(agg))) continue;
      aggs.set(agg.toString('latin1'), Buffer.from(agg));
      if (aggs.size >= BATCH) yield await flush();
    }
    if (aggs.size > 0) yield await flush();
  }

  eventsBetween(after: bigint, through: bigint): AsyncIterable<readonly CommittedEvent[]> {
    return this.eventReader.events({ fromPosition: after + 1n, toPosition: through });
  }

  async *allStates(aggregateType: string): AsyncGenerator<readonly StateRow[]> {
    const number = this.catalogue.typeNumber(aggregateType);
    if (number === null) return;
    for await (const states of this.repository.scans.states(typePrefix(number))) yield states.map(toStateRow);
  }

  private committed(group: CommittedGroup): void {
    this.checkpoints.schedule();
    this.segments.committed(BigInt(this.loop.state.progress.sequence));
    for (const listener of this.listeners) listener(group);
  }

  // Files beside the store

  /** Encrypts a file of the data directory under the store's key; it opens under the same name alone. */
  sealFile(name: string, plain: Buffer): Buffer {
    return this.repository.sealedAlone(fileKey(name), plain);
  }

  /** @throws DatabaseError XX001 when it is not what `sealFile` wrote under this name */
  openFile(name: string, sealed: Buffer): Buffer {
    return this.repository.unseal(fileKey(name), sealed);
  }

  // Proving

  /**
   * Verifies everything, one type, or one aggregate.
   * @throws DatabaseError XX001 naming the first bad version; 42P01, 42704 when there is no such aggregate
   */
  async verify(type: string | null, id: string | null, options: VerifyOptions = {}): Promise<VerifyReport> {
    const { progress } = this.loop.state;
    if (type === null) return this.storeVerifier(options).run(null);
    requireAggregate(this.schema(), type);
    if (id === null) return this.storeVerifier(options).run(this.catalogue.typeNumber(type) ?? 0);
    return verifyOne(
      {
        repository: this.repository,
        tree: this.tree,
        checkpoints: this.checkpoints,
        progress,
        newest: this.newest,
      },
      await this.requireHead(type, id),
      options,
    );
  }

  private storeVerifier(options: VerifyOptions): StoreVerifier {
    const { progress } = this.loop.state;
    const { repository, checkpoints, catalogue } = this;
    return new StoreVerifier({ repository, checkpoints, catalogue, progress, newest: this.newest }, options);
  }

  private readonly newest = (): number => this.loop.state.progress.position;

  private async requireHead(type: string, id: string): Promise<Head> {
    const head = await this.loop.head(type, id);
    if (head === null)
      throw new DatabaseError(SqlState.undefinedObject, `there is no such aggregate of type "${type}"`);
    return head;
  }

  checkpoint(): Promise<Checkpoint> {
    return this.checkpoints.create();
  }

  /** RFC 6962 consistency path between two sizes of the store tree, hex. */
  async proveConsistency(size1: number, size2: number): Promise<string[]> {
    if (size1 > size2 || BigInt(size2) > this.committedPosition())
      throw new DatabaseError(SqlState.invalidParameterValue, 'the store tree has no such sizes', {
        detail: `It has ${this.committedPosition()} entries, and was asked about ${size1} and ${size2}.`,
        hint: 'A store that is shorter than a checkpoint you hold is older than that, or another one.',
      });
    return (await this.tree.consistency(size1, size2)).map((hash) => Buffer.from(hash).toString('hex'));
  }

  /**
   * What an offline verifier needs to check one event (see proofs/verifier.ts).
   * @throws DatabaseError 42P01, 42704, and XX001 when the event cannot be read
   */
  async prove(
    type: string,
    id: string,
    version: bigint,
  ): Promise<{ readonly proof: EventProof; readonly eventHash: string }> {
    requireAggregate(this.schema(), type);
    const head = await this.requireHead(type, id);
    const checkpoint = await this.checkpoint();
    return proveEvent(this.repository, this.tree, checkpoint, head, version);
  }

  /** Gives back the room of what was replaced, such as heads of earlier versions; reads and appends go on. */
  compact(): Promise<void> {
    return this.repository.store.compact();
  }

  /** Events a limited token has written so far. */
  async writesUsed(tokenId: string): Promise<bigint> {
    const key = this.repository.index.usage(tokenId);
    const value = await this.repository.store.get(key);
    return value === null ? 0n : BigInt(new ByteReader(this.repository.unseal(key, value)).u64());
  }

  stats(): { position: bigint; syncs: number; groups: number; logBytes: number } {
    const { syncs, appends, bytes } = this.parts.log.stats;
    return { position: this.committedPosition(), syncs, groups: appends, logBytes: bytes };
  }

  /** Finishes what was begun, signs a last checkpoint and closes log and store. */
  async close(): Promise<void> {
    await this.loop.close();
    try {
      await this.checkpoints.close();
      await this.segments.idle();
      await this.repository.store.flush();
    } catch (error) {
      // Everything acknowledged is in the commit log; what the store could not do is done again at the next open.
      this.parts.onError?.(error);
    } finally {
      await this.parts.log.close();
      await this.repository.store.close();
    }
  }
}
