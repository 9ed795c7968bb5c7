/** Query ('Q'): SQL text, possibly several statements. */
import { BodyReader, textMessage } from '../bytes.js';

export const QUERY = 0x51;

export interface Query {
  readonly kind: 'query';
  readonly text: string;
}

export function decodeQuery(body: Buffer): Query {
  const reader = new BodyReader(body, 'Query');
  const text = reader.cstring();
  reader.end();
  return { kind: 'query', text };
}

export function encodeQuery(text: string): Buffer {
  return textMessage(QUERY, text);
}
