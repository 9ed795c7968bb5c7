import { createHash, createHmac } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hmacSha256, sha256 } from './hash.js';

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  fc.uint8Array({ minLength: 1000, maxLength: 1100 }),
);

test('sha256 is SHA-256, on either side of the length where the library changes', () => {
  fc.assert(
    fc.property(bytes, (data) => {
      expect(sha256(data)).toEqual(createHash('sha256').update(data).digest());
    }),
  );
});

test('hmacSha256 is HMAC-SHA-256, also for empty keys and keys longer than a block', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), bytes, (key, data) => {
      expect(hmacSha256(key, data)).toEqual(createHmac('sha256', key).update(data).digest());
    }),
  );
});
