/** Which workloads share servers, and in which order they run. */
import type { Section } from './measure.js';
import type { Workload } from './options.js';
import type { Stopwatch } from './stopwatch.js';
import { appends, expected, projector } from './workloads/appends.js';
import { bulk } from './workloads/bulk.js';
import type { Context, Run } from './workloads/context.js';
import { growth } from './workloads/growth.js';
import { loadFirst, loadRest, type LoadedSet } from './workloads/loaded.js';
import { pointReads, readYourWrite } from './workloads/reads.js';
import { history, scans } from './workloads/scans.js';
import { disk, proofs, restart } from './workloads/store.js';

/** What the workloads gave, and what became of those that gave nothing. */
export class Outcome {
  readonly sections: Section[] = [];
  readonly failures: string[] = [];

  constructor(readonly watch: Stopwatch) {}

  /** A workload that fails does not take along what was measured, or what comes next. */
  async attempt(name: string, work: () => Promise<readonly Section[]>): Promise<void> {
    try {
      this.sections.push(...(await this.watch.lap(name, work)));
    } catch (error) {
      this.failures.push(`${name}: ${(error as Error).message.slice(0, 500)}`);
      console.error(error);
    }
  }
}

export interface Group {
  readonly ids: readonly Workload[];
  run(context: Context, outcome: Outcome): Promise<void>;
}

/** One after the other on the same servers, those that are wanted. */
function inTurn(...all: readonly (readonly [id: Workload, run: Run])[]): Group {
  return {
    ids: all.map(([id]) => id),
    run: async (context, outcome) => {
      for (const [id, run] of all)
        if (context.options.only.has(id)) await outcome.attempt(id, () => run(context));
    },
  };
}

type OnSet = readonly [id: Workload, run: (context: Context, set: LoadedSet) => Promise<Section>];

const ON_FIRST_SET: readonly OnSet[] = [
  ['f', scans],
  ['g', history],
];

/** h comes after i: what verifying needs is no part of the memory after a load. */
const ON_FULL_SET: readonly OnSet[] = [
  ['i', disk],
  ['h', proofs],
  ['j', restart],
];

/** What looks back gets the set before it is full, so that one load serves them all. */
const onLoadedSet: Group = {
  ids: ['f', 'g', 'h', 'i', 'j'],
  run: async (context, outcome) => {
    const { watch } = outcome;
    const wanted = ([id]: OnSet): boolean => context.options.only.has(id);
    const first = await watch.lap('loading for f and g', () => loadFirst(context));
    for (const [id, run] of ON_FIRST_SET.filter(wanted))
      await outcome.attempt(id, async () => [await run(context, first)]);
    if (!ON_FULL_SET.some(wanted)) return;
    const full = await watch.lap('loading for h, i and j', () => loadRest(context, first));
    for (const [id, run] of ON_FULL_SET.filter(wanted))
      await outcome.attempt(id, async () => [await run(context, full)]);
  },
};

/** Each group gets servers of its own, freshly made. e appends where d has read; k and b where a has appended. */
export const GROUPS: readonly Group[] = [
  inTurn(['d', pointReads], ['e', readYourWrite]),
  inTurn(['a', appends], ['k', projector], ['b', expected]),
  inTurn(['c', bulk]),
  onLoadedSet,
  inTurn(['l', growth]),
];
