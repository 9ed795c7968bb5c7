/** `npm run bench`: EventfulDB and PostgreSQL side by side. See options.ts for the flags. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Section } from './measure.js';
import { HELP, parseOptions, type Options, type Workload } from './options.js';
import { findProgram } from './load/pgbench.js';
import { stopEverything, withPeers } from './peers/peers.js';
import { redacted, type OtherAbout } from './peers/others.js';
import { chart } from './report/chart.js';
import { describeMachine, fdatasyncRate, type Machine } from './report/machine.js';
import { page, type Results } from './report/page.js';
import { profile } from './profile/run.js';
import { soak } from './soak.js';
import { Stopwatch } from './stopwatch.js';
import { appends, expected, projector } from './workloads/appends.js';
import { bulk } from './workloads/bulk.js';
import type { Context, Run } from './workloads/context.js';
import { growth } from './workloads/growth.js';
import { loadFirst, loadRest, type LoadedSet } from './workloads/loaded.js';
import { pointReads, readYourWrite } from './workloads/reads.js';
import { history, scans } from './workloads/scans.js';
import { disk, proofs, restart } from './workloads/store.js';

const PROBE_SECONDS = 1;

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
const loadedSet: Run = async (context) => {
  const { options, watch } = context;
  const sections: Section[] = [];
  const runThose = async (chosen: readonly OnSet[], set: LoadedSet): Promise<void> => {
    for (const [id, run] of chosen) sections.push(await watch.lap(id, () => run(context, set)));
  };
  const wanted = (all: readonly OnSet[]): OnSet[] => all.filter(([id]) => options.only.has(id));
  const first = await loadFirst(context);
  await runThose(wanted(ON_FIRST_SET), first);
  const later = wanted(ON_FULL_SET);
  if (later.length > 0) await runThose(later, await loadRest(context, first));
  return sections;
};

/** Each group gets servers of its own, freshly made; `lap` names its time but for what its workloads time themselves. */
const GROUPS: readonly (readonly [ids: readonly Workload[], lap: string, run: Run])[] = [
  [['d'], 'd', pointReads],
  [['a'], 'a', appends],
  [['k'], 'k', projector],
  [['b'], 'b', expected],
  [['e'], 'e', readYourWrite],
  [['c'], 'c', bulk],
  [['f', 'g', 'h', 'i', 'j'], 'f to j: servers and loading', loadedSet],
  [['l'], 'l', growth],
];

function withoutPasswords(options: Options): object {
  const peerUrls = options.peerUrls.map(({ name, url }) => ({ name, url: redacted(url) }));
  const pgUrl = options.pgUrl === null ? null : redacted(options.pgUrl);
  return { ...options, only: [...options.only], pgUrl, peerUrls };
}

function save(results: Results): void {
  const { out } = results.options;
  mkdirSync(out, { recursive: true });
  const { options, ...rest } = results;
  const plain = { ...rest, options: withoutPasswords(options) };
  writeFileSync(join(out, 'results.json'), `${JSON.stringify(plain, null, 1)}\n`);
  writeFileSync(join(out, 'results.md'), page(results));
  for (const section of results.sections) writeFileSync(join(out, `${section.id}.svg`), chart(section));
}

async function runAll(options: Options, machine: Machine, say: Context['say']): Promise<Results> {
  const watch = new Stopwatch();
  const started = performance.now();
  const sections: Section[] = [];
  const fdatasyncs: number[] = [];
  const failures: string[] = [];
  const others = new Map<string, OtherAbout>();
  for (const [ids, lap, run] of GROUPS) {
    if (!ids.some((id) => options.only.has(id))) continue;
    fdatasyncs.push(fdatasyncRate(options.data, PROBE_SECONDS));
    say(`the bare disk: ${Math.round(fdatasyncs[fdatasyncs.length - 1] ?? 0)} fdatasync/s`);
    try {
      sections.push(
        ...(await watch.lap(lap, () =>
          withPeers(options, (peers) => {
            for (const { about } of peers.others) others.set(about.name, about);
            return run({ options, peers, watch, say });
          }),
        )),
      );
    } catch (error) {
      // The other workloads still count; the page says what is missing.
      failures.push(`${ids.join(', ')}: ${(error as Error).message.slice(0, 500)}`);
      console.error(error);
    }
  }
  sections.sort((a, b) => a.id.localeCompare(b.id));
  const seconds = (performance.now() - started) / 1000;
  return {
    when: new Date().toISOString(),
    options,
    machine,
    fdatasyncs,
    sections,
    seconds,
    laps: watch.laps,
    failures,
    others: [...others.values()],
  };
}

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  if (options === null) {
    console.log(HELP);
    return;
  }
  for (const name of ['pgbench', 'psql'] as const) findProgram(name);
  mkdirSync(options.data, { recursive: true });
  const machine = describeMachine(options.data);
  const began = performance.now();
  const say = (text: string): void =>
    console.error(`[${((performance.now() - began) / 1000).toFixed(0).padStart(4)} s] ${text}`);
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void stopEverything().then(() => process.exit(130)));
  if (options.soakSeconds !== null) return soak(options, machine, say);
  if (options.profile) return profile(options, machine, say);
  const results = await runAll(options, machine, say);
  save(results);
  console.log(page(results));
  if (results.failures.length > 0) process.exitCode = 1;
}

main().catch(async (error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  await stopEverything();
  process.exit(1);
});
