/**
 * What sessions need of the engine and of the read model. The engine and the read model themselves fit these
 * interfaces, and so do their stand-ins in a session thread (threads/remoteEngine.ts), so a session does not know
 * on which thread the engine runs. A method that is added here is added to threads/calls.ts as well.
 */
import type { Checkpoint } from '../engine/checkpoint.js';
import type { Appended } from '../engine/commit/appended.js';
import type { EventProof } from '../engine/proofs/verifier.js';
import type { ReadCounts } from '../engine/lookBack.js';
import type { EventFilter } from '../engine/eventReader.js';
import type { Ids, ReadEstimate } from '../engine/reader.js';
import type { Identity } from '../engine/tokens/identity.js';
import type { TokenRecord, TokenRequest } from '../engine/tokens/tokens.js';
import type {
  AggregateDefinition,
  AsOf,
  EventRow,
  Grant,
  HistoryRow,
  NewEvent,
  Schema,
  StateRow,
  Writer,
} from '../engine/types.js';
import type { VerifyOptions, VerifyReport } from '../engine/verify/verify.js';
import type {
  FillOptions,
  PastAnswer,
  PastRequest,
  ReadModelConnection,
  RoleLogin,
  Standing,
  ViewDraft,
  ViewShape,
} from '../readmodel/index.js';

/** A transaction's appends before COMMIT. */
export interface SessionPreview {
  add(events: readonly NewEvent[], writer: Writer): Promise<Appended[]>;
  schema(): Schema;
  states(aggregateType: string): readonly StateRow[];
  /** Nobody will ask it again. */
  close(): void;
}

export interface SessionTokens {
  authenticate(token: string): Promise<Identity>;
  requireValid(identity: Identity): void;
  generate(request: TokenRequest, issuer: Writer): Promise<{ token: string; tokenId: string }>;
  revoke(tokenId: string, revoker: Writer): Promise<void>;
  all(): AsyncIterable<TokenRecord>;
}

export interface SessionEngine {
  readonly tokens: SessionTokens;
  readonly checkpoints: { readonly verifierKey: string; all(): AsyncIterable<Checkpoint> };
  committedPosition(): bigint;
  schema(): Schema;
  commitTransaction(
    events: readonly NewEvent[],
    writer: Writer,
    options?: { readonly durable?: boolean },
  ): Promise<Appended[]>;
  createAggregateEvent(definition: AggregateDefinition, also: Schema): NewEvent | Promise<NewEvent>;
  commentEvent(schema: Schema, type: string, comment: string | null): NewEvent | Promise<NewEvent>;
  preview(): Promise<SessionPreview>;
  /** @param version null: as it is now */
  state(type: string, id: string, version?: bigint | null): Promise<StateRow | null>;
  /** As `state` where the answer is at hand; undefined where it is not: then `state` has to be asked. */
  stateNow(type: string, id: string, version?: bigint | null): StateRow | null | undefined;
  /** @param counts grows by what is read */
  states(
    type: string,
    ids: Ids,
    asOf: AsOf | null,
    signal?: AbortSignal,
    counts?: ReadCounts,
  ): AsyncIterable<StateRow[]>;
  history(type: string, ids: Ids, signal?: AbortSignal, counts?: ReadCounts): AsyncIterable<HistoryRow[]>;
  events(filter: EventFilter, signal?: AbortSignal, counts?: ReadCounts): AsyncIterable<EventRow[]>;
  estimateRead(type: string, ids: Ids, asOf: AsOf | null): Promise<ReadEstimate>;
  countAggregates(type: string): Promise<number>;
  writesUsed(tokenId: string): Promise<bigint>;
  verify(type: string | null, id: string | null, options?: VerifyOptions): Promise<VerifyReport>;
  checkpoint(): Promise<Checkpoint>;
  compact(): Promise<void>;
  proveConsistency(size1: number, size2: number): Promise<string[]>;
  prove(
    type: string,
    id: string,
    version: bigint,
  ): Promise<{ readonly proof: EventProof; readonly eventHash: string }>;
}

export interface SessionReadModel {
  /** Process id of its PostgreSQL; null while that is down. */
  readonly pid: number | null;
  /** Is everything up to the position, and the engine's schema, in its tables? Then there is nothing to wait for. */
  hasApplied(position: bigint): boolean;
  waitFor(position: bigint, signal?: AbortSignal): Promise<void>;
  roleFor(grants: readonly Grant[]): Promise<RoleLogin>;
  connection(role: RoleLogin): ReadModelConnection;
  query(
    text: string,
    values?: readonly unknown[],
  ): Promise<{ readonly rows: readonly Record<string, unknown>[] }>;
  past(request: PastRequest, signal?: AbortSignal): Promise<PastAnswer>;
  tryView(schema: Schema, draft: ViewDraft): Promise<ViewShape>;
  fillViews(names: readonly string[], options: FillOptions): Promise<ReadonlyMap<string, string>>;
  refreshView(name: string, withData: boolean, options: FillOptions): Promise<void>;
  on(event: 'down', listener: () => void): void;
}

/** Who wants to stream from which slot, and what. */
export interface SlotUse {
  readonly name: string;
  /** As in `Identity.actor`. */
  readonly holder: string;
  readonly grants: readonly Grant[];
  /** The publication of every type is among those named. */
  readonly everything: boolean;
}

/** What `follow` has to know of what `open` did. */
export interface Renewal {
  readonly incarnation: string;
  /** null: the slot was not made anew. */
  readonly renewal: number | null;
}

export interface Opened extends Standing, Renewal {}

/** The slots of logical replication; one keeper for all sessions. */
export interface SessionReplication {
  /** The login of a replication connection. PostgreSQL checks no grant on what it streams. */
  roleFor(grants: readonly Grant[]): Promise<RoleLogin>;
  standing(): Promise<Standing>;
  /** Before a slot is made, which `announced` ends. @throws DatabaseError 42710, 53400 */
  announce(name: string, holder: string, kind: 'temporary' | 'one' | 'twoPhase'): Promise<Standing>;
  /** @param incarnation of the read model in which the slot was made; null when it was not */
  announced(name: string, incarnation: string | null): Promise<void>;
  /** False when PostgreSQL no longer has the slot. @throws DatabaseError 42704, 42501 */
  droppable(name: string, holder: string, admin: boolean): Promise<boolean>;
  dropped(name: string): Promise<void>;
  /**
   * Before a stream starts; makes the slot anew where need be. @throws DatabaseError 42704 when nobody made it, 42501
   * when another did or the token reads less than the one before, 55000 when the subscriber has more than the store
   */
  open(use: SlotUse): Promise<Opened>;
  /** While a stream runs, until the signal aborts: sends again what the subscriber may lack. Rejects when it cannot. */
  follow(name: string, opened: Renewal, signal: AbortSignal): Promise<void>;
  /** The subscriber has stored everything up to a WAL position, counted without the base. */
  flushed(name: string, incarnation: string, lsn: bigint): Promise<void>;
}
