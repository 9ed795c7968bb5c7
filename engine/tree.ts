/**
 * The right edge of an append-only RFC 6962 tree: the roots of its perfect subtrees, largest first (one per set bit
 * of the size). Appending touches only these, so the cost does not grow with the tree.
 */
import { sha256 } from './crypto/hash.js';

const HASH_BYTES = 32;

const NODE_INPUT = Buffer.alloc(65);
NODE_INPUT[0] = 1;

/** @param to where it goes; may be one of the two */
export function hashNode(left: Buffer, right: Buffer, to?: Buffer): Buffer {
  NODE_INPUT.set(left, 1);
  NODE_INPUT.set(right, 33);
  return sha256(NODE_INPUT, to);
}

const EMPTY_ROOT = sha256(Buffer.alloc(0));

export type Frontier = readonly Buffer[];

/** Called for each perfect subtree that an append completes: level (0 = leaf), index at that level, hash. */
export type NodeListener = (level: number, index: number, hash: Buffer) => void;

/**
 * A hash in memory of its own. Frontiers are kept with the heads of aggregates, and a large subtree's root for as long
 * as it takes to fill another one: as a view it would keep all that was cut from the same piece of memory, 8 KB.
 */
export function ownHash(hash: Uint8Array): Buffer {
  const own = Buffer.alloc(HASH_BYTES);
  own.set(hash);
  return own;
}

/** The frontier of the tree with one leaf more. `size` is the tree's size before. */
export function appendLeaf(frontier: Frontier, size: number, leaf: Buffer, onNode?: NodeListener): Buffer[] {
  const next = frontier.slice();
  let hash = leaf;
  let index = size;
  let level = 0;
  while (index % 2 === 1) {
    const left = next.pop();
    if (left === undefined) throw new Error('frontier and size disagree');
    hash = hashNode(left, hash);
    index = (index - 1) / 2;
    level++;
    onNode?.(level, index, hash);
  }
  next.push(ownHash(hash));
  return next;
}

/** Of a tree whose size is a safe integer. */
const FRONTIER_MAX = 53;

/**
 * A tree that only grows: what appendLeaf gives, with its right edge in one piece of memory, for whoever builds large
 * trees, or many one after the other. What it hands out is valid until the next call.
 */
export class GrowingTree {
  private readonly bytes = Buffer.alloc((FRONTIER_MAX + 1) * HASH_BYTES);
  private readonly slots: Buffer[] = [];
  private readonly top = Buffer.alloc(HASH_BYTES);
  private depth = 0;
  size = 0;

  clear(): void {
    this.depth = 0;
    this.size = 0;
  }

  add(leaf: Buffer, onNode?: NodeListener): void {
    this.slot(this.depth++).set(leaf);
    let index = this.size++;
    let level = 0;
    while (index % 2 === 1) {
      const left = this.slot(this.depth - 2);
      hashNode(left, this.slot(this.depth - 1), left);
      this.depth--;
      index = (index - 1) / 2;
      level++;
      onNode?.(level, index, left);
    }
  }

  /** MTH of the tree. */
  root(): Buffer {
    if (this.depth === 0) return EMPTY_ROOT;
    this.top.set(this.slot(this.depth - 1));
    for (let i = this.depth - 2; i >= 0; i--) hashNode(this.slot(i), this.top, this.top);
    return this.top;
  }

  private slot(i: number): Buffer {
    return (this.slots[i] ??= this.bytes.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES));
  }
}

/** MTH of the tree. */
export function frontierRoot(frontier: Frontier): Buffer {
  let root = frontier[frontier.length - 1];
  if (root === undefined) return EMPTY_ROOT;
  for (let i = frontier.length - 2; i >= 0; i--) root = hashNode(frontier[i] ?? root, root);
  return root;
}
