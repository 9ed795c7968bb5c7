/**
 * Records by key in a bounded piece of memory outside JavaScript's heap: a million of them cost the garbage collector
 * nothing. Memory is taken slab by slab as records come; when all slabs are in use, the one written longest ago is
 * written anew. A record that changes is changed where it lies if it fits, so that hot ones push no others out.
 *
 *   a record   u16le(room) ‖ u16le(length) ‖ key ‖ value ‖ unused up to the room
 *   the index  buckets of eight places; a place is the record's own plus one, counted from the first byte ever written
 *
 * Keys must be evenly distributed in their last four bytes, as the hashed names of aggregates are.
 */
const SLAB_BYTES = 4 * 1024 * 1024;
const HEADER_BYTES = 4;
/** Room is given in steps, and beyond what is needed: a young aggregate's head grows by some hashes of its tree. */
const ROOM_STEP = 64;
const GROWTH_BYTES = 96;
/** Longer values are not kept. */
const VALUE_MAX = 8192;
const BUCKET = 8;
/** For each so many bytes the index has a place: half of what a small record takes, so that few buckets are full. */
const BYTES_PER_PLACE = 128;

export class PackedRecords {
  private readonly slabs: Buffer[] = [];
  private readonly slabCount: number;
  private readonly places: Float64Array;
  private readonly bucketMask: number;
  /** Where the next record goes. */
  private end = 0;

  /** @param keyBytes of every key @param capacity in bytes, rounded up to whole slabs */
  constructor(
    private readonly keyBytes: number,
    capacity: number,
  ) {
    this.slabCount = Math.max(2, Math.ceil(capacity / SLAB_BYTES));
    const buckets = 2 ** Math.ceil(Math.log2((this.slabCount * SLAB_BYTES) / BYTES_PER_PLACE / BUCKET));
    this.bucketMask = buckets - 1;
    this.places = new Float64Array(buckets * BUCKET);
  }

  /** A view that is valid until the next call of `set`. */
  get(key: Buffer): Buffer | null {
    const slot = this.find(key);
    if (slot < 0) return null;
    const place = (this.places[slot] ?? 0) - 1;
    const [slab, at] = [this.slabOf(place), place % SLAB_BYTES];
    const start = at + HEADER_BYTES + this.keyBytes;
    return slab.subarray(start, start + slab.readUInt16LE(at + 2));
  }

  /** Keeps a copy of the value instead of what was kept under the key; of one that is too long, nothing. */
  set(key: Buffer, value: Buffer): void {
    const slot = this.find(key);
    const isKept = value.length <= VALUE_MAX;
    if (isKept && slot >= 0 && this.overwrite((this.places[slot] ?? 0) - 1, value)) return;
    if (slot >= 0) this.places[slot] = 0;
    if (!isKept) return;
    const place = this.append(key, value);
    this.places[slot >= 0 ? slot : this.freeSlot(key)] = place + 1;
  }

  private overwrite(place: number, value: Buffer): boolean {
    const [slab, at] = [this.slabOf(place), place % SLAB_BYTES];
    if (value.length > slab.readUInt16LE(at)) return false;
    slab.writeUInt16LE(value.length, at + 2);
    slab.set(value, at + HEADER_BYTES + this.keyBytes);
    return true;
  }

  private append(key: Buffer, value: Buffer): number {
    const room = Math.ceil((value.length + GROWTH_BYTES) / ROOM_STEP) * ROOM_STEP;
    const bytes = HEADER_BYTES + this.keyBytes + room;
    const left = SLAB_BYTES - (this.end % SLAB_BYTES);
    if (bytes > left) this.end += left;
    const place = this.end;
    this.end += bytes;
    const [slab, at] = [this.slabOf(place), place % SLAB_BYTES];
    slab.writeUInt16LE(room, at);
    slab.writeUInt16LE(value.length, at + 2);
    slab.set(key, at + HEADER_BYTES);
    slab.set(value, at + HEADER_BYTES + this.keyBytes);
    return place;
  }

  private slabOf(place: number): Buffer {
    const index = Math.floor(place / SLAB_BYTES) % this.slabCount;
    return (this.slabs[index] ??= Buffer.allocUnsafeSlow(SLAB_BYTES));
  }

  /** Its slab was written anew since. */
  private isGone(place: number): boolean {
    return Math.floor(place / SLAB_BYTES) <= Math.floor((this.end - 1) / SLAB_BYTES) - this.slabCount;
  }

  private bucketOf(key: Buffer): number {
    return (key.readUInt32LE(this.keyBytes - 4) & this.bucketMask) * BUCKET;
  }

  /** −1 where it is not kept. */
  private find(key: Buffer): number {
    const first = this.bucketOf(key);
    for (let slot = first; slot < first + BUCKET; slot++) {
      const place = (this.places[slot] ?? 0) - 1;
      if (place < 0 || this.isGone(place)) continue;
      const at = (place % SLAB_BYTES) + HEADER_BYTES;
      if (this.slabOf(place).compare(key, 0, this.keyBytes, at, at + this.keyBytes) === 0) return slot;
    }
    return -1;
  }

  /** One that is empty, or else the one whose record was written longest ago. */
  private freeSlot(key: Buffer): number {
    const first = this.bucketOf(key);
    let oldest = first;
    for (let slot = first; slot < first + BUCKET; slot++)
      if ((this.places[slot] ?? 0) < (this.places[oldest] ?? 0)) oldest = slot;
    return oldest;
  }
}
