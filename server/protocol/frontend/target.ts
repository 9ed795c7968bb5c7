/** What Describe and Close have in common: they name a statement or a portal. */
import { BodyReader, cstringBytes, protocolViolation, putCstring, startMessage } from '../bytes.js';

export interface Target {
  readonly target: 'statement' | 'portal';
  /** Empty: the unnamed one. */
  readonly name: string;
}

const STATEMENT = 0x53;
const PORTAL = 0x50;

export function decodeTarget(body: Buffer, message: string): Target {
  const reader = new BodyReader(body, message);
  const letter = reader.uint8();
  const name = reader.cstring();
  reader.end();
  if (letter !== STATEMENT && letter !== PORTAL) {
    throw protocolViolation(`invalid ${message.toUpperCase()} message subtype ${letter}`);
  }
  return { target: letter === STATEMENT ? 'statement' : 'portal', name };
}

export function encodeTarget(type: number, { target, name }: Target): Buffer {
  const message = startMessage(type, 1 + cstringBytes(name));
  message[5] = target === 'statement' ? STATEMENT : PORTAL;
  putCstring(message, 6, name);
  return message;
}
