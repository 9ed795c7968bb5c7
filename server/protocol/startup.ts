/** Startup packets: the messages without a type byte that open a connection. */
import { DatabaseError, SqlState } from '../../engine/errors.js';
import { BodyReader, cstringBytes, protocolViolation, putCstring } from './bytes.js';

export const CANCEL_REQUEST_CODE = 80877102;
export const SSL_REQUEST_CODE = 80877103;
export const GSSENC_REQUEST_CODE = 80877104;
const PROTOCOL_3_0 = 3 << 16;
const MIN_SECRET_BYTES = 4;
const MAX_SECRET_BYTES = 256;
const EXTENSION_PREFIX = '_pq_.';

export interface CancelRequest {
  readonly kind: 'cancel';
  readonly processId: number;
  /** 4 bytes in protocol 3.0, up to 256 in 3.2. */
  readonly secret: Buffer;
}

export interface StartupMessage {
  readonly kind: 'startup';
  /** Of the version asked for, 3.minor. Above 0 it must be answered with NegotiateProtocolVersion. */
  readonly minor: number;
  /** Name → value, `user` always among them. A name given twice has its last value. */
  readonly parameters: ReadonlyMap<string, string>;
  /** The `_pq_.*` options, by their whole name. Each unknown one must be named in NegotiateProtocolVersion. */
  readonly extensions: ReadonlyMap<string, string>;
}

export type StartupPacket =
  { readonly kind: 'ssl' } | { readonly kind: 'gssenc' } | CancelRequest | StartupMessage;

/**
 * Reads the body of a startup packet (what follows its length). Throws 08P01 for a bad layout, 28000 when there is no
 * user, 0A000 for a protocol version other than 3.
 */
export function parseStartup(body: Buffer): StartupPacket {
  const reader = new BodyReader(body, 'startup');
  const code = reader.uint32();
  switch (code) {
    case SSL_REQUEST_CODE:
      reader.end();
      return { kind: 'ssl' };
    case GSSENC_REQUEST_CODE:
      reader.end();
      return { kind: 'gssenc' };
    case CANCEL_REQUEST_CODE:
      return parseCancel(reader);
    default:
      return parseParameters(reader, code);
  }
}

function parseCancel(reader: BodyReader): CancelRequest {
  const processId = reader.int32();
  const secret = reader.rest();
  if (secret.length < MIN_SECRET_BYTES || secret.length > MAX_SECRET_BYTES) {
    throw protocolViolation('invalid length of cancel request packet');
  }
  return { kind: 'cancel', processId, secret };
}

function parseParameters(reader: BodyReader, code: number): StartupMessage {
  const major = code >>> 16;
  const minor = code & 0xffff;
  if (major !== 3) {
    const message = `unsupported frontend protocol ${major}.${minor}: server supports 3.0 to 3.0`;
    throw new DatabaseError(SqlState.featureNotSupported, message);
  }
  const parameters = new Map<string, string>();
  const extensions = new Map<string, string>();
  for (;;) {
    const name = startupText(reader);
    if (name === '') break;
    const value = startupText(reader);
    (name.startsWith(EXTENSION_PREFIX) ? extensions : parameters).set(name, value);
  }
  if (reader.remaining !== 0) throw badLayout();
  if ((parameters.get('user') ?? '') === '') {
    throw new DatabaseError(
      SqlState.invalidAuthorization,
      'no PostgreSQL user name specified in startup packet',
    );
  }
  return { kind: 'startup', minor, parameters, extensions };
}

/** Bad text in a startup packet is 08P01: there is no encoding agreed on yet that it could violate. */
function startupText(reader: BodyReader): string {
  if (reader.remaining === 0) throw badLayout();
  try {
    return reader.cstring();
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    throw error.sqlstate === SqlState.characterNotInRepertoire
      ? protocolViolation('invalid startup packet: parameters must be UTF-8')
      : badLayout();
  }
}

function badLayout(): DatabaseError {
  return protocolViolation('invalid startup packet layout: expected terminator as last byte');
}

/** A protocol 3.0 startup message, to open a connection to PostgreSQL. */
export function encodeStartup(parameters: Iterable<readonly [string, string]>): Buffer {
  const pairs = [...parameters];
  let size = 9;
  for (const [name, value] of pairs) size += cstringBytes(name) + cstringBytes(value);
  const packet = Buffer.allocUnsafe(size);
  packet.writeUInt32BE(size, 0);
  let at = packet.writeUInt32BE(PROTOCOL_3_0, 4);
  for (const [name, value] of pairs) at = putCstring(packet, putCstring(packet, at, name), value);
  packet[at] = 0;
  return packet;
}

export function encodeSslRequest(): Buffer {
  const packet = Buffer.allocUnsafe(8);
  packet.writeUInt32BE(8, 0);
  packet.writeUInt32BE(SSL_REQUEST_CODE, 4);
  return packet;
}

export function encodeCancelRequest(processId: number, secret: Buffer): Buffer {
  const packet = Buffer.allocUnsafe(12 + secret.length);
  packet.writeUInt32BE(packet.length, 0);
  packet.writeUInt32BE(CANCEL_REQUEST_CODE, 4);
  packet.writeInt32BE(processId, 8);
  packet.set(secret, 12);
  return packet;
}
