/** What a recording in the EventfulDB process gives back over IPC: plain data, of every thread of it. */

/** A node of the inspector's CPU profile. */
export interface CpuNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  readonly children?: readonly number[];
}

/** The part of the inspector's `Profiler.Profile` that is used; deltas in µs. */
export interface CpuProfile {
  readonly nodes: readonly CpuNode[];
  readonly samples?: readonly number[];
  readonly timeDeltas?: readonly number[];
}

export interface ThreadCpu {
  readonly thread: string;
  readonly profile: CpuProfile;
}

export interface Allocator {
  readonly functionName: string;
  readonly url: string;
  readonly bytes: number;
}

/** What was allocated on the JavaScript heaps while it was recorded, collected since or not. */
export interface Allocated {
  readonly bytes: number;
  readonly objects: number;
  /** The functions that allocated most, most first. */
  readonly top: readonly Allocator[];
}
