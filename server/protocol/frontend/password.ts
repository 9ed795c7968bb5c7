/** PasswordMessage ('p'): the answer to AuthenticationCleartextPassword. */
import { BodyReader, textMessage } from '../bytes.js';

export const PASSWORD = 0x70;

export interface Password {
  readonly kind: 'password';
  readonly password: string;
}

export function decodePassword(body: Buffer): Password {
  const reader = new BodyReader(body, 'Password');
  const password = reader.cstring();
  reader.end();
  return { kind: 'password', password };
}

export function encodePassword(password: string): Buffer {
  return textMessage(PASSWORD, password);
}
