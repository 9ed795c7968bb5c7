/** l: does the cost of an operation stay flat while the store grows? One store, filled further from size to size. */
import { setTimeout as sleep } from 'node:timers/promises';
import { byPgbench, loginOf, SIDES } from './contenders.js';
import type { Context, Run } from './context.js';
import { fill } from '../load/fill.js';
import { appendScript, asOfVersionScript, pointReadScript, type System } from '../load/scripts.js';
import { figure } from '../report/format.js';
import { atMost, interleave, median, ratio, series, type Row, type Series } from '../measure.js';

const EVENTS_PER_AGGREGATE = 10;
const CLIENTS = 8;
const TARGET = 1.5;
/** PostgreSQL's backends count once they have ended. */
const CPU_REPORTED_MS = 60;
const SYSTEMS = ['eventful', 'statement'] as const;

/** Reads first: so many appends would make the smallest store several times larger. */
const OPERATIONS = ['d: point read', 'g: AS OF VERSION', 'a: append'] as const;
type Operation = (typeof OPERATIONS)[number];

/** What an operation cost on each side at one size. */
interface Cost {
  readonly operation: Operation;
  readonly size: number;
  readonly all: readonly Series[];
}

function script(operation: Operation, system: System): string {
  switch (operation) {
    case 'a: append':
      return appendScript(system);
    case 'd: point read':
      return pointReadScript();
    case 'g: AS OF VERSION':
      return asOfVersionScript(system, null);
  }
}

async function fillUp({ peers, say }: Context, from: number, to: number): Promise<void> {
  const events = to - from;
  const firstId = from / EVENTS_PER_AGGREGATE + 1;
  const load = { events, aggregates: events / EVENTS_PER_AGGREGATE, firstId };
  for (const system of SYSTEMS) {
    const peer = system === 'eventful' ? peers.eventful : peers.postgres;
    const [started, cpu] = [performance.now(), peer.cpuSeconds()];
    await fill(loginOf(peers, system), system, load, peers.scratch, async (loaded) => {
      // The read model must not fall ever further behind, nor work for this while the next part is loaded.
      if (system === 'eventful') await peers.eventful.settle();
      await sleep(CPU_REPORTED_MS);
      const seconds = (performance.now() - started) / 1000;
      const each = ((peer.cpuSeconds() - cpu) * 1e6) / loaded;
      const memory = system === 'eventful' ? peers.eventful.memory().server : peers.postgres.memory();
      say(
        `l: ${system} holds ${from + loaded} events: ${figure(loaded / seconds)} events/s, ${figure(each)} µs of CPU each, ${figure(memory / 2 ** 20)} MB`,
      );
    });
  }
}

/** How often the cost at the smallest size the cost at the largest is, by the clock and by the CPU. */
function grown(side: string, small: Series, large: Series): Series {
  const cpu = (large.facts['server µs/op'] ?? NaN) / (small.facts['server µs/op'] ?? NaN);
  const facts = Number.isNaN(cpu) ? {} : { 'server µs/op': cpu };
  return series(side, [{ value: median(small.values) / median(large.values), facts }]);
}

function growthRow(operation: Operation, costs: readonly Cost[]): Row[] {
  const of = costs.filter((cost) => cost.operation === operation);
  const [small, large] = [of[0], of[of.length - 1]];
  if (small === undefined || large === undefined) return [];
  const all = small.all.map((one, i) => grown(one.side, one, large.all[i] ?? one));
  const text = `cost at ${large.size} events ÷ cost at ${small.size}`;
  const goals = [atMost(text, all[0]?.values[0] ?? NaN, TARGET)];
  return [{ label: `${operation}: ${text}`, unit: '×', better: 'lower', series: all, ratios: [], goals }];
}

function rateRow({ operation, size, all }: Cost): Row[] {
  const [eventful, postgres] = all;
  if (eventful === undefined || postgres === undefined) return [];
  const label = `${operation}, ${size} events`;
  const ratios = [ratio(eventful, postgres)];
  return [{ label, unit: 'op/s', better: 'higher', series: all, ratios, goals: [] }];
}

export const growth: Run = async (context) => {
  const { options, peers, say } = context;
  const costs: Cost[] = [];
  let loaded = 0;
  for (const size of [...options.growth].sort((a, b) => a - b)) {
    await fillUp(context, loaded, size);
    loaded = size;
    const variables = { aggregates: size / EVENTS_PER_AGGREGATE, versions: EVENTS_PER_AGGREGATE };
    for (const operation of OPERATIONS) {
      say(`l: ${size} events, ${operation}`);
      const job = { clients: CLIENTS, seconds: options.seconds, variables };
      const all = await interleave(
        SYSTEMS.map((system) => byPgbench(peers, system, script(operation, system), job, SIDES[system])),
        options.rounds,
      );
      costs.push({ operation, size, all });
    }
  }
  const notes = [
    `${CLIENTS} clients; every operation draws one of all aggregates, and AS OF VERSION one of its first ten versions. Each aggregate is loaded with ten events; what the appends of this workload add comes on top (seconds × rate, after the reads of each size).`,
    'The last rows hold the cost per operation (1 ÷ rate) at the largest size against the smallest, and "server µs/op" beside them the same for the CPU time. PostgreSQL stands there too: the sizes are measured minutes apart, and what the disk or the caches of the machine do, they do to both.',
    'The target is meant for 10⁷ events: --growth 1e4,1e5,1e6,1e7.',
  ];
  const rows = [
    ...costs.flatMap(rateRow),
    ...(options.growth.length > 1 ? OPERATIONS.flatMap((operation) => growthRow(operation, costs)) : []),
  ];
  return [{ id: 'l', title: 'Growth', rows, notes }];
};
