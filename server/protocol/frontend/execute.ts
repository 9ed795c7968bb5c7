/** Execute ('E'): runs a portal. */
import { BodyReader, cstringBytes, putCstring, startMessage } from '../bytes.js';

export const EXECUTE = 0x45;

export interface Execute {
  readonly kind: 'execute';
  readonly portal: string;
  /** Rows to return before PortalSuspended; 0 or less means all. */
  readonly maxRows: number;
}

export function decodeExecute(body: Buffer): Execute {
  const reader = new BodyReader(body, 'Execute');
  const portal = reader.cstring();
  const maxRows = reader.int32();
  reader.end();
  return { kind: 'execute', portal, maxRows };
}

export function encodeExecute(portal: string, maxRows = 0): Buffer {
  const message = startMessage(EXECUTE, cstringBytes(portal) + 4);
  message.writeInt32BE(maxRows, putCstring(message, 5, portal));
  return message;
}
