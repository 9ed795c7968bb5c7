/** COPY FROM STDIN: CopyData ('d'), CopyDone ('c'), CopyFail ('f'). */
import { BodyReader } from '../bytes.js';

export const COPY_DATA = 0x64;
export const COPY_DONE = 0x63;
export const COPY_FAIL = 0x66;

export interface CopyData {
  readonly kind: 'copyData';
  /** Any bytes: a chunk need not end at a row. A view of the received message. */
  readonly data: Buffer;
}

export interface CopyDone {
  readonly kind: 'copyDone';
}

export interface CopyFail {
  readonly kind: 'copyFail';
  readonly reason: string;
}

export function decodeCopyData(body: Buffer): CopyData {
  return { kind: 'copyData', data: body };
}

export function decodeCopyDone(body: Buffer): CopyDone {
  new BodyReader(body, 'CopyDone').end();
  return { kind: 'copyDone' };
}

export function decodeCopyFail(body: Buffer): CopyFail {
  const reader = new BodyReader(body, 'CopyFail');
  const reason = reader.cstring();
  reader.end();
  return { kind: 'copyFail', reason };
}
