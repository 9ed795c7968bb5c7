import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { sha256 } from './crypto/hash.js';
import { appendLeaf, frontierRoot, GrowingTree, hashNode, type Frontier } from './tree.js';

const h = (...parts: Uint8Array[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest();

/** MTH over leaf hashes, as RFC 6962 writes it. */
function mth(leaves: readonly Buffer[]): Buffer {
  const [only] = leaves;
  if (only === undefined) return h();
  if (leaves.length === 1) return only;
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  return h(Buffer.of(1), mth(leaves.slice(0, k)), mth(leaves.slice(k)));
}

const leaves = Array.from({ length: 300 }, (_, i) => h(Buffer.of(0), Buffer.from(String(i))));

describe('hashes', () => {
  test('nodes carry their prefix', () => {
    const [a, b] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
    expect(hashNode(a, b)).toEqual(h(Buffer.of(1), a, b));
    expect(hashNode(a, b)).not.toEqual(hashNode(b, a));
  });

  test('known values: the empty tree', () => {
    expect(frontierRoot('')).toEqual(sha256(Buffer.alloc(0)));
  });
});

test('a tree that grows in place has the same roots and nodes, also when it is used again', () => {
  const tree = new GrowingTree();
  for (const count of [leaves.length, 37]) {
    tree.clear();
    const nodes: string[] = [];
    const expected: string[] = [];
    let frontier: Frontier = '';
    leaves.slice(0, count).forEach((leaf, size) => {
      expect(tree.root()).toEqual(mth(leaves.slice(0, size)));
      tree.add(leaf, (level, index, hash) => nodes.push(`${level}/${index} ${hash.toString('hex')}`));
      frontier = appendLeaf(frontier, size, leaf, (level, index, hash) =>
        expected.push(`${level}/${index} ${hash.toString('hex')}`),
      );
    });
    expect(tree.size).toBe(count);
    expect(nodes).toEqual(expected);
  }
});

describe('the right edge', () => {
  test('gives the root of every size, one hash per set bit', () => {
    let frontier: Frontier = '';
    for (let size = 0; size < leaves.length; size++) {
      expect(frontierRoot(frontier)).toEqual(mth(leaves.slice(0, size)));
      expect(frontier).toHaveLength(32 * size.toString(2).replaceAll('0', '').length);
      frontier = appendLeaf(frontier, size, leaves[size] ?? Buffer.alloc(0));
    }
  });

  test('reports every perfect subtree exactly once, with its level, index and hash', () => {
    const found = new Map<string, Buffer>();
    let frontier: Frontier = '';
    leaves.forEach((leaf, size) => {
      frontier = appendLeaf(frontier, size, leaf, (level, index, hash) => {
        expect(found.has(`${level}/${index}`)).toBe(false);
        found.set(`${level}/${index}`, Buffer.from(hash));
      });
    });
    let expected = 0;
    for (let width = 2, level = 1; width <= leaves.length; width *= 2, level++) {
      for (let index = 0; (index + 1) * width <= leaves.length; index++) {
        expect(found.get(`${level}/${index}`)).toEqual(mth(leaves.slice(index * width, (index + 1) * width)));
        expected++;
      }
    }
    expect(found.size).toBe(expected);
  });

  test('frontier and size that disagree are an error, not a wrong root', () => {
    expect(() => appendLeaf('', 1, leaves[0] ?? Buffer.alloc(0))).toThrow('disagree');
    expect(() => frontierRoot('x'.repeat(32 * 54))).toThrow('too long');
    // What was left behind by the error does no harm.
    expect(frontierRoot(appendLeaf('', 0, leaves[0] ?? Buffer.alloc(0)))).toEqual(leaves[0]);
  });
});
