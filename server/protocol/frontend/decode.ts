/** One frame from a client → one typed message. */
import { protocolViolation } from '../bytes.js';
import type { Frame } from '../frames.js';
import type { Bind } from './bind.js';
import { BIND, decodeBind } from './bind.js';
import type { Close } from './close.js';
import { CLOSE, decodeClose } from './close.js';
import type { Flush, Sync, Terminate } from './control.js';
import { FLUSH, SYNC, TERMINATE, decodeFlush, decodeSync, decodeTerminate } from './control.js';
import type { CopyData, CopyDone, CopyFail } from './copy.js';
import { COPY_DATA, COPY_DONE, COPY_FAIL, decodeCopyData, decodeCopyDone, decodeCopyFail } from './copy.js';
import type { Describe } from './describe.js';
import { DESCRIBE, decodeDescribe } from './describe.js';
import type { Execute } from './execute.js';
import { EXECUTE, decodeExecute } from './execute.js';
import type { FunctionCall } from './function-call.js';
import { FUNCTION_CALL, decodeFunctionCall } from './function-call.js';
import type { Parse } from './parse.js';
import { PARSE, decodeParse } from './parse.js';
import type { Password } from './password.js';
import { PASSWORD, decodePassword } from './password.js';
import type { Query } from './query.js';
import { QUERY, decodeQuery } from './query.js';

export type FrontendMessage =
  | Query
  | Parse
  | Bind
  | Describe
  | Execute
  | Close
  | Sync
  | Flush
  | Terminate
  | Password
  | CopyData
  | CopyDone
  | CopyFail
  | FunctionCall;

const DECODERS: ReadonlyMap<number, (body: Buffer) => FrontendMessage> = new Map<
  number,
  (body: Buffer) => FrontendMessage
>([
  [QUERY, decodeQuery],
  [PARSE, decodeParse],
  [BIND, decodeBind],
  [DESCRIBE, decodeDescribe],
  [EXECUTE, decodeExecute],
  [CLOSE, decodeClose],
  [SYNC, decodeSync],
  [FLUSH, decodeFlush],
  [TERMINATE, decodeTerminate],
  [PASSWORD, decodePassword],
  [COPY_DATA, decodeCopyData],
  [COPY_DONE, decodeCopyDone],
  [COPY_FAIL, decodeCopyFail],
  [FUNCTION_CALL, decodeFunctionCall],
]);

/**
 * Throws 08P01 for a layout that is not the message's, 22021 for text that is not UTF-8, 22023 for an unknown format
 * code. The frame itself was whole, so the stream stays in step: answer with ERROR, not FATAL.
 */
export function decodeFrontend(frame: Pick<Frame, 'type' | 'body'>): FrontendMessage {
  const decode = DECODERS.get(frame.type);
  if (decode === undefined) throw protocolViolation(`invalid frontend message type ${frame.type}`);
  return decode(frame.body);
}
