/** Close ('C'): ends a statement or portal. */
import type { Target } from './target.js';
import { decodeTarget, encodeTarget } from './target.js';

export const CLOSE = 0x43;

export interface Close extends Target {
  readonly kind: 'close';
}

export function decodeClose(body: Buffer): Close {
  return { kind: 'close', ...decodeTarget(body, 'Close') };
}

export function encodeClose(target: Target): Buffer {
  return encodeTarget(CLOSE, target);
}
