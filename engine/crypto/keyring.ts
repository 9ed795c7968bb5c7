/**
 * The store's keys. Master key and DEK come from the operator and are never stored; `keyring.json` holds a salted
 * check value for each and the wrapped keys:
 *
 *   master key → HKDF → key-encryption key → wraps the checkpoint signing key and the token signing key (Ed25519)
 *   DEK        → HKDF → index key (HMAC of ids), log key (HMAC of log records), wrapping key of the data key ring
 */
import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hkdfSync,
  randomBytes,
  timingSafeEqual,
  type KeyObject,
} from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseError, SqlState } from '../errors.js';
import { SealKey } from './seal.js';

/** Of the whole store: keys, records and their sealing (docs/format-and-proofs.md). */
const FORMAT = 4;
const FILE = 'keyring.json';

/** What the operator must give: two independent 256-bit keys. */
export interface StoreKeys {
  readonly masterKey: Buffer;
  readonly dek: Buffer;
}

interface KeyringFile {
  readonly format: number;
  readonly storeId: string;
  readonly salt: string;
  readonly masterCheck: string;
  readonly dekCheck: string;
  readonly signingKey: string;
  readonly tokenKey: string;
  readonly dataKeys: readonly { readonly id: number; readonly wrapped: string }[];
}

export interface Keyring {
  /** 16 random bytes that name the store. */
  readonly storeId: Buffer;
  readonly signingKey: KeyObject;
  readonly tokenKey: KeyObject;
  readonly indexKey: Buffer;
  readonly logKey: Buffer;
  readonly ring: ReadonlyMap<number, SealKey>;
  readonly currentDataKey: SealKey;
}

/**
 * Reads a key given as text: 64 hexadecimal digits or 32 bytes in base64.
 * @throws DatabaseError F0000 when it is neither
 */
export function parseKey(text: string, name: string): Buffer {
  const trimmed = text.trim();
  if (/^[0-9a-fA-F]{64}$/.test(trimmed)) return Buffer.from(trimmed, 'hex');
  if (/^[A-Za-z0-9+/_-]{43}=?$/.test(trimmed)) return Buffer.from(trimmed, 'base64');
  throw new DatabaseError(SqlState.configFileError, `the ${name} is not a 256-bit key`, {
    hint: `Give 64 hexadecimal digits or 32 bytes in base64, for example from: openssl rand -hex 32`,
  });
}

function derive(key: Buffer, salt: Buffer, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', key, salt, `eventfuldb v1 ${purpose}`, 32));
}

/** AES-256-GCM with a random nonce: a wrapping key wraps a handful of keys in its life. */
function wrap(key: Buffer, plain: Buffer, purpose: string): string {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(Buffer.from(purpose));
  const body = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([nonce, body, cipher.getAuthTag()]).toString('base64');
}

function unwrap(key: Buffer, wrapped: string, purpose: string): Buffer {
  const bytes = Buffer.from(wrapped, 'base64');
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12), { authTagLength: 16 });
    decipher.setAAD(Buffer.from(purpose));
    decipher.setAuthTag(bytes.subarray(bytes.length - 16));
    return Buffer.concat([decipher.update(bytes.subarray(12, bytes.length - 16)), decipher.final()]);
  } catch {
    throw new DatabaseError(SqlState.dataCorrupted, `the keyring is damaged: its ${purpose} does not unwrap`);
  }
}

/** True once `createKeyring` made a store in this directory. */
export function keyringExists(directory: string): boolean {
  return existsSync(join(directory, FILE));
}

/**
 * Makes the keyring of a new store.
 * @throws DatabaseError 55000 when the directory already holds one
 */
export function createKeyring(directory: string, keys: StoreKeys): void {
  if (keyringExists(directory)) {
    throw new DatabaseError(
      SqlState.objectNotInPrerequisiteState,
      `there is a store in "${directory}" already`,
      {
        hint: 'Start it with "eventful start", or give another --data-dir.',
      },
    );
  }
  if (keys.masterKey.equals(keys.dek)) {
    throw new DatabaseError(SqlState.configFileError, 'the master key and the DEK must not be the same key');
  }
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const salt = randomBytes(32);
  const kek = derive(keys.masterKey, salt, 'key-encryption key');
  const pkcs8 = (): Buffer =>
    generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'der' });
  const file: KeyringFile = {
    format: FORMAT,
    storeId: randomBytes(16).toString('hex'),
    salt: salt.toString('base64'),
    masterCheck: derive(keys.masterKey, salt, 'check').toString('base64'),
    dekCheck: derive(keys.dek, salt, 'check').toString('base64'),
    signingKey: wrap(kek, pkcs8(), 'signing key'),
    tokenKey: wrap(kek, pkcs8(), 'token key'),
    dataKeys: [
      { id: 1, wrapped: wrap(derive(keys.dek, salt, 'data key ring'), randomBytes(32), 'data key 1') },
    ],
  };
  writeFileSync(join(directory, FILE), JSON.stringify(file, null, 2) + '\n', {
    mode: 0o600,
    flag: 'wx',
    flush: true,
  });
}

/** @throws DatabaseError F0000 when there is none, 58030 when it may not or cannot be read */
function readText(directory: string): string {
  const path = join(directory, FILE);
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code = 'unknown error' } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT')
      throw new DatabaseError(SqlState.configFileError, `there is no store in "${directory}"`, {
        hint: 'Make one with "eventful config", or give its --data-dir.',
      });
    throw new DatabaseError(SqlState.ioError, `cannot read "${path}": ${code}`, {
      hint: 'A store belongs to the user who made it: run this as that user.',
    });
  }
}

function damagedFile(directory: string): DatabaseError {
  return new DatabaseError(SqlState.dataCorrupted, `${join(directory, FILE)} is not readable as a keyring`);
}

function readJson(directory: string): Partial<KeyringFile> {
  const text = readText(directory);
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch {
    throw damagedFile(directory);
  }
  if (file === null || typeof file !== 'object') throw damagedFile(directory);
  return file;
}

/**
 * The store's id in hex, which the keyring holds in the clear, whatever its format.
 * @throws DatabaseError F0000 when there is no store, 58030 or XX001 when its keyring cannot be read
 */
export function storeIdOf(directory: string): string {
  const { storeId } = readJson(directory);
  if (typeof storeId === 'string' && /^[0-9a-f]{32}$/.test(storeId)) return storeId;
  throw damagedFile(directory);
}

function readFile(directory: string): KeyringFile {
  const file = readJson(directory);
  if (typeof file.format !== 'number') throw damagedFile(directory);
  if (file.format !== FORMAT) {
    throw new DatabaseError(SqlState.configFileError, `the store has format ${String(file.format)}`, {
      detail: `This version reads format ${FORMAT}.`,
      hint: 'Open it with the version of EventfulDB that wrote it, or a newer one.',
    });
  }
  const texts = [file.storeId, file.salt, file.masterCheck, file.dekCheck, file.signingKey, file.tokenKey];
  if (!texts.every((text) => typeof text === 'string') || !Array.isArray(file.dataKeys))
    throw damagedFile(directory);
  return file as KeyringFile;
}

function check(given: Buffer, salt: Buffer, expected: string, name: string): void {
  const actual = derive(given, salt, 'check');
  const wanted = Buffer.from(expected, 'base64');
  if (actual.length !== wanted.length || !timingSafeEqual(actual, wanted)) {
    throw new DatabaseError(SqlState.invalidPassword, `the ${name} does not belong to this store`, {
      hint: 'Nothing was opened or changed. Give the key the store was configured with.',
    });
  }
}

/**
 * Opens the keyring, reading only.
 * @throws DatabaseError 28P01 for a wrong key, F0000 for no store or an unknown format, XX001 for damage
 */
export function openKeyring(directory: string, keys: StoreKeys): Keyring {
  const file = readFile(directory);
  const salt = Buffer.from(file.salt, 'base64');
  check(keys.masterKey, salt, file.masterCheck, 'master key');
  check(keys.dek, salt, file.dekCheck, 'DEK');
  const kek = derive(keys.masterKey, salt, 'key-encryption key');
  const ringKey = derive(keys.dek, salt, 'data key ring');
  const ring = new Map<number, SealKey>();
  for (const { id, wrapped } of file.dataKeys) {
    ring.set(id, new SealKey(id, unwrap(ringKey, wrapped, `data key ${id}`)));
  }
  const currentDataKey = ring.get(Math.max(...ring.keys()));
  if (currentDataKey === undefined)
    throw new DatabaseError(SqlState.dataCorrupted, 'the keyring has no data key');
  const privateKey = (wrapped: string, purpose: string): KeyObject =>
    createPrivateKey({ key: unwrap(kek, wrapped, purpose), type: 'pkcs8', format: 'der' });
  return {
    storeId: Buffer.from(file.storeId, 'hex'),
    signingKey: privateKey(file.signingKey, 'signing key'),
    tokenKey: privateKey(file.tokenKey, 'token key'),
    indexKey: derive(keys.dek, salt, 'index key'),
    logKey: derive(keys.dek, salt, 'log key'),
    ring,
    currentDataKey,
  };
}

/** The 32 raw bytes of an Ed25519 public key. */
export function rawPublicKey(privateKey: KeyObject): Buffer {
  const der = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  return der.subarray(der.length - 32);
}
