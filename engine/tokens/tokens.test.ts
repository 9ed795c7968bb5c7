import { generateKeyPairSync, randomBytes, type KeyObject } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SignJWT } from 'jose';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { createKeyring, openKeyring, rawPublicKey, type Keyring } from '../crypto/keyring.js';
import { Engine } from '../engine.js';
import { MemoryLog } from '../log/memory.js';
import { MemoryStore } from '../store/memory.js';
import { sha256 } from '../crypto/hash.js';
import type { Writer } from '../types.js';
import { allows, formatGrant, parseGrant, readsEverything } from './grants.js';

const directory = mkdtempSync(join(tmpdir(), 'tokens-'));
afterAll(() => rmSync(directory, { recursive: true }));
const issuer: Writer = { actor: 'system:test', tokenId: null, writeLimit: null };

function newKeyring(name: string): Keyring {
  const keys = { masterKey: randomBytes(32), dek: randomBytes(32) };
  createKeyring(join(directory, name), keys);
  return openKeyring(join(directory, name), keys);
}
const keyring = newKeyring('one');
const START = 1_800_000_000;

let now: number;
let log: MemoryLog;
let store: MemoryStore;
let engine: Engine;
const open = (ring = keyring, at = { store, log }): Promise<Engine> =>
  Engine.open({ ...at, keyring: ring, directory: null, clock: () => now * 1e6 });
beforeEach(async () => {
  now = START;
  log = new MemoryLog();
  store = new MemoryStore();
  engine = await open();
});

const request = {
  identifierType: 'user',
  identifierId: 'jane',
  grants: [parseGrant('append:patient:p-1')],
  expiresAt: START + 60,
  writeLimit: 5n,
};
const issue = (more: object = {}): Promise<{ token: string; tokenId: string }> =>
  engine.tokens.generate({ ...request, ...more }, issuer);
const refused = (message?: RegExp): unknown =>
  expect.objectContaining({
    sqlstate: '28P01',
    message: expect.stringMatching(message ?? /^token is not valid$/) as string,
  });

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const decode = (part: string | undefined): Record<string, unknown> =>
  JSON.parse(Buffer.from(part ?? '', 'base64url').toString()) as Record<string, unknown>;

describe('a token', () => {
  test('says who, what, how much and until when', async () => {
    const { token, tokenId } = await issue();
    expect(await engine.tokens.authenticate(token)).toEqual({
      actor: 'user:jane',
      tokenId,
      grants: request.grants,
      expiresAt: START + 60,
      writeLimit: 5n,
    });
  });

  test('expires to the second, also on a connection that is open', async () => {
    const { token } = await issue();
    const identity = await engine.tokens.authenticate(token);
    now = START + 59;
    await engine.tokens.authenticate(token);
    engine.tokens.requireValid(identity);
    now = START + 60;
    await expect(engine.tokens.authenticate(token)).rejects.toEqual(refused(/has expired/));
    expect(() => engine.tokens.requireValid(identity)).toThrow(refused(/has expired/));
  });

  test('is not valid long before it was issued', async () => {
    const { token } = await issue();
    now = START - 100;
    await expect(engine.tokens.authenticate(token)).rejects.toEqual(refused());
  });

  test('once revoked is refused, also on an open connection and after a restart', async () => {
    const { token, tokenId } = await issue();
    const { token: other } = await issue();
    const identity = await engine.tokens.authenticate(token);
    await engine.tokens.revoke(tokenId, issuer);
    await expect(engine.tokens.authenticate(token)).rejects.toEqual(refused(/was revoked/));
    expect(() => engine.tokens.requireValid(identity)).toThrow(refused(/was revoked/));
    await engine.tokens.authenticate(other);
    const again = await open(keyring, { store, log: log.reopen() });
    await expect(again.tokens.authenticate(token)).rejects.toEqual(refused(/was revoked/));
    await expect(engine.tokens.revoke('no-such-token', issuer)).rejects.toMatchObject({ sqlstate: '42704' });
  });

  test('itself is stored nowhere, its record is', async () => {
    const { token, tokenId } = await issue();
    const records = [];
    for await (const record of engine.tokens.all()) records.push(record);
    expect(records).toMatchObject([
      { tokenId, identifierId: 'jane', grants: ['append:patient:p-1'], revoked: false },
    ]);
    const signature = token.split('.')[2] ?? '';
    for await (const events of engine.events({ internal: true }))
      expect(
        JSON.stringify(events, (_k, v: unknown) => (typeof v === 'bigint' ? String(v) : v)),
      ).not.toContain(signature);
  });

  test.each<[string, object]>([
    ['no grant', { grants: [] }],
    ['an end in the past', { expiresAt: START }],
    ['an empty identifier', { identifierId: '' }],
    ['a colon in the type', { identifierType: 'a:b' }],
    ['white space', { identifierId: 'a b' }],
  ])('with %s is not issued', async (_what, more) => {
    await expect(issue(more)).rejects.toMatchObject({ sqlstate: '22023' });
    expect(engine.committedPosition()).toBe(0n);
  });
});

describe('forged tokens are refused', () => {
  const keyId = (key: KeyObject): string => sha256(rawPublicKey(key)).toString('hex').slice(0, 16);
  const header = { alg: 'EdDSA', typ: 'eventful+jwt', kid: keyId(keyring.tokenKey) };
  const claims = {
    iss: keyring.storeId.toString('hex'),
    sub: 'user:jane',
    jti: 'forged',
    nbf: START,
    exp: START + 60,
    grants: ['admin'],
  };
  const signed = (h: object, c: object, key = keyring.tokenKey): Promise<string> =>
    new SignJWT({ ...c }).setProtectedHeader({ ...header, ...h }).sign(key);

  test('the forger of these tests makes good ones', async () => {
    expect(await engine.tokens.authenticate(await signed({}, claims))).toMatchObject({ tokenId: 'forged' });
  });

  test.each<[string, object, object]>([
    ['another typ', { typ: 'JWT' }, {}],
    ['no typ', { typ: undefined }, {}],
    ['another kid', { kid: 'ffffffffffffffff' }, {}],
    ['no kid', { kid: undefined }, {}],
    ['another issuer', {}, { iss: 'other' }],
    ['no issuer', {}, { iss: undefined }],
    ['no expiry', {}, { exp: undefined }],
    ['no begin', {}, { nbf: undefined }],
    ['no id', {}, { jti: undefined }],
    ['no subject', {}, { sub: undefined }],
    ['no grants', {}, { grants: undefined }],
  ])('%s', async (_what, h, c) => {
    const token = await signed(h, { ...claims, ...c });
    await expect(engine.tokens.authenticate(token)).rejects.toEqual(refused());
  });

  test('alg none and HMAC with the public key', async () => {
    const none = `${encode({ ...header, alg: 'none' })}.${encode(claims)}.`;
    await expect(engine.tokens.authenticate(none)).rejects.toEqual(refused());
    const secret = rawPublicKey(keyring.tokenKey);
    const hmac = await new SignJWT(claims).setProtectedHeader({ ...header, alg: 'HS256' }).sign(secret);
    await expect(engine.tokens.authenticate(hmac)).rejects.toEqual(refused());
  });

  test('a key of nobody, and the key that signs checkpoints', async () => {
    const { privateKey } = generateKeyPairSync('ed25519');
    for (const key of [privateKey, keyring.signingKey])
      await expect(engine.tokens.authenticate(await signed({}, claims, key))).rejects.toEqual(refused());
  });

  test("another store's token", async () => {
    const other = await open(newKeyring('two'), { store: new MemoryStore(), log: new MemoryLog() });
    const { token } = await other.tokens.generate(request, issuer);
    await other.tokens.authenticate(token);
    await expect(engine.tokens.authenticate(token)).rejects.toEqual(refused());
  });

  test('every claim and header is covered by the signature', async () => {
    const { token } = await issue();
    const [h, p, s] = token.split('.');
    for (const [name, value] of Object.entries({
      grants: ['admin'],
      exp: START + 9999,
      jti: 'x',
      sub: 'user:root',
      limit: '999',
      nbf: 1,
    })) {
      const forged = [h, encode({ ...decode(p), [name]: value }), s].join('.');
      await expect(engine.tokens.authenticate(forged)).rejects.toEqual(refused());
    }
    const forged = [encode({ ...decode(h), extra: 1 }), p, s].join('.');
    await expect(engine.tokens.authenticate(forged)).rejects.toEqual(refused());
  });

  test('any changed character', async () => {
    const { token } = await issue();
    for (let i = 0; i < token.length - 1; i++) {
      const changed = token.slice(0, i) + (token[i] === 'A' ? 'B' : 'A') + token.slice(i + 1);
      await expect(engine.tokens.authenticate(changed)).rejects.toMatchObject({ sqlstate: '28P01' });
    }
  });

  test.each(['', '.', '..', 'eyJ', 'a.b.c', 'x'.repeat(20_000), '\0'])('garbage', async (garbage) => {
    await expect(engine.tokens.authenticate(garbage)).rejects.toEqual(refused());
  });
});

describe('grants', () => {
  test('are exact unless they end in *', () => {
    const grant = (text: string) => (action: 'append' | 'read', type: string, id: string) =>
      allows([parseGrant(text)], action, type, id);
    const one = grant('read:patient:p-1');
    expect(one('read', 'patient', 'p-1')).toBe(true);
    for (const id of ['p-10', 'p-11', 'p-', 'p', 'P-1', 'xp-1', ''])
      expect(one('read', 'patient', id)).toBe(false);
    expect(one('append', 'patient', 'p-1')).toBe(false);
    expect(one('read', 'patients', 'p-1')).toBe(false);
    const prefix = grant('append:patient:p-1*');
    expect([prefix('append', 'patient', 'p-1'), prefix('append', 'patient', 'p-10')]).toEqual([true, true]);
    expect(prefix('append', 'patient', 'p-2')).toBe(false);
    expect(grant('read:patient')('read', 'patient', 'any')).toBe(true);
    expect(grant('admin')('append', 'anything', 'any')).toBe(true);
  });

  test('ids may hold colons; what is no grant is refused', () => {
    expect(parseGrant('read:patient:a:b')).toEqual({
      action: 'read',
      aggregateType: 'patient',
      aggregateId: 'a:b',
    });
    for (const text of [
      '',
      'read',
      'read:',
      'write:patient:*',
      'admin:x',
      'Admin',
      'read::x',
      'append:patient:',
      'read:pat*',
      'read:pa*t:p-1',
      'append:patient:p-*-x',
      'append:patient:**',
    ])
      expect(() => parseGrant(text)).toThrow(expect.objectContaining({ sqlstate: '22023' }));
    for (const text of ['admin', 'read:a:b', 'append:*:*', 'read:a:b:c*', 'read:*:p-*'])
      expect(formatGrant(parseGrant(text))).toBe(text);
  });

  test('only admin and read:*:* read everything', () => {
    expect(
      ['admin', 'read:*:*', 'read:patient:*', 'append:*:*'].map((g) => readsEverything([parseGrant(g)])),
    ).toEqual([true, true, false, false]);
  });
});
