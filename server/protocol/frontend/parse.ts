/** Parse ('P'): names a prepared statement. */
import {
  BodyReader,
  checkCount,
  cstringBytes,
  protocolViolation,
  putCstring,
  startMessage,
} from '../bytes.js';

export const PARSE = 0x50;

export interface Parse {
  readonly kind: 'parse';
  /** Empty: the unnamed statement. */
  readonly statement: string;
  readonly text: string;
  /** Type OIDs; 0 or a missing one means: infer. */
  readonly parameterTypes: readonly number[];
}

export function decodeParse(body: Buffer): Parse {
  const reader = new BodyReader(body, 'Parse');
  const statement = reader.cstring();
  const text = reader.cstring();
  const count = reader.uint16();
  if (count * 4 !== reader.remaining) throw protocolViolation('invalid parameter count in Parse message');
  const parameterTypes: number[] = [];
  for (let index = 0; index < count; index++) parameterTypes.push(reader.uint32());
  return { kind: 'parse', statement, text, parameterTypes };
}

export function encodeParse(parse: Omit<Parse, 'kind'>): Buffer {
  const { statement, text, parameterTypes } = parse;
  const count = checkCount(parameterTypes.length, 'parameters');
  const message = startMessage(PARSE, cstringBytes(statement) + cstringBytes(text) + 2 + 4 * count);
  let at = putCstring(message, putCstring(message, 5, statement), text);
  at = message.writeUInt16BE(count, at);
  for (const oid of parameterTypes) at = message.writeUInt32BE(oid, at);
  return message;
}
