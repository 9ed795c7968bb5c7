/** What every workload is given. */
import type { Section } from '../measure.js';
import type { Options } from '../options.js';
import type { Peers } from '../peers/peers.js';
import type { Stopwatch } from '../stopwatch.js';

export interface Context {
  readonly options: Options;
  readonly peers: Peers;
  readonly watch: Stopwatch;
  /** Progress, for whoever watches. */
  readonly say: (text: string) => void;
}

/** Some workloads share what they load and give several sections. */
export type Run = (context: Context) => Promise<Section[]>;

/** a to e work on so many aggregates. */
export const AGGREGATES = 1000;

export function clientsText(clients: number): string {
  return clients === 1 ? '1 client' : `${clients} clients`;
}
