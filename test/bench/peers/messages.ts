/** What the suite and the EventfulDB process it started say to each other (Node's IPC, as JSON). */
import type { Allocated, ThreadCpu } from '../profile/messages.js';

export type Request =
  | { readonly kind: 'stats' }
  /** In so many threads beside the engine's; null: as many as it takes by itself. */
  | { readonly kind: 'verify'; readonly threads: number | null }
  | { readonly kind: 'prove'; readonly type: string; readonly ids: readonly string[] }
  | { readonly kind: 'record'; readonly what: 'cpu' | 'heap' }
  | { readonly kind: 'recorded' }
  | { readonly kind: 'stop'; readonly removeReadModel: boolean };

export interface Started {
  readonly port: number;
  readonly token: string;
  /** From the start of the process to the open port. */
  readonly startMs: number;
  readonly readModelPid: number | null;
  readonly readModelDirectory: string;
  readonly rebuilt: { readonly rows: number; readonly seconds: number } | null;
}

export interface Stats {
  readonly position: number;
  readonly applied: number;
  readonly syncs: number;
  readonly groups: number;
  readonly logBytes: number;
}

export interface Verified {
  readonly events: number;
  readonly seconds: number;
}

export interface Proved {
  readonly proofs: number;
  readonly makeSeconds: number;
  readonly checkSeconds: number;
  readonly proofBytes: number;
}

/** What `recorded` answers, after `record` of one or the other. */
export type Recorded =
  | { readonly what: 'cpu'; readonly threads: readonly ThreadCpu[] }
  | { readonly what: 'heap'; readonly allocated: Allocated };

export type Reply =
  { readonly id: number; readonly result: unknown } | { readonly id: number; readonly error: string };
