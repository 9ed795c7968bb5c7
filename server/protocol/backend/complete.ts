/** What ends a step: CommandComplete and the messages without a body. The same bytes each time: not to be changed. */
import { BodyReader, startMessage, textMessage } from '../bytes.js';

export const COMMAND_COMPLETE = 0x43;
export const PARSE_COMPLETE = 0x31;
export const BIND_COMPLETE = 0x32;
export const CLOSE_COMPLETE = 0x33;
export const NO_DATA = 0x6e;
export const EMPTY_QUERY_RESPONSE = 0x49;
export const PORTAL_SUSPENDED = 0x73;

/** Those of the most usual tags. */
const COMPLETE: ReadonlyMap<string, Buffer> = new Map(
  ['SELECT 0', 'SELECT 1', 'INSERT 0 1'].map((tag) => [tag, textMessage(COMMAND_COMPLETE, tag)]),
);

/** `tag` as PostgreSQL writes it: `SELECT 3`, `INSERT 0 1`, `BEGIN`. */
export function encodeCommandComplete(tag: string): Buffer {
  return COMPLETE.get(tag) ?? textMessage(COMMAND_COMPLETE, tag);
}

export function decodeCommandComplete(body: Buffer): string {
  const reader = new BodyReader(body, 'CommandComplete');
  const tag = reader.cstring();
  reader.end();
  return tag;
}

export function encodeParseComplete(): Buffer {
  return startMessage(PARSE_COMPLETE, 0);
}

const bindComplete = startMessage(BIND_COMPLETE, 0);

export function encodeBindComplete(): Buffer {
  return bindComplete;
}

export function encodeCloseComplete(): Buffer {
  return startMessage(CLOSE_COMPLETE, 0);
}

export function encodeNoData(): Buffer {
  return startMessage(NO_DATA, 0);
}

export function encodeEmptyQueryResponse(): Buffer {
  return startMessage(EMPTY_QUERY_RESPONSE, 0);
}

export function encodePortalSuspended(): Buffer {
  return startMessage(PORTAL_SUSPENDED, 0);
}
