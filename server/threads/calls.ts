/**
 * The calls a session thread may make, as the engine's thread runs them: plain data in, plain data out. To add one,
 * write it here and in remoteEngine.ts or remoteReadModel.ts, which take their types from here.
 */
import type { Checkpoint } from '../../engine/checkpoint.js';
import type { ReadCounts } from '../../engine/lookBack.js';
import type { EventFilter } from '../../engine/eventReader.js';
import type { Ids } from '../../engine/reader.js';
import type { Identity } from '../../engine/tokens/identity.js';
import type { TokenRequest } from '../../engine/tokens/tokens.js';
import type {
  AggregateDefinition,
  AsOf,
  Grant,
  NewEvent,
  Schema,
  StateRow,
  Writer,
} from '../../engine/types.js';
import type { PastRequest, ViewDraft } from '../../readmodel/index.js';
import type {
  Renewal,
  SessionEngine,
  SessionPreview,
  SessionReadModel,
  SessionReplication,
  SlotUse,
} from '../ports.js';
import { readModelFor } from '../statements/compare.js';
import type { SharedStates } from './sharedStates.js';
import { packAppended, packState, unpackAppend, type Packed } from './pack.js';

/** The part of the engine's previews that only this side needs. */
export interface Preview extends SessionPreview {
  changedBy(events: readonly NewEvent[]): StateRow[];
}

/** What is called: the engine, whose previews tell what changed, and the read model. */
export interface Called {
  readonly engine: Omit<SessionEngine, 'preview'> & { preview(): Promise<Preview> };
  readonly readModel: SessionReadModel;
  readonly replication: SessionReplication;
  readonly states: SharedStates;
}

/** A checkpoint whose root is hex: buffers lose their class on the way. */
export interface PlainCheckpoint extends Omit<Checkpoint, 'root'> {
  readonly root: string;
}

function plainCheckpoint({ origin, size, root, note }: Checkpoint): PlainCheckpoint {
  return { origin, size, root: root.toString('hex'), note };
}

export interface PreviewAdded {
  /** What was appended; see pack.ts. */
  readonly rows: Packed;
  /** The aggregates the events changed. */
  readonly states: readonly StateRow[];
  /** null: as the caller knows it. */
  readonly schema: Schema | null;
}

/** The calls of one thread; `previews` are the transactions its sessions have open. */
export function engineCalls(called: Called, previews: Map<number, Preview>) {
  const { engine, readModel, replication } = called;
  let lastPreview = 0;
  return {
    commit: async (_: AbortSignal, packed: Packed, durable: boolean): Promise<Packed> => {
      const { events, writer } = unpackAppend(packed);
      return packAppended(await engine.commitTransaction(events, writer, { durable }));
    },
    createAggregateEvent: (_: AbortSignal, definition: AggregateDefinition, also: Schema) =>
      engine.createAggregateEvent(definition, also),
    commentEvent: (_: AbortSignal, schema: Schema, type: string, comment: string | null) =>
      engine.commentEvent(schema, type, comment),
    previewOpen: async (_: AbortSignal, revision: number) => {
      const preview = await engine.preview();
      const id = ++lastPreview;
      previews.set(id, preview);
      const schema = preview.schema();
      return { id, schema: schema.revision === revision ? null : schema };
    },
    previewAdd: async (
      _: AbortSignal,
      id: number,
      revision: number,
      packed: Packed,
    ): Promise<PreviewAdded> => {
      const { events, writer } = unpackAppend(packed);
      const preview = previews.get(id);
      if (preview === undefined) throw new Error('there is no such preview');
      const rows = packAppended(await preview.add(events, writer));
      const schema = preview.schema();
      return {
        rows,
        states: preview.changedBy(events),
        schema: schema.revision === revision ? null : schema,
      };
    },
    previewClose: (_: AbortSignal, id: number) => void previews.delete(id),
    state: (_: AbortSignal, type: string, id: string, version: bigint | null) =>
      packedState(called, type, id, version),
    estimateRead: (_: AbortSignal, type: string, ids: Ids, asOf: AsOf | null) =>
      engine.estimateRead(type, ids, asOf),
    countAggregates: (_: AbortSignal, type: string) => engine.countAggregates(type),
    writesUsed: (_: AbortSignal, tokenId: string) => engine.writesUsed(tokenId),
    verify: (signal: AbortSignal, type: string | null, id: string | null, beside: boolean) =>
      engine.verify(type, id, {
        signal,
        ...(beside ? readModelFor({ engine, readModel }) : {}),
      }),
    checkpoint: async () => plainCheckpoint(await engine.checkpoint()),
    compact: () => engine.compact(),
    proveConsistency: (_: AbortSignal, size1: number, size2: number) => engine.proveConsistency(size1, size2),
    prove: (_: AbortSignal, type: string, id: string, version: bigint) => engine.prove(type, id, version),
    authenticate: (_: AbortSignal, token: string): Promise<Identity> => engine.tokens.authenticate(token),
    generate: (_: AbortSignal, request: TokenRequest, issuer: Writer) =>
      engine.tokens.generate(request, issuer),
    revoke: (_: AbortSignal, tokenId: string, revoker: Writer) => engine.tokens.revoke(tokenId, revoker),
    waitFor: (signal: AbortSignal, position: bigint) => readModel.waitFor(position, signal),
    roleFor: (_: AbortSignal, grants: readonly Grant[]) => readModel.roleFor(grants),
    query: async (_: AbortSignal, text: string, values: readonly unknown[]) => ({
      rows: (await readModel.query(text, values)).rows,
    }),
    past: (signal: AbortSignal, request: PastRequest) => readModel.past(request, signal),
    tryView: (_: AbortSignal, schema: Schema, draft: ViewDraft) => readModel.tryView(schema, draft),
    fillViews: (signal: AbortSignal, names: readonly string[]) => readModel.fillViews(names, { signal }),
    refreshView: (signal: AbortSignal, name: string, withData: boolean) =>
      readModel.refreshView(name, withData, { signal }),
    ...replicationCalls(replication),
  };
}

async function packedState(
  { engine, states }: Called,
  type: string,
  id: string,
  version: bigint | null,
): Promise<Packed | null> {
  const now = engine.stateNow(type, id, version);
  const row = now === undefined ? await engine.state(type, id, version) : now;
  // Asked for again: what was read may have changed meanwhile.
  const newest = version === null ? engine.stateNow(type, id) : null;
  if (newest !== undefined && newest !== null) states.publish(newest);
  return row === null ? null : packState(row);
}

function replicationCalls(replication: SessionReplication) {
  return {
    replicationRoleFor: (_: AbortSignal, grants: readonly Grant[]) => replication.roleFor(grants),
    replicationStanding: () => replication.standing(),
    slotAnnounce: (_: AbortSignal, name: string, holder: string, kind: 'temporary' | 'one' | 'twoPhase') =>
      replication.announce(name, holder, kind),
    slotAnnounced: (_: AbortSignal, name: string, incarnation: string | null) =>
      replication.announced(name, incarnation),
    slotDroppable: (_: AbortSignal, name: string, holder: string, admin: boolean) =>
      replication.droppable(name, holder, admin),
    slotDropped: (_: AbortSignal, name: string) => replication.dropped(name),
    slotOpen: (_: AbortSignal, use: SlotUse) => replication.open(use),
    slotFollow: (signal: AbortSignal, name: string, opened: Renewal) =>
      replication.follow(name, opened, signal),
    slotFlushed: (_: AbortSignal, name: string, incarnation: string, lsn: bigint) =>
      replication.flushed(name, incarnation, lsn),
  };
}

export type EngineCalls = ReturnType<typeof engineCalls>;

/** Streams are handed over batch by batch, each when it is asked for. */
export function engineStreams({ engine }: Called) {
  return {
    states: (signal: AbortSignal, type: string, ids: Ids, asOf: AsOf | null) =>
      engine.states(type, ids, asOf, signal),
    history: (signal: AbortSignal, type: string, ids: Ids) => engine.history(type, ids, signal),
    events: (signal: AbortSignal, filter: EventFilter) => engine.events(filter, signal),
    countedStates: (signal: AbortSignal, type: string, ids: Ids, asOf: AsOf | null) =>
      counted((counts) => engine.states(type, ids, asOf, signal, counts)),
    countedHistory: (signal: AbortSignal, type: string, ids: Ids) =>
      counted((counts) => engine.history(type, ids, signal, counts)),
    countedEvents: (signal: AbortSignal, filter: EventFilter) =>
      counted((counts) => engine.events(filter, signal, counts)),
    tokens: () => engine.tokens.all(),
    checkpoints: () => plainCheckpoints(engine.checkpoints.all()),
  };
}

/** Batches with what was read for them and all before; a last one without rows tells the rest. */
async function* counted<T>(
  read: (counts: ReadCounts) => AsyncIterable<T[]>,
): AsyncGenerator<{ readonly rows: T[]; readonly counts: ReadCounts }> {
  const counts = { aggregates: 0, snapshots: 0, events: 0, cached: 0 };
  for await (const rows of read(counts)) yield { rows, counts: { ...counts } };
  yield { rows: [], counts };
}

async function* plainCheckpoints(all: AsyncIterable<Checkpoint>): AsyncGenerator<PlainCheckpoint> {
  for await (const checkpoint of all) yield plainCheckpoint(checkpoint);
}

export type EngineStreams = ReturnType<typeof engineStreams>;
