import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createKeyring, keyringExists, openKeyring, parseKey, rawPublicKey } from './keyring.js';

let directory: string;
let file: string;
const keys = { masterKey: randomBytes(32), dek: randomBytes(32) };
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'keyring-'));
  file = join(directory, 'keyring.json');
});
afterEach(() => rmSync(directory, { recursive: true }));

const with_ = (change: Record<string, unknown>): void => {
  const content = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  writeFileSync(file, JSON.stringify({ ...content, ...change }));
};
const error = (sqlstate: string, message: string | RegExp): unknown =>
  expect.objectContaining({ sqlstate, message: expect.stringMatching(message) as string });

describe('a new keyring', () => {
  test('opens with its keys to the same keys every time', () => {
    createKeyring(directory, keys);
    const [a, b] = [openKeyring(directory, keys), openKeyring(directory, keys)];
    expect(a.storeId).toHaveLength(16);
    expect(a.storeId).toEqual(b.storeId);
    expect([a.indexKey, a.logKey, a.currentDataKey.bytes]).toEqual([
      b.indexKey,
      b.logKey,
      b.currentDataKey.bytes,
    ]);
    expect(rawPublicKey(a.signingKey)).toEqual(rawPublicKey(b.signingKey));
    const all = [
      a.indexKey,
      a.logKey,
      a.currentDataKey.bytes,
      rawPublicKey(a.signingKey),
      rawPublicKey(a.tokenKey),
    ];
    expect(new Set(all.map((key) => key.toString('hex'))).size).toBe(5);
  });

  test('shares nothing with another store under the same keys', () => {
    createKeyring(directory, keys);
    const otherDirectory = join(directory, 'other');
    createKeyring(otherDirectory, keys);
    const [a, b] = [openKeyring(directory, keys), openKeyring(otherDirectory, keys)];
    for (const name of ['storeId', 'indexKey', 'logKey'] as const) expect(a[name]).not.toEqual(b[name]);
    expect(a.currentDataKey.bytes).not.toEqual(b.currentDataKey.bytes);
  });

  test('holds no secret and is private to its owner', () => {
    createKeyring(directory, keys);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const bytes = readFileSync(file);
    const ring = openKeyring(directory, keys);
    const raw = (key: typeof ring.signingKey): Buffer =>
      key.export({ type: 'pkcs8', format: 'der' }).subarray(-32);
    const secrets = [keys.masterKey, keys.dek, ring.indexKey, ring.logKey, ring.currentDataKey.bytes];
    for (const secret of [...secrets, raw(ring.signingKey), raw(ring.tokenKey)]) {
      // As it is and in base64 at each of the three alignments it may have inside a longer text.
      const forms = [0, 1, 2].map((pad) =>
        Buffer.concat([Buffer.alloc(pad), secret])
          .toString('base64')
          .slice(4, -4),
      );
      for (const form of [secret.toString('hex'), secret.toString('latin1'), ...forms])
        expect(bytes.includes(form, 0, 'latin1')).toBe(false);
    }
  });

  test('is not made over another, and not with one key for both', () => {
    createKeyring(directory, keys);
    const before = readFileSync(file);
    expect(() => createKeyring(directory, keys)).toThrow(error('55000', 'already'));
    expect(readFileSync(file)).toEqual(before);
    const fresh = join(directory, 'fresh');
    const same = { masterKey: keys.dek, dek: keys.dek };
    expect(() => createKeyring(fresh, same)).toThrow(error('F0000', 'same key'));
    expect(keyringExists(fresh)).toBe(false);
  });
});

describe('opening', () => {
  test.each([
    ['master key', () => ({ ...keys, masterKey: randomBytes(32) })],
    ['DEK', () => ({ ...keys, dek: randomBytes(32) })],
    ['master key', () => ({ masterKey: keys.dek, dek: keys.masterKey })],
  ])('a wrong %s is named, and nothing changes', (name, wrong) => {
    createKeyring(directory, keys);
    const before = readFileSync(file);
    expect(() => openKeyring(directory, wrong())).toThrow(error('28P01', name));
    expect(readFileSync(file)).toEqual(before);
    expect(readdirSync(directory)).toEqual(['keyring.json']);
  });

  test('no store, an unknown format, a damaged file', () => {
    expect(() => openKeyring(directory, keys)).toThrow(error('F0000', 'no store'));
    expect(readdirSync(directory)).toEqual([]);
    createKeyring(directory, keys);
    for (const format of [2, 3, 5]) {
      with_({ format });
      expect(() => openKeyring(directory, keys)).toThrow(error('F0000', `the store has format ${format}`));
    }
    writeFileSync(file, '{"format":');
    expect(() => openKeyring(directory, keys)).toThrow(error('XX001', 'not readable'));
  });

  test('wrapped keys that were exchanged or altered do not unwrap', () => {
    createKeyring(directory, keys);
    const content = JSON.parse(readFileSync(file, 'utf8')) as { signingKey: string; tokenKey: string };
    with_({ signingKey: content.tokenKey, tokenKey: content.signingKey });
    expect(() => openKeyring(directory, keys)).toThrow(error('XX001', 'does not unwrap'));
    const altered = Buffer.from(content.signingKey, 'base64');
    altered[20] = (altered[20] ?? 0) ^ 1;
    with_({ ...content, signingKey: altered.toString('base64') });
    expect(() => openKeyring(directory, keys)).toThrow(error('XX001', 'signing key'));
  });

  test.each([
    ['null', null],
    ['a number', 7],
    ['no salt', { format: 1, storeId: 'ab' }],
    ['no data keys', 'empty ring'],
  ])('a file that is JSON but no keyring is damage, not a crash: %s', (_name, content) => {
    createKeyring(directory, keys);
    if (content === 'empty ring') with_({ dataKeys: [] });
    else writeFileSync(file, JSON.stringify(content));
    expect(() => openKeyring(directory, keys)).toThrow(expect.objectContaining({ name: 'DatabaseError' }));
  });
});

describe('parseKey', () => {
  const key = randomBytes(32);

  test.each([
    ['hex', key.toString('hex')],
    ['upper-case hex', key.toString('hex').toUpperCase()],
    ['base64', key.toString('base64')],
    ['base64 without padding', key.toString('base64').replace('=', '')],
    ['base64url', key.toString('base64url')],
    ['with white space around', ` ${key.toString('hex')}\n`],
  ])('%s', (_name, text) => expect(parseKey(text, 'DEK')).toEqual(key));

  test.each(['', 'secret', key.toString('hex').slice(2), key.toString('hex') + '00', 'g'.repeat(64)])(
    'refuses %j without repeating it',
    (text) => {
      expect(() => parseKey(text, 'DEK')).toThrow(error('F0000', /^the DEK is not a 256-bit key$/));
    },
  );
});
