/** The memory in which records lie (packed.ts, recentEvents.ts): one thread's own, or shared by several. */

export const SLAB_BYTES = 4 * 1024 * 1024;
/** For each so many bytes the index has a place: half of what a small head takes, so that few buckets are full. */
const BYTES_PER_PLACE = 128;
const PLACES_PER_BUCKET = 8;

export interface PackedMemory {
  readonly slabCount: number;
  /** @param index below slabCount */
  slab(index: number): Buffer;
  /** Eight for each bucket. */
  readonly places: Float64Array;
  /** One for each bucket; their number is a power of two. */
  readonly stamps: Int32Array;
  /** The slab that is written now, counted from the first one ever begun. */
  newestSlab: number;
}

function sizesFor(
  capacity: number,
  bytesPerPlace = BYTES_PER_PLACE,
): { readonly slabCount: number; readonly buckets: number } {
  const slabCount = Math.max(2, Math.ceil(capacity / SLAB_BYTES));
  const places = (slabCount * SLAB_BYTES) / bytesPerPlace;
  return { slabCount, buckets: 2 ** Math.ceil(Math.log2(places / PLACES_PER_BUCKET)) };
}

/**
 * Slabs are made when they are first written.
 * @param capacity in bytes, rounded up to whole slabs @param bytesPerPlace half of what there is of a key
 */
export function privateMemory(capacity: number, bytesPerPlace?: number): PackedMemory {
  const { slabCount, buckets } = sizesFor(capacity, bytesPerPlace);
  const slabs: Buffer[] = [];
  return {
    slabCount,
    slab: (index) => (slabs[index] ??= Buffer.allocUnsafeSlow(SLAB_BYTES)),
    places: new Float64Array(buckets * PLACES_PER_BUCKET),
    stamps: new Int32Array(buckets),
    newestSlab: 0,
  };
}

/** Where what is in one piece of shared memory begins, in bytes. */
function layout(capacity: number): { places: number; stamps: number; newest: number; bytes: number } {
  const { slabCount, buckets } = sizesFor(capacity);
  const places = slabCount * SLAB_BYTES;
  const stamps = places + buckets * PLACES_PER_BUCKET * Float64Array.BYTES_PER_ELEMENT;
  const newest = stamps + buckets * Int32Array.BYTES_PER_ELEMENT;
  return { places, stamps, newest, bytes: newest + Int32Array.BYTES_PER_ELEMENT };
}

/** All zeros, which the system gives a page at a time when it is first touched. */
export function sharedBytes(capacity: number): SharedArrayBuffer {
  return new SharedArrayBuffer(layout(capacity).bytes);
}

/** @param bytes made by `sharedBytes` for this capacity */
export function sharedMemory(bytes: SharedArrayBuffer, capacity: number): PackedMemory {
  const { slabCount, buckets } = sizesFor(capacity);
  const { places, stamps, newest } = layout(capacity);
  const slabs = Array.from({ length: slabCount }, (_, i) => Buffer.from(bytes, i * SLAB_BYTES, SLAB_BYTES));
  const newestSlab = new Int32Array(bytes, newest, 1);
  return {
    slabCount,
    slab: (index) => slabs[index] as Buffer,
    places: new Float64Array(bytes, places, buckets * PLACES_PER_BUCKET),
    stamps: new Int32Array(bytes, stamps, buckets),
    // Adding nothing, so that what was read from a slab was read before.
    get newestSlab() {
      return Atomics.add(newestSlab, 0, 0);
    },
    set newestSlab(number) {
      Atomics.exchange(newestSlab, 0, number);
    },
  };
}
