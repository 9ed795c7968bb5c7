/** The engine as sessions on another thread see it: what is in shared memory at once, everything else by a call. */
import type { Checkpoint } from '../../engine/checkpoint.js';
import type { Appended } from '../../engine/commit/appended.js';
import type { ReadCounts } from '../../engine/lookBack.js';
import type { EventFilter } from '../../engine/eventReader.js';
import type { Ids, ReadEstimate } from '../../engine/reader.js';
import { requireValid, type Identity } from '../../engine/tokens/identity.js';
import type { TokenRecord, TokenRequest } from '../../engine/tokens/tokens.js';
import type {
  AggregateDefinition,
  AsOf,
  EventRow,
  HistoryRow,
  NewEvent,
  Schema,
  StateRow,
  Writer,
} from '../../engine/types.js';
import type { VerifyOptions } from '../../engine/verify/verify.js';
import type { SessionEngine, SessionPreview, SessionTokens } from '../ports.js';
import type { CallClient } from './callClient.js';
import type { PlainCheckpoint } from './calls.js';
import type { NewsReader } from './news.js';
import { packAppend, unpackAppended, unpackState } from './pack.js';
import type { Progress } from './shared.js';
import type { SharedStates } from './sharedStates.js';

/** A session's identity has more to it, which need not travel with each append. */
function plainWriter({ actor, tokenId, writeLimit }: Writer): Writer {
  return { actor, tokenId, writeLimit };
}

function withBuffer(checkpoint: PlainCheckpoint): Checkpoint {
  return { ...checkpoint, root: Buffer.from(checkpoint.root, 'hex') };
}

export class RemoteEngine implements SessionEngine {
  readonly tokens: SessionTokens;
  readonly checkpoints: SessionEngine['checkpoints'];

  constructor(
    private readonly client: CallClient,
    private readonly progress: Progress,
    private readonly news: NewsReader,
    private readonly latest: SharedStates,
    verifierKey: string,
  ) {
    this.tokens = new RemoteTokens(client, news);
    this.checkpoints = { verifierKey, all: () => this.allCheckpoints() };
  }

  committedPosition(): bigint {
    return this.progress.committed;
  }

  schema(): Schema {
    return this.news.schema;
  }

  commitTransaction(
    events: readonly NewEvent[],
    writer: Writer,
    { durable = true }: { readonly durable?: boolean } = {},
  ): Promise<Appended[]> {
    const answer = this.client.call('commit', [packAppend(events, writer), durable]);
    return answer.then((rows) => unpackAppended(rows, events, writer));
  }

  createAggregateEvent(definition: AggregateDefinition, also: Schema): Promise<NewEvent> {
    return this.client.call('createAggregateEvent', [definition, also]);
  }

  commentEvent(schema: Schema, type: string, comment: string | null): Promise<NewEvent> {
    return this.client.call('commentEvent', [schema, type, comment]);
  }

  async preview(): Promise<SessionPreview> {
    const known = this.schema();
    const { id, schema } = await this.client.call('previewOpen', [known.revision]);
    return new RemotePreview(this.client, id, schema ?? known);
  }

  async state(type: string, id: string, version: bigint | null = null): Promise<StateRow | null> {
    const packed = await this.client.call('state', [type, id, version]);
    return packed === null ? null : unpackState(packed, type, id);
  }

  /** What is at hand here is the latest state. */
  stateNow(type: string, id: string, version: bigint | null = null): StateRow | undefined {
    return version === null ? this.latest.find(type, id) : undefined;
  }

  states(
    type: string,
    ids: Ids,
    asOf: AsOf | null,
    signal?: AbortSignal,
    counts?: ReadCounts,
  ): AsyncIterable<StateRow[]> {
    if (counts === undefined) return this.client.stream('states', [type, ids, asOf], signal);
    return counting(this.client.stream('countedStates', [type, ids, asOf], signal), counts);
  }

  history(type: string, ids: Ids, signal?: AbortSignal, counts?: ReadCounts): AsyncIterable<HistoryRow[]> {
    if (counts === undefined) return this.client.stream('history', [type, ids], signal);
    return counting(this.client.stream('countedHistory', [type, ids], signal), counts);
  }

  events(filter: EventFilter, signal?: AbortSignal, counts?: ReadCounts): AsyncIterable<EventRow[]> {
    if (counts === undefined) return this.client.stream('events', [filter], signal);
    return counting(this.client.stream('countedEvents', [filter], signal), counts);
  }

  estimateRead(type: string, ids: Ids, asOf: AsOf | null): Promise<ReadEstimate> {
    return this.client.call('estimateRead', [type, ids, asOf]);
  }

  countAggregates(type: string): Promise<number> {
    return this.client.call('countAggregates', [type]);
  }

  writesUsed(tokenId: string): Promise<bigint> {
    return this.client.call('writesUsed', [tokenId]);
  }

  /** `compare` and `ids` are not called: the engine's thread does the same itself. */
  verify(
    type: string | null,
    id: string | null,
    { signal, compare }: VerifyOptions = {},
  ): ReturnType<SessionEngine['verify']> {
    return this.client.call('verify', [type, id, compare !== undefined], signal);
  }

  async checkpoint(): Promise<Checkpoint> {
    return withBuffer(await this.client.call('checkpoint', []));
  }

  compact(): Promise<void> {
    return this.client.call('compact', []);
  }

  proveConsistency(size1: number, size2: number): Promise<string[]> {
    return this.client.call('proveConsistency', [size1, size2]);
  }

  prove(type: string, id: string, version: bigint): ReturnType<SessionEngine['prove']> {
    return this.client.call('prove', [type, id, version]);
  }

  private async *allCheckpoints(): AsyncGenerator<Checkpoint> {
    for await (const checkpoint of this.client.stream('checkpoints', [])) yield withBuffer(checkpoint);
  }
}

/** The rows of a counted stream; `counts` is kept as the other thread counts. */
async function* counting<T>(
  batches: AsyncIterable<{ readonly rows: T[]; readonly counts: ReadCounts }>,
  counts: ReadCounts,
): AsyncGenerator<T[]> {
  for await (const batch of batches) {
    Object.assign(counts, batch.counts);
    if (batch.rows.length > 0) yield batch.rows;
  }
}

class RemotePreview implements SessionPreview {
  private readonly changed = new Map<string, Map<string, StateRow>>();

  constructor(
    private readonly client: CallClient,
    private readonly id: number,
    private current: Schema,
  ) {}

  async add(events: readonly NewEvent[], writer: Writer): Promise<Appended[]> {
    const packed = packAppend(events, writer);
    const { revision } = this.current;
    const { rows, states, schema } = await this.client.call('previewAdd', [this.id, revision, packed]);
    this.current = schema ?? this.current;
    for (const state of states) {
      let ofType = this.changed.get(state.aggregateType);
      if (ofType === undefined) this.changed.set(state.aggregateType, (ofType = new Map<string, StateRow>()));
      ofType.set(state.aggregateId, state);
    }
    return unpackAppended(rows, events, writer);
  }

  schema(): Schema {
    return this.current;
  }

  states(aggregateType: string): readonly StateRow[] {
    return [...(this.changed.get(aggregateType)?.values() ?? [])];
  }

  close(): void {
    this.client.tell('previewClose', [this.id]);
  }
}

class RemoteTokens implements SessionTokens {
  constructor(
    private readonly client: CallClient,
    private readonly news: NewsReader,
  ) {}

  authenticate(token: string): Promise<Identity> {
    return this.client.call('authenticate', [token]);
  }

  requireValid(identity: Identity): void {
    requireValid(identity, this.news.revoked, Math.floor(Date.now() / 1000));
  }

  generate(request: TokenRequest, issuer: Writer): Promise<{ token: string; tokenId: string }> {
    return this.client.call('generate', [request, plainWriter(issuer)]);
  }

  revoke(tokenId: string, revoker: Writer): Promise<void> {
    return this.client.call('revoke', [tokenId, plainWriter(revoker)]);
  }

  all(): AsyncIterable<TokenRecord> {
    return this.client.stream('tokens', []);
  }
}
