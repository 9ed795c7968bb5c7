/**
 * What sessions need of the engine and of the read model. The engine and the read model themselves fit these
 * interfaces, and so do their stand-ins in a session thread (threads/remoteEngine.ts), so a session does not know
 * on which thread the engine runs. A method that is added here is added to threads/calls.ts as well.
 */
import type { Checkpoint } from '../engine/checkpoint.js';
import type { Appended } from '../engine/commit/stage.js';
import type { EventProof } from '../engine/proofs/verifier.js';
import type { ReadCounts } from '../engine/lookBack.js';
import type { EventFilter, Ids, ReadEstimate } from '../engine/reader.js';
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
  ReadModelConnection,
  RoleLogin,
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
  state(type: string, id: string): Promise<StateRow | null>;
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
  waitFor(position: bigint, signal?: AbortSignal): Promise<void>;
  roleFor(grants: readonly Grant[]): Promise<RoleLogin>;
  connection(role: RoleLogin): ReadModelConnection;
  query(
    text: string,
    values?: readonly unknown[],
  ): Promise<{ readonly rows: readonly Record<string, unknown>[] }>;
  tryView(schema: Schema, draft: ViewDraft): Promise<ViewShape>;
  fillViews(names: readonly string[], options: FillOptions): Promise<ReadonlyMap<string, string>>;
  refreshView(name: string, withData: boolean, options: FillOptions): Promise<void>;
  on(event: 'down', listener: () => void): void;
}
