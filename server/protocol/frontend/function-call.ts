/** FunctionCall ('F'): the obsolete fast path; read whole so that it can be refused in its place. */
import { BodyReader, asFormat, protocolViolation } from '../bytes.js';

export const FUNCTION_CALL = 0x46;

export interface FunctionCall {
  readonly kind: 'functionCall';
  readonly functionOid: number;
}

export function decodeFunctionCall(body: Buffer): FunctionCall {
  const reader = new BodyReader(body, 'FunctionCall');
  const functionOid = reader.uint32();
  const formats = reader.formats();
  const values = reader.values();
  if (formats.length > 1 && formats.length !== values.length) {
    const counts = `${formats.length} argument formats but ${values.length} arguments`;
    throw protocolViolation(`function call message contains ${counts}`);
  }
  asFormat(reader.uint16());
  reader.end();
  return { kind: 'functionCall', functionOid };
}
