/**
 * Records by key in a bounded piece of memory outside JavaScript's heap: a million of them cost the garbage collector
 * nothing. Memory is taken slab by slab as records come; when all slabs are in use, the one written longest ago is
 * written anew. A record that changes is changed where it lies if it fits, so that hot ones push no others out.
 *
 *   a record   u16le(room) ‖ u16le(length) ‖ key ‖ value ‖ unused up to the room
 *   the index  buckets of eight places; a place is the record's own plus one, counted from the first byte ever written
 *
 * Keys must be evenly distributed in their last four bytes, as the hashed names of aggregates are.
 *
 * In shared memory one thread writes and others read without a lock (packedMemory.ts): a bucket's stamp is odd while
 * one of its records changes, and a slab that is written anew is announced before; a reader copies what it finds, and
 * then looks whether either has changed meanwhile (a seqlock, see Boehm, "Can seqlocks get along with programming
 * language memory models?", 2012).
 */
import { privateMemory, SLAB_BYTES, type PackedMemory } from './packedMemory.js';

const HEADER_BYTES = 4;
/** Room is given in steps, and beyond what is needed: a young aggregate's head grows by some hashes of its tree. */
const ROOM_STEP = 64;
const GROWTH_BYTES = 96;
/** Longer values are not kept. */
export const VALUE_MAX = 8192;
/** Places in a bucket of the index. */
const BUCKET = 8;

export class PackedRecords {
  private readonly memory: PackedMemory;
  private readonly places: Float64Array;
  private readonly stamps: Int32Array;
  private readonly bucketMask: number;
  /** Where the next record goes; only the writer knows. */
  private end = 0;

  /** @param keyBytes of every key @param memory its capacity in bytes, or memory that other threads see too */
  constructor(
    private readonly keyBytes: number,
    memory: number | PackedMemory,
  ) {
    this.memory = typeof memory === 'number' ? privateMemory(memory) : memory;
    this.places = this.memory.places;
    this.stamps = this.memory.stamps;
    this.bucketMask = this.stamps.length - 1;
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

  /**
   * As `get`, on any thread while another one may be writing.
   * @param into at least VALUE_MAX bytes: gets a copy
   * @returns the length of the value; −1 where none is kept, or where it was changed meanwhile
   */
  read(key: Buffer, into: Buffer): number {
    const bucket = this.bucketOf(key);
    const stamp = Atomics.load(this.stamps, bucket);
    const slot = stamp % 2 === 0 ? this.find(key) : -1;
    if (slot < 0) return -1;
    const place = (this.places[slot] ?? 0) - 1;
    const [slab, at] = [this.slabOf(place), place % SLAB_BYTES];
    const start = at + HEADER_BYTES + this.keyBytes;
    const length = slab.readUInt16LE(at + 2);
    if (length > VALUE_MAX) return -1;
    slab.copy(into, 0, start, start + length);
    // Adding nothing: unlike a load, it is never made before the reads that precede it.
    const isWhole = Atomics.add(this.stamps, bucket, 0) === stamp && !this.isGone(place);
    return isWhole ? length : -1;
  }

  /** Keeps a copy of the value instead of what was kept under the key; of one that is too long, nothing. */
  set(key: Buffer, value: Buffer): void {
    const bucket = this.bucketOf(key);
    Atomics.add(this.stamps, bucket, 1);
    this.change(key, value);
    Atomics.add(this.stamps, bucket, 1);
  }

  private change(key: Buffer, value: Buffer): void {
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
    this.memory.newestSlab = slabNumber(place);
    const [slab, at] = [this.slabOf(place), place % SLAB_BYTES];
    slab.writeUInt16LE(room, at);
    slab.writeUInt16LE(value.length, at + 2);
    slab.set(key, at + HEADER_BYTES);
    slab.set(value, at + HEADER_BYTES + this.keyBytes);
    return place;
  }

  private slabOf(place: number): Buffer {
    return this.memory.slab(slabNumber(place) % this.memory.slabCount);
  }

  /** Its slab was written anew since. */
  private isGone(place: number): boolean {
    return slabNumber(place) <= this.memory.newestSlab - this.memory.slabCount;
  }

  private bucketOf(key: Buffer): number {
    return key.readUInt32LE(this.keyBytes - 4) & this.bucketMask;
  }

  /** −1 where it is not kept. */
  private find(key: Buffer): number {
    const first = this.bucketOf(key) * BUCKET;
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
    const first = this.bucketOf(key) * BUCKET;
    let oldest = first;
    for (let slot = first; slot < first + BUCKET; slot++)
      if ((this.places[slot] ?? 0) < (this.places[oldest] ?? 0)) oldest = slot;
    return oldest;
  }
}

/** Counted from the first one ever begun. */
function slabNumber(place: number): number {
  return Math.floor(place / SLAB_BYTES);
}
