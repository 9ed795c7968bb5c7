/**
 * The right edge of an append-only RFC 6962 tree: the roots of its perfect subtrees, largest first (one per set bit
 * of the size). Appending touches only these, so the cost does not grow with the tree.
 */
import { sha256 } from './crypto/hash.js';

const NODE_INPUT = Buffer.alloc(65);
NODE_INPUT[0] = 1;

export function hashNode(left: Buffer, right: Buffer): Buffer {
  left.copy(NODE_INPUT, 1);
  right.copy(NODE_INPUT, 33);
  return sha256(NODE_INPUT);
}

const EMPTY_ROOT = sha256(Buffer.alloc(0));

export type Frontier = readonly Buffer[];

/** Called for each perfect subtree that an append completes: level (0 = leaf), index at that level, hash. */
export type NodeListener = (level: number, index: number, hash: Buffer) => void;

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
  next.push(hash);
  return next;
}

/** A tree that only grows here: what appendLeaf gives, without a new array for each leaf. */
export class GrowingTree {
  readonly frontier: Buffer[] = [];
  size = 0;

  add(leaf: Buffer, onNode?: NodeListener): void {
    let hash = leaf;
    let index = this.size++;
    let level = 0;
    while (index % 2 === 1) {
      const left = this.frontier.pop();
      if (left === undefined) throw new Error('frontier and size disagree');
      hash = hashNode(left, hash);
      index = (index - 1) / 2;
      level++;
      onNode?.(level, index, hash);
    }
    this.frontier.push(hash);
  }
}

/** MTH of the tree. */
export function frontierRoot(frontier: Frontier): Buffer {
  let root = frontier[frontier.length - 1];
  if (root === undefined) return EMPTY_ROOT;
  for (let i = frontier.length - 2; i >= 0; i--) root = hashNode(frontier[i] ?? root, root);
  return root;
}
