import { availableParallelism } from 'node:os';

/** More threads than any machine has use for. */
export const MAX_SESSION_THREADS = 64;

/**
 * With one or two cores the engine, the read model and the sessions fill them anyhow, and crossing threads only costs.
 * Beyond four threads it is the engine that limits.
 */
export function defaultSessionThreads(cores = availableParallelism()): number {
  return cores <= 2 ? 0 : Math.min(cores - 2, 4);
}
