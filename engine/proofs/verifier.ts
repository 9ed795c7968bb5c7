/**
 * The offline verifier: checks what `CALL prove` and `CALL checkpoint` return, without trusting the server that
 * returned it. No dependency on the server or on Node: SHA-256 from @noble/hashes, Ed25519 from WebCrypto.
 * The formats are those of docs/format-and-proofs.md.
 */
import { hmac } from '@noble/hashes/hmac.js';
import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js';
import {
  ProofError,
  concat,
  leafHash,
  sameBytes,
  verifyConsistency as checkConsistency,
  verifyInclusion as checkInclusion,
} from './merkle.js';

export { ProofError } from './merkle.js';

const utf8 = new TextEncoder();

function sha256(data: Uint8Array): Uint8Array {
  return nobleSha256(data);
}

/** What `CALL prove(type, id, version)` returns as JSON. Byte strings are lower-case hex, numbers decimal text. */
export interface EventProof {
  readonly event: {
    readonly aggregateType: string;
    readonly aggregateId: string;
    readonly version: string;
    readonly eventId: string;
    readonly eventType: string;
    readonly actor: string;
    /** Microseconds since 1970. */
    readonly recordedAt: string;
    /** null when the event carries no metadata. */
    readonly metadata: string | null;
    /** The stored JSON text. */
    readonly payload: string;
    readonly salt: string;
  };
  readonly position: string;
  readonly aggregateRoot: string;
  /** Inclusion of the event in its aggregate's tree of `version` leaves. */
  readonly aggregateProof: readonly string[];
  /** Inclusion of the append in the store's tree of the checkpoint's size. */
  readonly storeProof: readonly string[];
  /** A C2SP signed note. */
  readonly checkpoint: string;
}

/** A checkpoint that was read and whose signature holds. */
export interface VerifiedCheckpoint {
  readonly origin: string;
  readonly size: number;
  readonly root: Uint8Array;
}

function fromHex(hex: string): Uint8Array {
  if (!/^([0-9a-f]{2})*$/.test(hex)) throw new ProofError('a hash is not hexadecimal');
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

function fromBase64(text: string): Uint8Array {
  try {
    return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  } catch {
    throw new ProofError('not base64');
  }
}

function u32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);
}

function u64(value: bigint): Uint8Array {
  return concat(u32(Number((value >> 32n) & 0xffffffffn)), u32(Number(value & 0xffffffffn)));
}

function lp(bytes: Uint8Array): Uint8Array {
  return concat(u32(bytes.length), bytes);
}

function count(text: string, what: string): bigint {
  if (!/^\d{1,16}$/.test(text)) throw new ProofError(`${what} is not a number`);
  return BigInt(text);
}

function parseNote(note: string): {
  body: string;
  origin: string;
  size: number;
  root: Uint8Array;
  signatures: string[];
} {
  const cut = note.indexOf('\n\n');
  if (cut < 0) throw new ProofError('the checkpoint has no signature');
  const body = note.slice(0, cut + 1);
  const [origin, sizeText, rootText, ...rest] = body.split('\n');
  if (origin === undefined || origin === '' || sizeText === undefined || rootText === undefined)
    throw new ProofError('the checkpoint is malformed');
  if (rest.length !== 1 || !/^(0|[1-9]\d{0,15})$/.test(sizeText))
    throw new ProofError('the checkpoint is malformed');
  const root = fromBase64(rootText);
  if (root.length !== 32) throw new ProofError('the checkpoint is malformed');
  const signatures = note
    .slice(cut + 2)
    .split('\n')
    .filter((line) => line !== '');
  return { body, origin, size: Number(sizeText), root, signatures };
}

/**
 * Checks a checkpoint's signature.
 * @param verifierKey `origin+hash+base64key` as printed by `CALL checkpoint()` (C2SP signed-note verifier key)
 * @throws ProofError when it does not hold
 */
export function verifyCheckpoint(note: string, verifierKey: string): Promise<VerifiedCheckpoint> {
  return wellFormed(() => checkCheckpoint(note, verifierKey));
}

/** What was given is JSON that somebody else has made: a member that is missing is an answer, not a fault of ours. */
async function wellFormed<T>(check: () => Promise<T>): Promise<T> {
  try {
    return await check();
  } catch (error) {
    throw error instanceof TypeError || error instanceof RangeError
      ? new ProofError('the proof is malformed')
      : error;
  }
}

async function checkCheckpoint(note: string, verifierKey: string): Promise<VerifiedCheckpoint> {
  const parts = /^([^+\s]+)\+([0-9a-f]{8})\+(.+)$/.exec(verifierKey);
  if (parts === null) throw new ProofError('the verifier key is malformed');
  const [, name = '', hash = '', encoded = ''] = parts;
  const keyBytes = fromBase64(encoded);
  if (keyBytes.length !== 33 || keyBytes[0] !== 1) throw new ProofError('the verifier key is not Ed25519');
  const expected = sha256(concat(utf8.encode(`${name}\n`), keyBytes)).slice(0, 4);
  if (!sameBytes(expected, fromHex(hash))) throw new ProofError('the verifier key does not match its hash');
  const { body, origin, size, root, signatures } = parseNote(note);
  if (origin !== name) throw new ProofError('the checkpoint comes from another store');
  const key = await crypto.subtle.importKey('raw', keyBytes.slice(1), { name: 'Ed25519' }, false, ['verify']);
  for (const line of signatures) {
    const match = /^— (\S+) (\S+)$/.exec(line);
    if (match === null || match[1] !== name) continue;
    const bytes = fromBase64(match[2] ?? '');
    if (!sameBytes(bytes.slice(0, 4), expected)) continue;
    if (await crypto.subtle.verify({ name: 'Ed25519' }, key, bytes.slice(4), utf8.encode(body)))
      return { origin, size, root };
  }
  throw new ProofError('the checkpoint is not signed by this key');
}

/** L: the event's leaf hash, which the server shows as event_hash. */
export function eventLeafHash(event: EventProof['event']): Uint8Array {
  const version = count(event.version, 'version');
  const commit = hmac(
    nobleSha256,
    fromHex(event.salt),
    concat(lp(utf8.encode(event.metadata ?? '')), lp(utf8.encode(event.payload))),
  );
  const leaf = concat(
    utf8.encode('evl1'),
    lp(utf8.encode(event.aggregateType)),
    lp(utf8.encode(event.aggregateId)),
    u64(version),
    fromHex(event.eventId.replaceAll('-', '')),
    lp(utf8.encode(event.eventType)),
    lp(utf8.encode(event.actor)),
    u64(count(event.recordedAt, 'recordedAt')),
    commit,
  );
  return leafHash(sha256, leaf);
}

/**
 * Checks that the event, with every byte as given, is in the store whose checkpoint it comes with.
 * @throws ProofError when that is not shown
 */
export function verifyEventProof(proof: EventProof, verifierKey: string): Promise<VerifiedCheckpoint> {
  return wellFormed(() => checkEventProof(proof, verifierKey));
}

async function checkEventProof(proof: EventProof, verifierKey: string): Promise<VerifiedCheckpoint> {
  const checkpoint = await checkCheckpoint(proof.checkpoint, verifierKey);
  const { event } = proof;
  if (fromHex(event.salt).length !== 32 || fromHex(event.eventId.replaceAll('-', '')).length !== 16)
    throw new ProofError('the event is malformed');
  const version = Number(count(event.version, 'version'));
  const position = Number(count(proof.position, 'position'));
  const leaf = eventLeafHash(event);
  const root = fromHex(proof.aggregateRoot);
  checkInclusion(sha256, version - 1, version, leaf, proof.aggregateProof.map(fromHex), root);
  const group = concat(
    utf8.encode('evg1'),
    lp(utf8.encode(event.aggregateType)),
    lp(utf8.encode(event.aggregateId)),
    u64(BigInt(version)),
    leaf,
    root,
  );
  checkInclusion(
    sha256,
    position - 1,
    checkpoint.size,
    leafHash(sha256, group),
    proof.storeProof.map(fromHex),
    checkpoint.root,
  );
  return checkpoint;
}

/** RFC 6962 inclusion of a leaf hash in a tree. @throws ProofError */
export function verifyInclusion(
  index: number,
  size: number,
  leaf: Uint8Array,
  proof: readonly Uint8Array[],
  root: Uint8Array,
): void {
  checkInclusion(sha256, index, size, leaf, proof, root);
}

/** RFC 6962 consistency of two tree heads. @throws ProofError */
export function verifyConsistency(
  size1: number,
  size2: number,
  proof: readonly Uint8Array[],
  root1: Uint8Array,
  root2: Uint8Array,
): void {
  checkConsistency(sha256, size1, size2, proof, root1, root2);
}
