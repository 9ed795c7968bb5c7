/**
 * Records by key in a bounded piece of memory outside JavaScript's heap: a million of them cost the garbage collector
 * nothing. Memory is taken slab by slab as records come; when all slabs are in use, the one written longest ago is
 * written anew. A record that changes is changed where it lies if it fits, so that hot ones push no others out.
 *
 *   a record   u16le(room) ‖ u16le(length) ‖ key ‖ value ‖ unused up to the room
 *
 * In shared memory one thread writes and others read without a lock (packedMemory.ts): a bucket's stamp is odd while
 * one of its records changes, and a slab that is written anew is announced before; a reader copies what it finds, and
 * then looks whether either has changed meanwhile (a seqlock, see Boehm, "Can seqlocks get along with programming
 * language memory models?", 2012).
 */
import { privateMemory, SLAB_BYTES, type PackedMemory } from './packedMemory.js';
import { Places } from './places.js';

const HEADER_BYTES = 4;
/** Room is given in steps, and beyond what is needed: a young aggregate's head grows by some hashes of its tree. */
const ROOM_STEP = 64;
const GROWTH_BYTES = 96;
/** Longer values are not kept. */
export const VALUE_MAX = 8192;

export class PackedRecords {
  private readonly places: Places;
  private readonly stamps: Int32Array;

  /** @param keyBytes of every key @param memory its capacity in bytes, or memory that other threads see too */
  constructor(
    private readonly keyBytes: number,
    memory: number | PackedMemory,
  ) {
    const given = typeof memory === 'number' ? privateMemory(memory) : memory;
    this.places = new Places(keyBytes, HEADER_BYTES, given);
    this.stamps = given.stamps;
  }

  /** A view that is valid until the next call of `set`. */
  get(key: Buffer): Buffer | null {
    const place = this.places.find(key);
    if (place < 0) return null;
    const [slab, at] = [this.places.slabOf(place), place % SLAB_BYTES];
    const start = at + HEADER_BYTES + this.keyBytes;
    return slab.subarray(start, start + slab.readUInt16LE(at + 2));
  }

  /**
   * As `get`, on any thread while another one may be writing.
   * @param into at least VALUE_MAX bytes: gets a copy
   * @returns the length of the value; −1 where none is kept, or where it was changed meanwhile
   */
  read(key: Buffer, into: Buffer): number {
    const bucket = this.places.bucketOf(key);
    const stamp = Atomics.load(this.stamps, bucket);
    const place = stamp % 2 === 0 ? this.places.find(key) : -1;
    if (place < 0) return -1;
    const [slab, at] = [this.places.slabOf(place), place % SLAB_BYTES];
    const start = at + HEADER_BYTES + this.keyBytes;
    const length = slab.readUInt16LE(at + 2);
    if (length > VALUE_MAX) return -1;
    slab.copy(into, 0, start, start + length);
    // Adding nothing: unlike a load, it is never made before the reads that precede it.
    const isWhole = Atomics.add(this.stamps, bucket, 0) === stamp && !this.places.isGone(place);
    return isWhole ? length : -1;
  }

  /** Keeps a copy of the value instead of what was kept under the key; of one that is too long, nothing. */
  set(key: Buffer, value: Buffer): void {
    const bucket = this.places.bucketOf(key);
    Atomics.add(this.stamps, bucket, 1);
    this.change(key, value);
    Atomics.add(this.stamps, bucket, 1);
  }

  private change(key: Buffer, value: Buffer): void {
    if (value.length > VALUE_MAX) {
      this.places.remove(key);
      return;
    }
    const place = this.places.find(key);
    if (place >= 0 && this.overwrite(place, value)) return;
    this.places.put(key, this.append(key, value), place);
  }

  private overwrite(place: number, value: Buffer): boolean {
    const [slab, at] = [this.places.slabOf(place), place % SLAB_BYTES];
    if (value.length > slab.readUInt16LE(at)) return false;
    slab.writeUInt16LE(value.length, at + 2);
    slab.set(value, at + HEADER_BYTES + this.keyBytes);
    return true;
  }

  private append(key: Buffer, value: Buffer): number {
    const room = Math.ceil((value.length + GROWTH_BYTES) / ROOM_STEP) * ROOM_STEP;
    const place = this.places.take(HEADER_BYTES + this.keyBytes + room);
    const [slab, at] = [this.places.slabOf(place), place % SLAB_BYTES];
    slab.writeUInt16LE(room, at);
    slab.writeUInt16LE(value.length, at + 2);
    slab.set(key, at + HEADER_BYTES);
    slab.set(value, at + HEADER_BYTES + this.keyBytes);
    return place;
  }
}
