/** Tells apart what arrives on a database port and is not the PostgreSQL protocol. */
import { DatabaseError, SqlState } from '../../engine/errors.js';

const HTTP_STARTS = ['GET ', 'POST', 'PUT ', 'HEAD', 'DELE', 'OPTI', 'PATC', 'CONN', 'TRAC', 'PRI '];
const TLS_HANDSHAKE = 0x16;

/** The first bytes are an HTTP request line. Needs 4 bytes. */
export function looksLikeHttp(bytes: Buffer): boolean {
  return bytes.length >= 4 && HTTP_STARTS.includes(bytes.toString('latin1', 0, 4));
}

/** The first byte begins a TLS handshake: a client that does not ask with an SSLRequest first. */
export function looksLikeTls(bytes: Buffer): boolean {
  return bytes[0] === TLS_HANDSHAKE;
}

/** The error (08P01) for a startup packet of impossible length, with a hint where the bytes are recognised. */
export function startupGarbage(bytes: Buffer): DatabaseError {
  const message = 'invalid length of startup packet';
  if (looksLikeHttp(bytes)) {
    const hint = 'This port speaks the PostgreSQL wire protocol, not HTTP.';
    return new DatabaseError(SqlState.protocolViolation, message, { hint });
  }
  if (looksLikeTls(bytes)) {
    const hint = 'Direct TLS negotiation is not supported; use sslnegotiation=postgres.';
    return new DatabaseError(SqlState.protocolViolation, message, { hint });
  }
  return new DatabaseError(SqlState.protocolViolation, message);
}
