/**
 * Tiles of the store tree (as in c2sp.org/tlog-tiles, but not in its files): 256 hashes of one stored level side by
 * side, with the levels above them up to the tile's own root. Proofs ask for the same ones again and again, and what is
 * in a tile never changes; a tile at the right edge only grows.
 */
import { tileKey } from './codec/keys.js';
import { DatabaseError, SqlState } from './errors.js';
import { RecentMap } from './cache/recent.js';
import type { Repository } from './repository.js';
import { hashNode } from './tree.js';

/** Hashes in a tile, and what a stored level has for each of the next one. */
export const TILE = 256;
/** Levels of the tree from one stored level to the next. */
export const TILE_LEVELS = 8;
const HASH_BYTES = 32;
/** Tiles in memory, at up to 16 KB each. */
const TILES_KEPT = 256;

/** The first `count` hashes of a tile, and what is complete above them. */
class Tile {
  /** One level behind the other, the lowest first. */
  private readonly levels: readonly Buffer[];

  constructor(
    lowest: Buffer,
    readonly count: number,
  ) {
    const levels = [lowest];
    for (let below = lowest; below.length >= 2 * HASH_BYTES; below = levels.at(-1) ?? below) {
      const level = Buffer.alloc(Math.floor(below.length / (2 * HASH_BYTES)) * HASH_BYTES);
      for (let i = 0; i < level.length; i += HASH_BYTES) {
        const [left, right] = [2 * i, 2 * i + HASH_BYTES];
        const target = level.subarray(i, i + HASH_BYTES);
        hashNode(below.subarray(left, right), below.subarray(right, right + HASH_BYTES), target);
      }
      levels.push(level);
    }
    this.levels = levels;
  }

  /** The root over 2^height hashes, the index-th of its kind. */
  root(height: number, index: number): Buffer {
    const at = index * HASH_BYTES;
    return (this.levels[height] ?? Buffer.alloc(0)).subarray(at, at + HASH_BYTES);
  }
}

export class Tiles {
  private readonly kept = new RecentMap<string, Tile>(TILES_KEPT);

  constructor(private readonly repository: Repository) {}

  /**
   * Hash of the perfect subtree over `size` leaves from `start`, both in leaves: a power of two, and a multiple of it.
   * @throws DatabaseError XX001 when what it needs is missing or damaged
   */
  async perfect(start: number, size: number): Promise<Buffer> {
    const height = Math.log2(size);
    const level = Math.floor(height / TILE_LEVELS) * TILE_LEVELS;
    const first = start / 2 ** level;
    const index = Math.floor(first / TILE);
    const count = 2 ** (height - level);
    const within = first - index * TILE;
    const tile = await this.tile(level, index, within + count);
    return tile.root(height - level, within / count);
  }

  /** @param count hashes it must have */
  private async tile(level: number, index: number, count: number): Promise<Tile> {
    const name = `${level}/${index}`;
    const kept = this.kept.get(name);
    if (kept !== undefined && kept.count >= count) return kept;
    const hashes = await (level === 0 ? this.leaves(index) : this.nodes(level, index));
    if (hashes.length < count)
      throw new DatabaseError(
        SqlState.dataCorrupted,
        level === 0
          ? `position ${index * TILE + hashes.length + 1} is missing`
          : `node ${index * TILE + hashes.length} at level ${level} of the store tree is missing`,
      );
    const tile = new Tile(Buffer.concat(hashes), hashes.length);
    this.kept.set(name, tile);
    return tile;
  }

  /** Of the total order, up to the first that is missing. */
  private async leaves(index: number): Promise<Buffer[]> {
    const hashes: Buffer[] = [];
    const first = index * TILE + 1;
    for await (const { position, leaf } of this.repository.positions.scan(first, first + TILE - 1)) {
      if (position !== first + hashes.length) break;
      hashes.push(leaf);
    }
    return hashes;
  }

  private async nodes(level: number, index: number): Promise<Buffer[]> {
    const hashes: Buffer[] = [];
    const first = index * TILE;
    const range = { gte: tileKey(level, first), lt: tileKey(level, first + TILE) };
    for await (const batch of this.repository.store.batches(range))
      for (const { key, value } of batch) {
        if (!key.equals(tileKey(level, first + hashes.length))) return hashes;
        hashes.push(this.repository.unseal(key, value));
      }
    return hashes;
  }
}
