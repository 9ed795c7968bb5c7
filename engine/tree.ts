/**
 * The right edge of an append-only RFC 6962 tree: the roots of its perfect subtrees, largest first (one per set bit
 * of the size). Appending touches only these, so the cost does not grow with the tree.
 *
 * A frontier is kept as one string with a character for each byte. Hundreds of thousands are kept with the heads of
 * aggregates; as buffers each hash took 250 bytes, or else a share of a larger piece of memory that a single hash which
 * lives long keeps as a whole.
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

/** 32 characters (latin1) for each hash. */
export type Frontier = string;

/**
 * Called for each perfect subtree that an append completes: level (0 = leaf), index at that level, hash. The hash is
 * valid during the call, which must not work on trees itself.
 */
export type NodeListener = (level: number, index: number, hash: Buffer) => void;

/** Of a tree whose size is a safe integer. */
const FRONTIER_MAX = 53;

/**
 * A tree that only grows, with its right edge in one piece of memory, for whoever builds large trees, or many one after
 * the other. What it hands out is valid until the next call.
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

  /** Goes on from a frontier. `size` is the size of its tree. */
  load(frontier: Frontier, size: number): void {
    if (frontier.length > FRONTIER_MAX * HASH_BYTES) throw new Error('a frontier is too long');
    this.depth = this.bytes.write(frontier, 'latin1') / HASH_BYTES;
    this.size = size;
  }

  get frontier(): Frontier {
    return this.bytes.toString('latin1', 0, this.depth * HASH_BYTES);
  }

  add(leaf: Buffer, onNode?: NodeListener): void {
    this.slot(this.depth++).set(leaf);
    let index = this.size++;
    let level = 0;
    while (index % 2 === 1) {
      if (this.depth < 2) throw new Error('frontier and size disagree');
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

/** Where all frontiers are worked on. */
const edge = new GrowingTree();

/** The frontier of the tree with one leaf more. `size` is the tree's size before. */
export function appendLeaf(frontier: Frontier, size: number, leaf: Buffer, onNode?: NodeListener): Frontier {
  edge.load(frontier, size);
  edge.add(leaf, onNode);
  return edge.frontier;
}

/** MTH of the tree. */
export function frontierRoot(frontier: Frontier): Buffer {
  edge.load(frontier, 0);
  return Buffer.from(edge.root());
}
