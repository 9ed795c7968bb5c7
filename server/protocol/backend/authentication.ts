/** Authentication ('R'), BackendKeyData ('K') and NegotiateProtocolVersion ('v'): the answers to a startup packet. */
import { BodyReader, cstringBytes, putCstring, startMessage } from '../bytes.js';

export const AUTHENTICATION = 0x52;
export const BACKEND_KEY_DATA = 0x4b;
export const NEGOTIATE_PROTOCOL_VERSION = 0x76;

/** Codes inside an Authentication message that a relay may meet. */
export const AuthenticationCode = { ok: 0, cleartextPassword: 3, md5Password: 5, sasl: 10 } as const;

function encodeAuthentication(code: number): Buffer {
  const message = startMessage(AUTHENTICATION, 4);
  message.writeUInt32BE(code, 5);
  return message;
}

export function encodeAuthenticationOk(): Buffer {
  return encodeAuthentication(AuthenticationCode.ok);
}

export function encodeAuthenticationCleartextPassword(): Buffer {
  return encodeAuthentication(AuthenticationCode.cleartextPassword);
}

/** `data` is what follows the code: the salt for MD5, the mechanisms for SASL. */
export function decodeAuthentication(body: Buffer): { readonly code: number; readonly data: Buffer } {
  const reader = new BodyReader(body, 'Authentication');
  return { code: reader.uint32(), data: reader.rest() };
}

/** What a client needs to cancel: 4 bytes of secret in protocol 3.0, up to 256 in 3.2. */
export interface BackendKeyData {
  readonly processId: number;
  readonly secret: Buffer;
}

export function encodeBackendKeyData({ processId, secret }: BackendKeyData): Buffer {
  const message = startMessage(BACKEND_KEY_DATA, 4 + secret.length);
  message.set(secret, message.writeInt32BE(processId, 5));
  return message;
}

export function decodeBackendKeyData(body: Buffer): BackendKeyData {
  const reader = new BodyReader(body, 'BackendKeyData');
  return { processId: reader.int32(), secret: reader.rest() };
}

/** Says: we speak 3.`minor` at most, and do not know these `_pq_.*` options. */
export function encodeNegotiateProtocolVersion(minor: number, unknownOptions: readonly string[]): Buffer {
  let size = 8;
  for (const option of unknownOptions) size += cstringBytes(option);
  const message = startMessage(NEGOTIATE_PROTOCOL_VERSION, size);
  let at = message.writeUInt32BE((3 << 16) | minor, 5);
  at = message.writeUInt32BE(unknownOptions.length, at);
  for (const option of unknownOptions) at = putCstring(message, at, option);
  return message;
}
