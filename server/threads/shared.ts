/** What all threads see in shared memory, so that the usual read asks nobody. */
import type { Places } from '../relay/pool.js';

const COMMITTED = 0;
const APPLIED = 1;
const APPLIED_REVISION = 2;
const NEWS = 3;
const PID = 4;
const CELLS = 5;

/** How far the engine and the read model are, and which PostgreSQL that is. Written by the engine's thread alone. */
export class Progress {
  private readonly cells: BigInt64Array;

  constructor(readonly memory = new SharedArrayBuffer(CELLS * BigInt64Array.BYTES_PER_ELEMENT)) {
    this.cells = new BigInt64Array(memory);
  }

  get committed(): bigint {
    return Atomics.load(this.cells, COMMITTED);
  }

  set committed(position: bigint) {
    Atomics.store(this.cells, COMMITTED, position);
  }

  setApplied(position: bigint, revision: bigint): void {
    Atomics.store(this.cells, APPLIED, position);
    Atomics.store(this.cells, APPLIED_REVISION, revision);
  }

  /** Are the position and the revision of the schema in the read model? */
  hasApplied(position: bigint, revision: bigint): boolean {
    return (
      Atomics.load(this.cells, APPLIED) >= position && Atomics.load(this.cells, APPLIED_REVISION) >= revision
    );
  }

  /** Process id of the read model's PostgreSQL; null while it is down. */
  get pid(): number | null {
    const pid = Atomics.load(this.cells, PID);
    return pid === 0n ? null : Number(pid);
  }

  set pid(pid: number | null) {
    Atomics.store(this.cells, PID, BigInt(pid ?? 0));
  }

  /** How many news every thread has been sent; see messages.ts. */
  get news(): bigint {
    return Atomics.load(this.cells, NEWS);
  }

  countNews(): void {
    Atomics.add(this.cells, NEWS, 1n);
  }
}

/** Looking for places that other threads gave back. */
const LOOK_AGAIN_MS = 20;
const ALL = 0;

/** The places for connections to the read model, counted over all threads and per thread. */
export class SharedPlaces implements Places {
  readonly lookAgainMs = LOOK_AGAIN_MS;
  private readonly counts: Int32Array;

  constructor(
    memory: SharedArrayBuffer,
    private readonly slot: number,
    private readonly limit: number,
    private readonly askOthers: () => void,
  ) {
    this.counts = new Int32Array(memory);
  }

  static memory(threads: number): SharedArrayBuffer {
    return new SharedArrayBuffer((threads + 1) * Int32Array.BYTES_PER_ELEMENT);
  }

  take(): boolean {
    for (;;) {
      const taken = Atomics.load(this.counts, ALL);
      if (taken >= this.limit) return false;
      if (Atomics.compareExchange(this.counts, ALL, taken, taken + 1) !== taken) continue;
      Atomics.add(this.counts, this.slot + 1, 1);
      return true;
    }
  }

  give(): void {
    Atomics.sub(this.counts, this.slot + 1, 1);
    Atomics.sub(this.counts, ALL, 1);
  }

  ask(): void {
    this.askOthers();
  }

  /** The thread of this slot has ended, and its connections with it. */
  static clear(memory: SharedArrayBuffer, slot: number): void {
    const counts = new Int32Array(memory);
    Atomics.sub(counts, ALL, Atomics.exchange(counts, slot + 1, 0));
  }
}
