/** ErrorResponse ('E') and NoticeResponse ('N'): lettered fields, ended by a zero byte. */
import { DatabaseError, SqlState } from '../../../engine/errors.js';
import { BodyReader, putCstring, startMessage } from '../bytes.js';

export const ERROR_RESPONSE = 0x45;
export const NOTICE_RESPONSE = 0x4e;

export type ErrorSeverity = 'ERROR' | 'FATAL' | 'PANIC';
export type NoticeSeverity = 'WARNING' | 'NOTICE' | 'INFO' | 'LOG' | 'DEBUG';

/** What is said in an error or notice; a DatabaseError is one. */
export interface ErrorReport {
  readonly sqlstate: string;
  readonly message: string;
  readonly detail?: string | undefined;
  readonly hint?: string | undefined;
  /** Character position in the statement, from 1. */
  readonly position?: number | undefined;
}

/** Field letter → value, in the order received: S, V severity; C SQLSTATE; M message; D detail; H hint; P position. */
export type ErrorFields = ReadonlyMap<string, string>;

export function encodeErrorResponse(error: ErrorReport, severity: ErrorSeverity = 'ERROR'): Buffer {
  return encodeErrorFields(ERROR_RESPONSE, reportFields(error, severity));
}

export function encodeNoticeResponse(notice: ErrorReport, severity: NoticeSeverity = 'NOTICE'): Buffer {
  return encodeErrorFields(NOTICE_RESPONSE, reportFields(notice, severity));
}

function reportFields(report: ErrorReport, severity: string): ErrorFields {
  // S, V, C and M are not optional: without one of them some drivers report a broken connection.
  const fields = new Map([
    ['S', severity],
    ['V', severity],
    ['C', report.sqlstate],
    ['M', report.message],
  ]);
  if (report.detail !== undefined) fields.set('D', report.detail);
  if (report.hint !== undefined) fields.set('H', report.hint);
  if (report.position !== undefined) fields.set('P', String(report.position));
  return fields;
}

/** `type` is ERROR_RESPONSE or NOTICE_RESPONSE. Zero bytes inside a value are left out: reporting must not fail. */
export function encodeErrorFields(type: number, fields: ErrorFields): Buffer {
  const entries = [...fields].map(([letter, value]) => [letter, value.replaceAll('\0', '')] as const);
  let size = 1;
  for (const [, value] of entries) size += 2 + Buffer.byteLength(value);
  const message = startMessage(type, size);
  let at = 5;
  for (const [letter, value] of entries) {
    message[at] = letter.charCodeAt(0);
    at = putCstring(message, at + 1, value);
  }
  message[at] = 0;
  return message;
}

/** Reads the body of an ErrorResponse or NoticeResponse. */
export function decodeErrorFields(body: Buffer): Map<string, string> {
  const reader = new BodyReader(body, 'ErrorResponse');
  const fields = new Map<string, string>();
  for (let letter = reader.uint8(); letter !== 0; letter = reader.uint8()) {
    fields.set(String.fromCharCode(letter), reader.lenientCstring());
  }
  reader.end();
  return fields;
}

/** The fields with some replaced (a string) or left out (null); the rest keeps its order. */
export function changeErrorFields(
  fields: ErrorFields,
  changes: Readonly<Record<string, string | null>>,
): Map<string, string> {
  const changed = new Map(fields);
  for (const [letter, value] of Object.entries(changes)) {
    if (value === null) changed.delete(letter);
    else changed.set(letter, value);
  }
  return changed;
}

/** What another server reported, as our own error. */
export function errorFromFields(fields: ErrorFields): DatabaseError {
  const detail = fields.get('D');
  const hint = fields.get('H');
  const position = Number(fields.get('P') ?? '0');
  return new DatabaseError(fields.get('C') ?? SqlState.internalError, fields.get('M') ?? 'unknown error', {
    ...(detail === undefined ? {} : { detail }),
    ...(hint === undefined ? {} : { hint }),
    ...(position > 0 ? { position } : {}),
  });
}
