import type { AggRange } from '../codec/keys.js';
import type { PlainKeys } from '../repository.js';
import type { Scanned } from './scan.js';

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

/**
 * `begin` comes once the store is open; its `newest` is a position no younger than anything in there. Each `next` is
 * answered once, in order.
 */
export type ToScan =
  { readonly kind: 'begin'; readonly newest: number } | { readonly kind: 'next' } | { readonly kind: 'end' };

export type FromScan =
  /** The store is open to read, as it is now. */
  | { readonly kind: 'opened' }
  /** It cannot be opened a second time. */
  | { readonly kind: 'failed' }
  | { readonly kind: 'scanned'; readonly scanned: readonly Scanned[] }
  | { readonly kind: 'ended' };
