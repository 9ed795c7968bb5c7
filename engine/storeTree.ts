/** Proofs from the store tree: leaves come from the total order, inner nodes from every eighth level. */
import { tileKey } from './codec/keys.js';
import { DatabaseError, SqlState } from './errors.js';
import { consistencyPath, inclusionPath, splitPoint } from './proofs/merkle.js';
import type { Repository } from './repository.js';
import { TILE, TILE_LEVELS, Tiles } from './tiles.js';
import { frontierRoot, GrowingTree, hashNode } from './tree.js';

function isPowerOfTwo(n: number): boolean {
  return Number.isInteger(Math.log2(n));
}

export class StoreTree {
  private readonly tiles: Tiles;

  constructor(private readonly repository: Repository) {
    this.tiles = new Tiles(repository);
  }

  /** MTH over the first `size` appends. */
  root(size: number): Promise<Buffer> {
    return size === 0 ? Promise.resolve(frontierRoot('')) : this.range(0, size);
  }

  /** The same from the leaves alone, where a stored node may be damaged. */
  rootFromLeaves(size: number): Promise<Buffer> {
    return this.fromLeaves(0, size);
  }

  /**
   * Recomputes every stored node above a position from what lies below it.
   * @returns what is wrong, or null
   */
  async checkPath(position: number, size: number): Promise<string | null> {
    for (let level = TILE_LEVELS; ; level += TILE_LEVELS) {
      const width = 2 ** level;
      const index = Math.floor((position - 1) / width);
      if ((index + 1) * width > size) return null;
      const stored = await this.node(level, index).catch(() => null);
      const computed =
        level === TILE_LEVELS
          ? await this.fromLeaves(index * TILE, (index + 1) * TILE)
          : await this.fromNodes(level, index);
      if (stored?.equals(computed) !== true)
        return `node ${index} at level ${level} of the store tree is not what lies below it`;
    }
  }

  private async fromNodes(level: number, index: number): Promise<Buffer> {
    const tree = new GrowingTree();
    for (let i = 0; i < TILE; i++) tree.add(await this.node(level - TILE_LEVELS, index * TILE + i));
    return Buffer.from(tree.root());
  }

  /** RFC 6962 inclusion path of position `index + 1` in the tree of `size`. */
  inclusion(index: number, size: number): Promise<Uint8Array[]> {
    return inclusionPath((start, end) => this.range(start, end), index, 0, size);
  }

  /** RFC 6962 consistency path between two sizes. */
  consistency(size1: number, size2: number): Promise<Uint8Array[]> {
    return consistencyPath((start, end) => this.range(start, end), size1, size2);
  }

  /** Hash of the subtree over leaves [start, end), which RFC 6962's recursion has cut out. */
  private async range(start: number, end: number): Promise<Buffer> {
    const size = end - start;
    if (isPowerOfTwo(size) && start % size === 0) return this.tiles.perfect(start, size);
    const k = start + splitPoint(size);
    return hashNode(await this.range(start, k), await this.range(k, end));
  }

  private async node(level: number, index: number): Promise<Buffer> {
    const key = tileKey(level, index);
    const value = await this.repository.store.get(key);
    if (value === null)
      throw new DatabaseError(
        SqlState.dataCorrupted,
        `node ${index} at level ${level} of the store tree is missing`,
      );
    return this.repository.unseal(key, value);
  }

  private async fromLeaves(start: number, end: number): Promise<Buffer> {
    const tree = new GrowingTree();
    for await (const { leaf } of this.repository.positions.scan(start + 1, end)) tree.add(leaf);
    if (tree.size !== end - start)
      throw new DatabaseError(SqlState.dataCorrupted, `positions ${start + 1} to ${end} are not all there`);
    return Buffer.from(tree.root());
  }
}
