/**
 * Merkle trees of RFC 6962 (section 2.1): leaf = H(0x00 ‖ data), node = H(0x01 ‖ left ‖ right), MTH([]) = H("").
 * Hash-function agnostic, so that the browser-side verifier and the server share one text. Sizes and indexes are
 * safe integers (up to 2^53).
 */

export type Sha256 = (data: Uint8Array) => Uint8Array;

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

export function leafHash(sha256: Sha256, data: Uint8Array): Uint8Array {
  return sha256(concat(LEAF, data));
}

export function nodeHash(sha256: Sha256, left: Uint8Array, right: Uint8Array): Uint8Array {
  return sha256(concat(NODE, left, right));
}

/** Thrown for every proof that does not hold. */
export class ProofError extends Error {
  override readonly name = 'ProofError';
}

function isSize(n: number): boolean {
  return Number.isSafeInteger(n) && n >= 0;
}

/** Division by two that stays exact above 2^31. */
const half = (n: number): number => Math.floor(n / 2);

/**
 * Checks that the leaf with hash `leaf` is entry `index` of the tree with `size` leaves and root `root`
 * (RFC 9162, section 2.1.3.2; same trees as RFC 6962).
 * @throws ProofError when it is not shown
 */
export function verifyInclusion(
  sha256: Sha256,
  index: number,
  size: number,
  leaf: Uint8Array,
  proof: readonly Uint8Array[],
  root: Uint8Array,
): void {
  if (!isSize(index) || !isSize(size)) throw new ProofError('index and size are non-negative integers');
  if (index >= size) throw new ProofError(`index ${index} is beyond the tree of ${size}`);
  if (leaf.length !== 32 || root.length !== 32) throw new ProofError('hashes have 32 bytes');
  let fn = index;
  let sn = size - 1;
  let r = leaf;
  for (const p of proof) {
    if (p.length !== 32) throw new ProofError('hashes have 32 bytes');
    if (sn === 0) throw new ProofError('the proof is too long');
    if (fn % 2 === 1 || fn === sn) {
      r = nodeHash(sha256, p, r);
      while (fn % 2 === 0 && fn !== 0) {
        fn = half(fn);
        sn = half(sn);
      }
    } else {
      r = nodeHash(sha256, r, p);
    }
    fn = half(fn);
    sn = half(sn);
  }
  if (sn !== 0) throw new ProofError('the proof is too short');
  if (!sameBytes(r, root)) throw new ProofError('the proof leads to another root');
}

/**
 * Checks that the tree of `size1` leaves with `root1` is a prefix of the tree of `size2` with `root2`
 * (RFC 9162, section 2.1.4.2).
 * @throws ProofError when it is not shown
 */
export function verifyConsistency(
  sha256: Sha256,
  size1: number,
  size2: number,
  proof: readonly Uint8Array[],
  root1: Uint8Array,
  root2: Uint8Array,
): void {
  if (!isSize(size1) || !isSize(size2)) throw new ProofError('sizes are non-negative integers');
  if (size2 < size1) throw new ProofError('the second tree is smaller than the first');
  if (root1.length !== 32 || root2.length !== 32 || proof.some((p) => p.length !== 32))
    throw new ProofError('hashes have 32 bytes');
  if (size1 === size2 || size1 === 0) {
    if (proof.length > 0) throw new ProofError('the proof must be empty');
    if (size1 === size2 && !sameBytes(root1, root2)) throw new ProofError('same size, other root');
    return;
  }
  if (proof.length === 0) throw new ProofError('the proof is empty');
  // A power of two is a complete subtree of the second tree, so its root is not repeated in the proof.
  let fn = size1 - 1;
  let sn = size2 - 1;
  while (fn % 2 === 1) {
    fn = half(fn);
    sn = half(sn);
  }
  const [start, rest] = fn === 0 ? [root1, proof] : [proof[0] ?? root1, proof.slice(1)];
  let fr = start;
  let sr = start;
  for (const c of rest) {
    if (sn === 0) throw new ProofError('the proof is too long');
    if (fn % 2 === 1 || fn === sn) {
      fr = nodeHash(sha256, c, fr);
      sr = nodeHash(sha256, c, sr);
      while (fn % 2 === 0 && fn !== 0) {
        fn = half(fn);
        sn = half(sn);
      }
    } else {
      sr = nodeHash(sha256, sr, c);
    }
    fn = half(fn);
    sn = half(sn);
  }
  if (sn !== 0) throw new ProofError('the proof is too short');
  if (!sameBytes(fr, root1)) throw new ProofError('the proof leads to another first root');
  if (!sameBytes(sr, root2)) throw new ProofError('the proof leads to another second root');
}

/** The largest power of two below n (n > 1). */
export function splitPoint(n: number): number {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}

/** Hash of the perfect or ragged subtree over leaves [start, end). */
export type RangeHash = (start: number, end: number) => Promise<Uint8Array>;

/** PATH(index, D[start:end]) of RFC 6962, section 2.1.1. */
export async function inclusionPath(
  range: RangeHash,
  index: number,
  start: number,
  end: number,
): Promise<Uint8Array[]> {
  if (end - start <= 1) return [];
  const k = start + splitPoint(end - start);
  return index < k
    ? [...(await inclusionPath(range, index, start, k)), await range(k, end)]
    : [...(await inclusionPath(range, index, k, end)), await range(start, k)];
}

/** PROOF(size1, D[0:size2]) of RFC 6962, section 2.1.2. */
export async function consistencyPath(range: RangeHash, size1: number, size2: number): Promise<Uint8Array[]> {
  if (size1 === 0 || size1 === size2) return [];
  return subProof(range, size1, 0, size2, true);
}

async function subProof(
  range: RangeHash,
  m: number,
  start: number,
  end: number,
  whole: boolean,
): Promise<Uint8Array[]> {
  if (m === end - start) return whole ? [] : [await range(start, end)];
  const k = splitPoint(end - start);
  return m <= k
    ? [...(await subProof(range, m, start, start + k, whole)), await range(start + k, end)]
    : [...(await subProof(range, m - k, start + k, end, false)), await range(start, start + k)];
}
