/** `npm run bench -- --profile`: where the time goes, as profile.md and one flame graph per workload. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fill } from '../load/fill.js';
import type { Options } from '../options.js';
import type { EventfulPeer } from '../peers/eventful.js';
import { withEventful } from '../peers/peers.js';
import type { Machine } from '../report/machine.js';
import { AGGREGATES } from '../workloads/context.js';
import { callTree } from './calls.js';
import { readCounters, since } from './counters.js';
import { flameGraph } from './flame.js';
import { LOADED_EVENTS, profiledLoads, type Profiled } from './loads.js';
import { profilePage, type Graph, type ProfileRow } from './page.js';
import { countCalls } from './strace.js';

/** The compiled project: what lies below it is ours. */
const ROOT = new URL('../../../', import.meta.url).href;

const WARM_UP_SECONDS = 1;

async function profileOne(
  load: Profiled,
  peer: EventfulPeer,
  scratch: string,
  seconds: number,
): Promise<ProfileRow> {
  await load.run(WARM_UP_SECONDS);
  await peer.settle();
  const before = { counters: readCounters(peer.pid), stats: await peer.stats() };
  const started = performance.now();
  const operations = await load.run(seconds);
  const elapsed = (performance.now() - started) / 1000;
  const counters = since(before.counters, readCounters(peer.pid));
  const syncs = (await peer.stats()).syncs - before.stats.syncs;
  await peer.settle();

  await peer.startCpu();
  const profiledOperations = await load.run(seconds);
  const threads = (await peer.stopCpu()).map(({ thread, profile }) => ({
    thread,
    tree: callTree(profile, ROOT),
  }));
  await peer.settle();

  await peer.startHeap();
  const fewOperations = await load.runFew();
  const allocated = await peer.stopHeap();
  await peer.settle();

  const systemCalls = await countCalls(peer.pid, scratch, () => load.run(Math.min(seconds, 2)));
  await peer.settle();
  return {
    load,
    plain: { operations, elapsed, counters, syncs },
    cpu: { operations: profiledOperations, threads },
    heap: { operations: fewOperations, allocated },
    systemCalls,
  };
}

function saveGraphs(out: string, { load, cpu }: ProfileRow): Graph[] {
  return cpu.threads.map(({ thread, tree }, i) => {
    const file = `flame-${load.id}${i === 0 ? '' : `-thread${i}`}.svg`;
    const heading = `${load.title}: ${thread === 'main' ? 'main thread' : thread}`;
    writeFileSync(join(out, file), flameGraph(tree, heading));
    return { file, heading };
  });
}

export async function profile(
  options: Options,
  machine: Machine,
  say: (text: string) => void,
): Promise<void> {
  const { out, seconds } = options;
  const pages = await withEventful(options, async (peer, scratch) => {
    const load = { events: LOADED_EVENTS, aggregates: AGGREGATES, firstId: 1 };
    await fill(peer.login, 'eventful', load, scratch);
    await peer.settle();
    const rows: ProfileRow[] = [];
    for (const one of profiledLoads({ peer, scratch })) {
      say(one.title);
      rows.push(await profileOne(one, peer, scratch, seconds));
    }
    return rows.sort((a, b) => a.load.id.localeCompare(b.load.id));
  });
  mkdirSync(out, { recursive: true });
  const rows = pages.map((row) => ({ row, graphs: saveGraphs(out, row) }));
  const text = profilePage({ when: new Date().toISOString(), options, machine, rows, root: ROOT });
  writeFileSync(join(out, 'profile.md'), text);
  console.log(
    `wrote ${join(out, 'profile.md')} and ${rows.flatMap(({ graphs }) => graphs).length} flame graphs`,
  );
}
