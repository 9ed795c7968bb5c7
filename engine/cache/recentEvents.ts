/**
 * The latest events, as encodeEvent made them, in a bounded piece of memory outside JavaScript's heap: looking back at
 * what was written not long ago then needs no read of the store, which takes another thread and some 15 µs of CPU for
 * each record. They lie in the order in which they came; when the memory is full the oldest are written over. Each says
 * where the one before it of its aggregate lies.
 *
 *   an event   u48le(place of the one before, plus one; 0: none) ‖ u48le(version) ‖ u16le(length) ‖ agg ‖ record
 */
import { AGG_BYTES } from '../codec/keys.js';
import { memoryShare } from './memoryShare.js';
import { privateMemory, SLAB_BYTES } from './packedMemory.js';
import { Places } from './places.js';

const PLACE_BYTES = 6;
const VERSION_AT = 6;
const LENGTH_AT = 12;
const AGG_AT = 14;
const RECORD_AT = AGG_AT + AGG_BYTES;
/** Longer records are not kept. */
const RECORD_MAX = 8192;
/** At some 110 bytes each, 1 GB holds ten million. */
const MEMORY_SHARE = 1 / 16;
/** Steps back from the newest event: a tenth of a millisecond, which others wait for. */
const STEPS_MAX = 1024;
/** Half of what five events take: an aggregate mostly has more. */
const BYTES_PER_PLACE = 384;
const MEMORY = { leastMb: 32, mostMb: 2048 };

export class RecentEvents {
  private readonly places: Places;

  /** @param capacity in bytes */
  constructor(capacity = memoryShare(MEMORY_SHARE, MEMORY)) {
    this.places = new Places(AGG_BYTES, AGG_AT, privateMemory(capacity, BYTES_PER_PLACE));
  }

  /** Keeps a copy. The versions of an aggregate come in order; after a gap, the ones before it are forgotten. */
  add(agg: Buffer, version: number, record: Buffer): void {
    if (record.length > RECORD_MAX) return;
    const before = this.places.find(agg);
    const place = this.places.take(RECORD_AT + record.length);
    const [slab, at] = [this.places.slabOf(place), place % SLAB_BYTES];
    slab.writeUIntLE(before + 1, at, PLACE_BYTES);
    slab.writeUIntLE(version, at + VERSION_AT, PLACE_BYTES);
    slab.writeUInt16LE(record.length, at + LENGTH_AT);
    slab.set(agg, at + AGG_AT);
    slab.set(record, at + RECORD_AT);
    this.places.put(agg, place, before);
  }

  /** For an aggregate whose newest events were not committed after all: others will have their versions. */
  forget(agg: Buffer): void {
    this.places.remove(agg);
  }

  /** The newest version of an aggregate that is here; 0: none. */
  newest(agg: Buffer): number {
    const place = this.places.find(agg);
    return place < 0 ? 0 : this.versionAt(place);
  }

  /**
   * The records of versions `from` through `to`, in order; null where one is not here, or too far from the newest.
   * They are views that are valid until the next call of `add`.
   */
  range(agg: Buffer, from: number, to: number): Buffer[] | null {
    const records: Buffer[] = [];
    const isWhole = this.back(agg, to, from, (record) => {
      records.push(record);
      return true;
    });
    return isWhole ? records.reverse() : null;
  }

  /**
   * Hands out the record of version `to` and those before it, newest first, down to version `from` or until `take` wants
   * no more. They are views as those of `range`.
   * @returns false where one is not here, or too far from the newest
   */
  back(agg: Buffer, to: number, from: number, take: (record: Buffer, version: number) => boolean): boolean {
    let place = this.places.find(agg);
    if (place < 0) return false;
    let version = this.versionAt(place);
    if (version < to || version - from > STEPS_MAX) return false;
    while (version >= from) {
      const [slab, at] = [this.places.slabOf(place), place % SLAB_BYTES];
      if (version <= to) {
        const start = at + RECORD_AT;
        const record = slab.subarray(start, start + slab.readUInt16LE(at + LENGTH_AT));
        if (!take(record, version) || version === from) return true;
      }
      place = slab.readUIntLE(at, PLACE_BYTES) - 1;
      if (place < 0 || this.places.isGone(place) || this.versionAt(place) !== version - 1) return false;
      version--;
    }
    return false;
  }

  private versionAt(place: number): number {
    return this.places.slabOf(place).readUIntLE((place % SLAB_BYTES) + VERSION_AT, PLACE_BYTES);
  }
}
