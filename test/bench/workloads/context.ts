/** What every workload is given. */
import type { Section } from '../measure.js';
import type { Options } from '../options.js';
import type { Peers } from '../peers/peers.js';

export interface Context {
  readonly options: Options;
  readonly peers: Peers;
  /** Progress, for whoever watches. */
  readonly say: (text: string) => void;
}

/** A workload: gives its sections of the page. */
export type Run = (context: Context) => Promise<Section[]>;

/** a to e work on so many aggregates. */
export const AGGREGATES = 1000;

/** Most clients first: what follows finds servers that have done much. The page has them in the order wanted. */
export async function mostFirst<T>(
  clients: readonly number[],
  rowsOf: (clients: number, isFirst: boolean) => Promise<readonly T[]>,
): Promise<T[]> {
  const rows = new Map<number, readonly T[]>();
  for (const count of [...clients].sort((a, b) => b - a))
    rows.set(count, await rowsOf(count, rows.size === 0));
  return clients.flatMap((count) => rows.get(count) ?? []);
}

export function clientsText(clients: number): string {
  return clients === 1 ? '1 client' : `${clients} clients`;
}

/** A run by node pg, the second column of a and d; unlike pgbench it is not bound to whole seconds. */
export function columnSeconds({ seconds }: Options): number {
  return seconds / 2;
}
