/** l: does the cost of an operation stay flat while the store grows? One store, filled further from size to size. */
import { byPgbench } from './contenders.js';
import type { Run } from './context.js';
import { fill, takesCopy } from '../load/bulk.js';
import { appendScript, asOfVersionScript, pointReadScript, type System } from '../load/scripts.js';
import { atMost, interleave, median, ratio, series, type Measured, type Row } from '../measure.js';
import { SIDES } from './contenders.js';

const EVENTS_PER_AGGREGATE = 10;
const CLIENTS = 8;
const TARGET = 1.5;
const SYSTEMS = ['eventful', 'statement'] as const;

type Operation = 'a: append' | 'd: point read' | 'g: AS OF VERSION';
const OPERATIONS: readonly Operation[] = ['a: append', 'd: point read', 'g: AS OF VERSION'];

function script(operation: Operation, system: System, aggregates: number): string {
  switch (operation) {
    case 'a: append':
      return appendScript(system);
    case 'd: point read':
      return pointReadScript();
    case 'g: AS OF VERSION':
      return asOfVersionScript(system, String(Math.ceil(aggregates / 2)));
  }
}

export const growth: Run = async ({ options, peers, say }) => {
  const sizes = [...options.growth].sort((a, b) => a - b);
  const copy = await takesCopy(peers.eventful.login, peers.scratch);
  const rows: Row[] = [];
  const ours = new Map<Operation, Measured[]>();
  let loaded = 0;
  for (const size of sizes) {
    say(`l: filling up to ${size} events`);
    const events = size - loaded;
    const firstId = loaded / EVENTS_PER_AGGREGATE + 1;
    const aggregates = size / EVENTS_PER_AGGREGATE;
    for (const system of SYSTEMS) {
      const login = system === 'eventful' ? peers.eventful.login : peers.postgres.login(system);
      const load = { events, aggregates: events / EVENTS_PER_AGGREGATE, firstId };
      await fill(login, system, load, peers.scratch, copy);
    }
    loaded = size;
    for (const operation of OPERATIONS) {
      say(`l: ${size} events, ${operation}`);
      const job = { clients: CLIENTS, seconds: options.seconds, variables: { aggregates, versions: 10 } };
      const all = await interleave(
        SYSTEMS.map((system) => byPgbench(peers, system, script(operation, system, aggregates), job)),
        options.rounds,
      );
      const [eventful, postgres] = all;
      if (eventful === undefined || postgres === undefined) continue;
      const label = `${operation}, ${size} events`;
      const microseconds = { value: 1e6 / median(eventful.values) };
      ours.set(operation, [...(ours.get(operation) ?? []), microseconds]);
      const ratios = [ratio(eventful, postgres)];
      rows.push({ label, unit: 'op/s', better: 'higher', series: all, ratios, goals: [] });
    }
  }
  for (const [operation, costs] of ours) {
    const [first, last] = [costs[0]?.value ?? NaN, costs[costs.length - 1]?.value ?? NaN];
    const text = `cost at ${sizes[sizes.length - 1]} events ÷ cost at ${sizes[0]}`;
    rows.push({
      label: `${operation}: ${text}`,
      unit: '×',
      better: 'lower',
      series: [series(SIDES.eventful, [{ value: last / first }])],
      ratios: [],
      goals: [atMost(text, last / first, TARGET)],
    });
  }
  const notes = [
    `${CLIENTS} clients, ten events per aggregate before the appends of this workload, over all aggregates. The target is meant for 10⁷ events (--growth 10000,100000,1000000,10000000).`,
    'The sizes are measured one after the other, minutes apart: compare with PostgreSQL in the same row before blaming the store for what the disk did.',
  ];
  return [{ id: 'l', title: 'Growth', rows, notes }];
};
