import { sameBytes } from '../codec/bytes.js';
import { SLAB_BYTES, type PackedMemory } from './packedMemory.js';

/** Places in a bucket of the index. */
const BUCKET = 8;

/**
 * Where records lie in slabs that are written round and round, and an index of one record per key: buckets of eight
 * places. A place is counted from the first byte ever written, so that one whose slab was written anew is known by its
 * number.
 *
 * Keys must be evenly distributed in their last four bytes, as the hashed names of aggregates are.
 */
export class Places {
  private readonly bucketMask: number;
  /** Where the next record goes; only the writer knows. */
  private end = 0;

  /** @param keyBytes of every key @param keyAt where a record has it */
  constructor(
    private readonly keyBytes: number,
    private readonly keyAt: number,
    private readonly memory: PackedMemory,
  ) {
    this.bucketMask = memory.stamps.length - 1;
  }

  /** −1 where none is kept. */
  find(key: Buffer): number {
    const slot = this.slotOf(key);
    return slot < 0 ? -1 : this.at(slot);
  }

  slabOf(place: number): Buffer {
    return this.memory.slab(slabNumber(place) % this.memory.slabCount);
  }

  /** Its slab was written anew since. */
  isGone(place: number): boolean {
    return slabNumber(place) <= this.memory.newestSlab - this.memory.slabCount;
  }

  /** Room for a record that is written now. */
  take(bytes: number): number {
    const left = SLAB_BYTES - (this.end % SLAB_BYTES);
    if (bytes > left) this.end += left;
    const place = this.end;
    this.end += bytes;
    this.memory.newestSlab = slabNumber(place);
    return place;
  }

  /**
   * The key's record lies here from now on. In a full bucket the one written longest ago is forgotten.
   * @param before where `find` found it, −1 included
   */
  put(key: Buffer, place: number, before: number): void {
    const { places } = this.memory;
    const first = this.bucketOf(key) * BUCKET;
    let slot = first;
    for (let i = first; i < first + BUCKET; i++) {
      // With none before, the first one that is empty.
      if (this.at(i) === before) {
        slot = i;
        break;
      }
      if ((places[i] ?? 0) < (places[slot] ?? 0)) slot = i;
    }
    places[slot] = place + 1;
  }

  remove(key: Buffer): void {
    const slot = this.slotOf(key);
    if (slot >= 0) this.memory.places[slot] = 0;
  }

  bucketOf(key: Buffer): number {
    return key.readUInt32LE(this.keyBytes - 4) & this.bucketMask;
  }

  private at(slot: number): number {
    return (this.memory.places[slot] ?? 0) - 1;
  }

  private slotOf(key: Buffer): number {
    const first = this.bucketOf(key) * BUCKET;
    for (let slot = first; slot < first + BUCKET; slot++) {
      const place = this.at(slot);
      if (place < 0 || this.isGone(place)) continue;
      const start = (place % SLAB_BYTES) + this.keyAt;
      if (sameBytes(this.slabOf(place), start, key, 0, this.keyBytes)) return slot;
    }
    return -1;
  }
}

/** Counted from the first one ever begun. */
function slabNumber(place: number): number {
  return Math.floor(place / SLAB_BYTES);
}
