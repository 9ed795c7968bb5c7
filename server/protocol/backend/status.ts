/** ReadyForQuery ('Z') and ParameterStatus ('S'). */
import { BodyReader, cstringBytes, protocolViolation, putCstring, startMessage } from '../bytes.js';

export const READY_FOR_QUERY = 0x5a;
export const PARAMETER_STATUS = 0x53;

/** I: idle, T: in a transaction, E: in a failed transaction. */
export type TransactionStatus = 'I' | 'T' | 'E';

function readyForQuery(status: TransactionStatus): Buffer {
  const message = startMessage(READY_FOR_QUERY, 1);
  message[5] = status.charCodeAt(0);
  return message;
}

const READY = { I: readyForQuery('I'), T: readyForQuery('T'), E: readyForQuery('E') } as const;

/** The same bytes each time: not to be changed. */
export function encodeReadyForQuery(status: TransactionStatus): Buffer {
  return READY[status];
}

export function decodeReadyForQuery(body: Buffer): TransactionStatus {
  const reader = new BodyReader(body, 'ReadyForQuery');
  const status = String.fromCharCode(reader.uint8());
  reader.end();
  if (status === 'I' || status === 'T' || status === 'E') return status;
  throw protocolViolation('invalid transaction status in ReadyForQuery message');
}

export interface ParameterStatus {
  readonly name: string;
  readonly value: string;
}

export function encodeParameterStatus({ name, value }: ParameterStatus): Buffer {
  const message = startMessage(PARAMETER_STATUS, cstringBytes(name) + cstringBytes(value));
  putCstring(message, putCstring(message, 5, name), value);
  return message;
}

export function decodeParameterStatus(body: Buffer): ParameterStatus {
  const reader = new BodyReader(body, 'ParameterStatus');
  const name = reader.cstring();
  const value = reader.cstring();
  reader.end();
  return { name, value };
}
