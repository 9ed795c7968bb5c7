/** Describe ('D'): asks for the columns of a statement or portal. */
import type { Target } from './target.js';
import { decodeTarget, encodeTarget } from './target.js';

export const DESCRIBE = 0x44;

export interface Describe extends Target {
  readonly kind: 'describe';
}

export function decodeDescribe(body: Buffer): Describe {
  return { kind: 'describe', ...decodeTarget(body, 'Describe') };
}

export function encodeDescribe(target: Target): Buffer {
  return encodeTarget(DESCRIBE, target);
}
