/** ParameterDescription ('t'): the type OIDs of a statement's parameters. */
import { BodyReader, checkCount, protocolViolation, startMessage } from '../bytes.js';

export const PARAMETER_DESCRIPTION = 0x74;

export function encodeParameterDescription(typeOids: readonly number[]): Buffer {
  const count = checkCount(typeOids.length, 'parameters');
  const message = startMessage(PARAMETER_DESCRIPTION, 2 + 4 * count);
  let at = message.writeUInt16BE(count, 5);
  for (const oid of typeOids) at = message.writeUInt32BE(oid, at);
  return message;
}

export function decodeParameterDescription(body: Buffer): number[] {
  const reader = new BodyReader(body, 'ParameterDescription');
  const count = reader.uint16();
  if (count * 4 !== reader.remaining) throw protocolViolation('invalid parameter count');
  const typeOids: number[] = [];
  for (let index = 0; index < count; index++) typeOids.push(reader.uint32());
  return typeOids;
}
