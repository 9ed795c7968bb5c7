/**
 * The latest states of aggregates in memory that all threads share. The engine's thread writes each state before
 * anybody is told of its commit; session threads read them without asking, so that a point read costs the engine
 * nothing. What is not here the engine is asked for, which puts it here.
 */
import { memoryShare } from '../../engine/cache/memoryShare.js';
import { PackedRecords, VALUE_MAX } from '../../engine/cache/packed.js';
import { sharedBytes, sharedMemory } from '../../engine/cache/packedMemory.js';
import type { StateRow } from '../../engine/types.js';
import { readState, writeState } from './stateBytes.js';

/** This part of the memory, within these bounds; taken only as states come. */
const MEMORY_SHARE = 1 / 64;
const MEMORY = { leastMb: 16, mostMb: 512 };

const KEY_BYTES = 8;
const FNV_PRIME = 0x01000193;

/** What a thread is given to see the states. */
export interface StatesMemory {
  readonly bytes: SharedArrayBuffer;
  readonly capacity: number;
  /** Of the names' hashes: which names share a bucket is not to be guessed by clients. */
  readonly seeds: readonly [number, number];
}

export class SharedStates {
  private readonly records: PackedRecords;
  private readonly key = Buffer.alloc(KEY_BYTES);
  private readonly value = Buffer.alloc(VALUE_MAX);

  constructor(private readonly memory: StatesMemory) {
    const { bytes, capacity } = memory;
    this.records = new PackedRecords(KEY_BYTES, sharedMemory(bytes, capacity));
  }

  static memory(
    seeds: readonly [number, number],
    capacity = memoryShare(MEMORY_SHARE, MEMORY),
  ): StatesMemory {
    return { bytes: sharedBytes(capacity), capacity, seeds };
  }

  /** Only the engine's thread may; `row` is the aggregate's newest state. */
  publish(row: StateRow): void {
    const length = writeState(row, this.value);
    // One that is too long takes the place of what was known before, and is not kept.
    const value = length === null ? TOO_LONG : this.value.subarray(0, length);
    this.records.set(this.keyOf(row.aggregateType, row.aggregateId), value);
  }

  /** undefined where only the engine knows it. */
  find(type: string, id: string): StateRow | undefined {
    const length = this.records.read(this.keyOf(type, id), this.value);
    return length < 0 ? undefined : readState(this.value, length, type, id);
  }

  /** The key of its record, valid until the next call. */
  private keyOf(type: string, id: string): Buffer {
    const { key } = this;
    const [a, b] = this.memory.seeds;
    key.writeInt32LE(hash(hash(a, type), id), 0);
    key.writeInt32LE(hash(hash(b, id), type), 4);
    return key;
  }
}

const TOO_LONG = Buffer.alloc(VALUE_MAX + 1);

/** FNV-1a (Fowler, Noll, Vo) over UTF-16 units, mixed at the end since its low bits alone are poor. */
function hash(seed: number, text: string): number {
  let value = seed;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), FNV_PRIME);
  value = Math.imul(value ^ (value >>> 15), FNV_PRIME);
  return value ^ (value >>> 13);
}
