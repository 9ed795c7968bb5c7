import { totalmem } from 'node:os';

const MB = 1024 * 1024;

/** Of the memory this process may have, a machine's or a container's. @returns bytes */
export function memoryShare(
  part: number,
  within: { readonly leastMb: number; readonly mostMb: number },
): number {
  // Without a limit this is 0, or more than there is.
  const constrained = process.constrainedMemory();
  const memory = constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
  return Math.min(within.mostMb * MB, Math.max(within.leastMb * MB, memory * part));
}
