/** What the engine's thread and a session thread say to each other. Calls and their answers go in bundles, one per turn. */
import type { MessagePort } from 'node:worker_threads';
import type { Schema } from '../../engine/types.js';
import type { Arrival, TlsPair } from '../host.js';
import type { PlainError } from './errors.js';
import type { StatesMemory } from './sharedStates.js';

/**
 * `call` is answered once. `open` is answered with the first batch of a stream, `next` with the following one; `end`
 * is not answered. `abort` makes what is being done for the id fail.
 */
export type Request =
  | readonly [op: 'call' | 'open', id: number, name: string, ...args: unknown[]]
  | readonly [op: 'next' | 'end', id: number]
  | readonly [op: 'abort', id: number, reason: PlainError];

export type Reply =
  readonly [id: number, value: unknown] | readonly [id: number, none: null, error: PlainError];

/** A cancel request; the secret as hex. */
export interface Cancel {
  readonly kind: 'cancel';
  readonly processId: number;
  readonly secret: string;
}

export type ToThread =
  | { readonly kind: 'replies'; readonly replies: readonly Reply[] }
  | { readonly kind: 'connection'; readonly arrival: Arrival; readonly fd: number }
  | Cancel
  /** PostgreSQL of the read model is down. */
  | { readonly kind: 'down' }
  /** Another thread waits for a connection to the read model. */
  | { readonly kind: 'oblige' }
  | { readonly kind: 'shutdown' };

export type LogLevel = 'info' | 'warn' | 'error';

export type FromThread =
  /** It can serve now. */
  | { readonly kind: 'ready' }
  | { readonly kind: 'requests'; readonly requests: readonly Request[] }
  | { readonly kind: 'closed'; readonly id: number }
  | Cancel
  | { readonly kind: 'ask' }
  | {
      readonly kind: 'log';
      readonly level: LogLevel;
      readonly details: Readonly<Record<string, unknown>>;
      readonly error: PlainError | null;
      readonly message: string;
    };

/**
 * What a session must not miss once it was acknowledged to anybody. It is in the thread's news port before the count
 * in shared memory grows, and read from there, without waiting for the event loop, when the count has grown.
 */
export type News =
  | { readonly kind: 'schema'; readonly schema: Schema }
  | { readonly kind: 'revoked'; readonly tokenId: string };

/** What a session thread is started with. */
export interface ThreadData {
  readonly slot: number;
  readonly progress: SharedArrayBuffer;
  readonly states: StatesMemory;
  readonly places: SharedArrayBuffer;
  readonly maxBackends: number;
  readonly authenticationMs: number;
  readonly busyPollMs: number;
  readonly tls: TlsPair | null;
  readonly verifierKey: string;
  /** Where the read model listens. */
  readonly backend: { readonly host: string; readonly port: number; readonly database: string };
  readonly schema: Schema;
  readonly revoked: ReadonlySet<string>;
  /** The news already in `schema` and `revoked`. */
  readonly newsCount: bigint;
  readonly news: MessagePort;
}
