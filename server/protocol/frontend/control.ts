/** The messages without a body: Sync ('S'), Flush ('H'), Terminate ('X'). */
import { BodyReader, startMessage } from '../bytes.js';

export const SYNC = 0x53;
export const FLUSH = 0x48;
export const TERMINATE = 0x58;

export interface Sync {
  readonly kind: 'sync';
}

export interface Flush {
  readonly kind: 'flush';
}

export interface Terminate {
  readonly kind: 'terminate';
}

const theSync: Sync = { kind: 'sync' };

export function decodeSync(body: Buffer): Sync {
  if (body.length > 0) new BodyReader(body, 'Sync').end();
  return theSync;
}

export function decodeFlush(body: Buffer): Flush {
  new BodyReader(body, 'Flush').end();
  return { kind: 'flush' };
}

export function decodeTerminate(body: Buffer): Terminate {
  new BodyReader(body, 'Terminate').end();
  return { kind: 'terminate' };
}

export function encodeSync(): Buffer {
  return startMessage(SYNC, 0);
}

export function encodeFlush(): Buffer {
  return startMessage(FLUSH, 0);
}

export function encodeTerminate(): Buffer {
  return startMessage(TERMINATE, 0);
}
