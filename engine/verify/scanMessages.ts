import type { AggRange } from '../codec/keys.js';
import type { PlainKeys } from '../repository.js';
import type { StateRow } from '../types.js';

/** What a thread that scans is started with. */
export interface ScanJob {
  /** Of the store. */
  readonly directory: string;
  readonly keys: PlainKeys;
  readonly slices: readonly AggRange[];
  /** Positions through which the store is verified. */
  readonly size: number;
  /** Of the total order. */
  readonly memory: readonly SharedArrayBuffer[];
}

/** Each is answered once, in order. `begin` comes first; `newest` is a position no younger than anything it sees. */
export type ToScan =
  { readonly kind: 'begin'; readonly newest: number } | { readonly kind: 'next' } | { readonly kind: 'end' };

/** An aggregate that was scanned: as `Scanned`, but for its agg, which is latin1 text. */
export interface PlainScanned {
  readonly agg: string;
  readonly state: StateRow | null | undefined;
}

export type FromScan =
  /** The store is open to read, as it is now. */
  | { readonly kind: 'opened' }
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'scanned'; readonly scanned: readonly PlainScanned[] }
  | { readonly kind: 'ended' };
