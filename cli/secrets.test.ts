import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { redact, UsageError } from './report.js';
import { givenKeys, requireKeys } from './secrets.js';

const directory = mkdtempSync(join(tmpdir(), 'eventful-secrets-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const [ONE, TWO, THREE] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2), Buffer.alloc(32, 3)];
const hex = (key: Buffer): string => key.toString('hex');
const file = join(directory, 'key');
writeFileSync(file, `${THREE.toString('base64')}\n`);

describe('keys', () => {
  it('come from options', () => {
    expect(givenKeys({ masterKey: hex(ONE), dek: TWO.toString('base64') }, {})).toEqual({
      masterKey: ONE,
      dek: TWO,
    });
  });

  it('come from files and the environment', () => {
    const environment = { EVENTFUL_MASTER_KEY: hex(ONE), EVENTFUL_DEK_FILE: file };
    expect(givenKeys({}, environment)).toEqual({ masterKey: ONE, dek: THREE });
    expect(givenKeys({ dekFile: file }, { EVENTFUL_MASTER_KEY_FILE: file })).toEqual({
      masterKey: THREE,
      dek: THREE,
    });
  });

  it('come from options before the environment', () => {
    const environment = { EVENTFUL_MASTER_KEY: hex(TWO), EVENTFUL_DEK: hex(TWO) };
    expect(givenKeys({ masterKey: hex(ONE) }, environment)?.masterKey).toEqual(ONE);
  });

  it('may be missing, but not one of them', () => {
    expect(givenKeys({}, {})).toBeNull();
    expect(givenKeys({}, { EVENTFUL_DEK: '' })).toBeNull();
    expect(() => givenKeys({ masterKey: hex(ONE) }, {})).toThrow(/DEK is missing/);
    expect(() => requireKeys({}, {})).toThrow(/are needed/);
  });

  it('are given once', () => {
    expect(() => givenKeys({ dek: hex(ONE), dekFile: file }, {})).toThrow(UsageError);
    expect(() => givenKeys({}, { EVENTFUL_DEK: hex(ONE), EVENTFUL_DEK_FILE: file })).toThrow(UsageError);
  });

  it('are not repeated by errors', () => {
    expect(() => givenKeys({ masterKey: 'hunter2', dek: hex(TWO) }, {})).toThrow(/^(?!.*hunter2)/);
    const token = 'eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ1c2VyIn0.c2lnbmF0dXJl';
    for (const secret of [hex(ONE), ONE.toString('base64'), token])
      expect(redact(`unknown option '--x=${secret}'`)).toBe("unknown option '--x=[secret]'");
  });
});
