/** The proofs of RFC 6962: others' vectors, the literal recursion of the RFC as oracle, and forgeries. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { appendLeaf, frontierRoot, type Frontier } from '../tree.js';
import {
  ProofError,
  consistencyPath,
  inclusionPath,
  leafHash,
  splitPoint,
  verifyConsistency,
  verifyInclusion,
} from './merkle.js';

const sha256 = (data: Uint8Array): Buffer => createHash('sha256').update(data).digest();

interface InclusionVector {
  readonly leafIdx: number;
  readonly treeSize: number;
  readonly root: string;
  readonly leafHash: string;
  readonly proof: readonly string[] | null;
  readonly wantErr: boolean;
  readonly name: string;
}

interface ConsistencyVector {
  readonly size1: number;
  readonly size2: number;
  readonly root1: string;
  readonly root2: string;
  readonly proof: readonly string[] | null;
  readonly wantErr: boolean;
  readonly name: string;
}

function vectors<T>(kind: string): T[] {
  const url = new URL(`../../test/vectors/rfc6962-${kind}.json`, import.meta.url);
  return JSON.parse(readFileSync(url, 'utf8')) as T[];
}
const base64 = (text: string): Buffer => Buffer.from(text, 'base64');
const hashes = (proof: readonly string[] | null): Buffer[] => (proof ?? []).map(base64);

describe('vectors of transparency-dev', () => {
  const inclusion = vectors<InclusionVector>('inclusion');
  const consistency = vectors<ConsistencyVector>('consistency');

  test('all are there, good and bad', () => {
    expect([inclusion.length, consistency.length]).toEqual([35, 22]);
    expect(inclusion.filter((v) => !v.wantErr).length).toBeGreaterThan(0);
    expect(consistency.filter((v) => !v.wantErr).length).toBeGreaterThan(0);
  });

  test.each(inclusion)('$name', (v) => {
    const check = (): void =>
      verifyInclusion(sha256, v.leafIdx, v.treeSize, base64(v.leafHash), hashes(v.proof), base64(v.root));
    if (v.wantErr) expect(check).toThrow(ProofError);
    else check();
  });

  test.each(consistency)('$name', (v) => {
    const check = (): void =>
      verifyConsistency(sha256, v.size1, v.size2, hashes(v.proof), base64(v.root1), base64(v.root2));
    if (v.wantErr) expect(check).toThrow(ProofError);
    else check();
  });
});

// The oracle: sections 2.1, 2.1.1 and 2.1.2 of RFC 6962, word for word.
const node = (l: Buffer, r: Buffer): Buffer => sha256(Buffer.concat([Buffer.of(1), l, r]));
const largestPowerBelow = (n: number): number => 2 ** Math.floor(Math.log2(n - 1));

function mth(d: readonly Buffer[]): Buffer {
  if (d.length === 0) return sha256(Buffer.alloc(0));
  const [only] = d;
  if (d.length === 1 && only !== undefined) return sha256(Buffer.concat([Buffer.of(0), only]));
  const k = largestPowerBelow(d.length);
  return node(mth(d.slice(0, k)), mth(d.slice(k)));
}

function path(m: number, d: readonly Buffer[]): Buffer[] {
  if (d.length === 1) return [];
  const k = largestPowerBelow(d.length);
  return m < k
    ? [...path(m, d.slice(0, k)), mth(d.slice(k))]
    : [...path(m - k, d.slice(k)), mth(d.slice(0, k))];
}

function subproof(m: number, d: readonly Buffer[], b: boolean): Buffer[] {
  if (m === d.length) return b ? [] : [mth(d)];
  const k = largestPowerBelow(d.length);
  return m <= k
    ? [...subproof(m, d.slice(0, k), b), mth(d.slice(k))]
    : [...subproof(m - k, d.slice(k), false), mth(d.slice(0, k))];
}

const data = Array.from({ length: 71 }, (_, i) => Buffer.from(`leaf ${i}`));
const leaves = data.map((d) => Buffer.from(leafHash(sha256, d)));
const roots = data.map((_, n) => mth(data.slice(0, n)));
const rootOf = (n: number): Buffer => roots[n] ?? Buffer.alloc(0);
const leafOf = (i: number): Buffer => leaves[i] ?? Buffer.alloc(0);

/** As the server makes it: from frontiers. */
function range(start: number, end: number): Promise<Buffer> {
  let frontier: Frontier = '';
  for (let i = start; i < end; i++) frontier = appendLeaf(frontier, i - start, leafOf(i));
  return Promise.resolve(frontierRoot(frontier));
}

const MAX = 70;
const place = fc
  .integer({ min: 1, max: MAX })
  .chain((size) => fc.record({ size: fc.constant(size), index: fc.nat(size - 1) }));
const sizes = fc.tuple(fc.integer({ min: 1, max: MAX }), fc.integer({ min: 1, max: MAX })).map((pair) => {
  const [size1 = 1, size2 = 1] = pair.sort((a, b) => a - b);
  return { size1, size2 };
});

type Forgery = (proof: readonly Uint8Array[]) => readonly Uint8Array[];
const flip = (bytes: Uint8Array, bit: number): Uint8Array =>
  bytes.map((byte, i) => (i === Math.floor(bit / 8) % bytes.length ? byte ^ (1 << (bit % 8)) : byte));
/** Changes that always give another proof than the one given. */
const forgery: fc.Arbitrary<{ name: string; forge: Forgery }> = fc.oneof(
  fc.tuple(fc.nat(), fc.nat(255)).map(([at, bit]) => ({
    name: `flip bit ${bit} of node ${at}`,
    forge: (p: readonly Uint8Array[]) => p.map((h, i) => (i === at % p.length ? flip(h, bit) : h)),
  })),
  fc.constantFrom<{ name: string; forge: Forgery }>(
    { name: 'cut the last', forge: (p) => p.slice(0, -1) },
    { name: 'cut the first', forge: (p) => p.slice(1) },
    { name: 'cut all', forge: () => [] },
    { name: 'repeat the last', forge: (p) => [...p, ...p.slice(-1)] },
    { name: 'append a zero', forge: (p) => [...p, Buffer.alloc(32)] },
    { name: 'prepend a zero', forge: (p) => [Buffer.alloc(32), ...p] },
    { name: 'reverse', forge: (p) => [...p].reverse() },
    { name: 'shorten a hash', forge: (p) => p.map((h, i) => (i === 0 ? h.subarray(0, 31) : h)) },
    { name: 'lengthen a hash', forge: (p) => p.map((h, i) => (i === 0 ? Buffer.concat([h, h]) : h)) },
    {
      name: 'swap two',
      forge: ([a, b, ...rest]) => [a, b, ...rest].flatMap((h, i) => (i < 2 ? ([b, a][i] ?? []) : (h ?? []))),
    },
  ),
);
const same = (a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean =>
  a.length === b.length && a.every((h, i) => Buffer.compare(h, b[i] ?? Buffer.alloc(0)) === 0);

describe('against the recursion of the RFC', () => {
  test('every inclusion path up to 70 leaves is the same and verifies', async () => {
    for (let size = 1; size <= MAX; size++) {
      for (let index = 0; index < size; index++) {
        const made = await inclusionPath(range, index, 0, size);
        if (!same(made, path(index, data.slice(0, size)))) expect.fail(`path of ${index} in ${size}`);
        verifyInclusion(sha256, index, size, leafOf(index), made, rootOf(size));
      }
    }
  }, 60_000);

  test('every consistency path up to 70 leaves is the same and verifies', async () => {
    for (let size2 = 1; size2 <= MAX; size2++) {
      for (let size1 = 1; size1 <= size2; size1++) {
        const made = await consistencyPath(range, size1, size2);
        const oracle = size1 === size2 ? [] : subproof(size1, data.slice(0, size2), true);
        if (!same(made, oracle)) expect.fail(`path from ${size1} to ${size2}`);
        verifyConsistency(sha256, size1, size2, made, rootOf(size1), rootOf(size2));
      }
    }
  }, 60_000);

  test('the split point is the largest power of two below n', () => {
    for (let n = 2; n < 5000; n++) expect(splitPoint(n)).toBe(largestPowerBelow(n));
    expect(splitPoint(2 ** 40 + 1)).toBe(2 ** 40);
  });
});

describe('forged proofs are refused', () => {
  test('inclusion', () => {
    fc.assert(
      fc.property(place, forgery, ({ size, index }, { forge }) => {
        const proof = path(index, data.slice(0, size));
        const forged = forge(proof);
        fc.pre(!same(forged, proof));
        expect(() => verifyInclusion(sha256, index, size, leafOf(index), forged, rootOf(size))).toThrow(
          ProofError,
        );
      }),
      { numRuns: 2000 },
    );
  });

  test('inclusion at another index, of another leaf, under another root', () => {
    fc.assert(
      fc.property(place, fc.nat(MAX), ({ size, index }, other) => {
        const proof = path(index, data.slice(0, size));
        const check = (i: number, leaf: Buffer, root: Buffer) => (): void =>
          verifyInclusion(sha256, i, size, leaf, proof, root);
        if (other !== index) {
          expect(check(other, leafOf(index), rootOf(size))).toThrow(ProofError);
          expect(check(index, leafOf(other), rootOf(size))).toThrow(ProofError);
        }
        if (other !== size) expect(check(index, leafOf(index), rootOf(other))).toThrow(ProofError);
      }),
      { numRuns: 1000 },
    );
  });

  test('an inner node is not a leaf (the 0x00 and 0x01 prefixes)', () => {
    const [a, b] = [leafOf(0), leafOf(1)];
    const asLeaf = Buffer.from(leafHash(sha256, Buffer.concat([a, b])));
    const sibling = mth(data.slice(2, 4));
    expect(() => verifyInclusion(sha256, 0, 2, asLeaf, [sibling], rootOf(4))).toThrow(ProofError);
  });

  test('consistency', () => {
    fc.assert(
      fc.property(sizes, forgery, ({ size1, size2 }, { forge }) => {
        const proof = size1 === size2 ? [] : subproof(size1, data.slice(0, size2), true);
        const forged = forge(proof);
        fc.pre(!same(forged, proof));
        expect(() => verifyConsistency(sha256, size1, size2, forged, rootOf(size1), rootOf(size2))).toThrow(
          ProofError,
        );
      }),
      { numRuns: 2000 },
    );
  });

  test('consistency of a history that was rewritten', () => {
    fc.assert(
      fc.property(sizes, fc.nat(MAX), ({ size1, size2 }, at) => {
        fc.pre(at < size1 && size1 < size2);
        const other = data.slice(0, size2).map((d, i) => (i === at ? Buffer.from('another') : d));
        const proof = subproof(size1, other, true);
        const check = (): void => verifyConsistency(sha256, size1, size2, proof, rootOf(size1), mth(other));
        expect(check).toThrow(ProofError);
      }),
    );
  });

  test.each([-1, 0.5, NaN, Infinity, 2 ** 53, 2 ** 64])('%d is neither an index nor a size', (n) => {
    expect(() => verifyInclusion(sha256, n, 8, leafOf(0), [], rootOf(8))).toThrow(ProofError);
    expect(() => verifyInclusion(sha256, 0, n, leafOf(0), [], leafOf(0))).toThrow(ProofError);
    expect(() => verifyConsistency(sha256, n, n, [], rootOf(8), rootOf(8))).toThrow(ProofError);
  });
});
