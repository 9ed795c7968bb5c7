/** a: durable appends; k: the projector under a; b: appends that expect a version. */
import { byNodePg, byPgbench, loginOf } from './contenders.js';
import { AGGREGATES, clientsText, columnSeconds, mostFirst, type Context, type Run } from './context.js';
import { ofOthers, othersByPgbench, withOthers } from './others.js';
import { threadRows, THREADS_NOTE } from './threads.js';
import { appendScript, ownVersionScript, readThenAppendScript, type System } from '../load/scripts.js';
import {
  atMost,
  FRESH_WARM_UPS,
  interleave,
  median,
  rateRow,
  series,
  withColumn,
  type Measured,
  type Row,
  type Series,
  type Section,
} from '../measure.js';
import { execute } from '../peers/login.js';
import type { EventfulPeer } from '../peers/eventful.js';

const SYSTEMS = ['eventful', 'statement', 'trigger'] as const satisfies readonly System[];
const VARIANTS = ['statement', 'trigger'] as const;
const TARGETS: Readonly<Record<number, number>> = { 1: 1.0, 8: 1.5, 64: 2.0 };
const SYNCS_PER_COMMIT_MAX = 0.1;
const HOT_CLIENTS = 8;
const HOT_AGGREGATES = 10;
const B_TARGET = 1.5;
const LAG_POLL_MS = 50;

async function appendRow({ options, peers }: Context, clients: number, warmUps: number): Promise<Row> {
  const { rounds, seconds } = options;
  const job = { clients, seconds, variables: { aggregates: AGGREGATES } };
  const node = { clients, seconds: columnSeconds(options), aggregates: AGGREGATES };
  const all = await interleave(
    [
      ...SYSTEMS.map((system) => byPgbench(peers, system, appendScript(system), job)),
      byNodePg(peers, 'eventful', appendScript('eventful'), node),
      byNodePg(peers, 'statement', appendScript('statement'), node),
      ...othersByPgbench(peers, VARIANTS, appendScript, job),
    ],
    rounds,
    warmUps,
  );
  const [ours, theirs] = all.slice(SYSTEMS.length);
  const target = TARGETS[clients];
  const row = rateRow(
    clientsText(clients),
    'appends/s',
    all.slice(0, SYSTEMS.length),
    ...(target === undefined ? [] : [target]),
  );
  const syncs = row.series[0]?.facts['syncs/commit'];
  const goals =
    clients === 64 && syncs !== undefined
      ? [...row.goals, atMost('syncs per commit', syncs, SYNCS_PER_COMMIT_MAX)]
      : row.goals;
  const full = { ...row, goals };
  const complete = ours === undefined || theirs === undefined ? full : withColumn(full, [ours, theirs]);
  return withOthers(complete, all.slice(SYSTEMS.length + 2));
}

export const appends: Run = async (context) => {
  const rows = await mostFirst(context.options.clients, async (clients, isFirst) => {
    context.say(`a: ${clients} clients`);
    return [await appendRow(context, clients, isFirst ? FRESH_WARM_UPS : 0)];
  });
  const script = { label: 'appends', unit: 'appends/s', text: appendScript('eventful') };
  rows.push(...(await threadRows(context, [script], false)));
  const notes = [
    `One event of three fields per request, committed and on disk before the answer, over ${AGGREGATES} aggregates; every request returns the version it made.`,
    'PostgreSQL writes the event and the projection in the same transaction. EventfulDB answers once its log is on disk; its read model follows (k), and a read waits for it (e).',
    'EventfulDB also encrypts, hashes every event into two Merkle trees and keeps each event_id unique for ever. PostgreSQL does none of these here.',
    'Targets are held against the faster of the two PostgreSQL variants, with pgbench. "client share" is what the load client took of all cores.',
    THREADS_NOTE,
  ];
  return [{ id: 'a', title: 'Durable appends, one event per request', rows, notes }];
};

/** Polls the projector while `operate` runs, and then until it has caught up. */
async function observeLag(
  peer: EventfulPeer,
  operate: () => Promise<unknown>,
): Promise<{ lags: number[]; catchUpMs: number; perSecond: number }> {
  const lags: number[] = [];
  let loaded = false;
  const before = await peer.stats();
  // Counts from the first event on: connecting the clients is not the projector's work.
  let started = performance.now();
  const poll = (async () => {
    while (!loaded) {
      const { position, applied } = await peer.stats();
      if (position === before.position) started = performance.now();
      else lags.push(position - applied);
      await new Promise((resolve) => setTimeout(resolve, LAG_POLL_MS));
    }
  })();
  await operate();
  loaded = true;
  const ended = performance.now();
  await poll;
  for (;;) {
    const { position, applied } = await peer.stats();
    if (applied >= position) {
      const now = performance.now();
      const perSecond = ((applied - before.applied) / (now - started)) * 1000;
      return { lags, catchUpMs: now - ended, perSecond };
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

export const projector: Run = async ({ options, peers, say }) => {
  const clients = Math.max(...options.clients);
  say(`k: ${clients} clients`);
  const job = { clients, seconds: options.seconds, variables: { aggregates: AGGREGATES } };
  const contender = byPgbench(peers, 'eventful', appendScript('eventful'), job);
  const lag: Measured[] = [];
  const worst: Measured[] = [];
  const catchUp: Measured[] = [];
  const rate: Measured[] = [];
  for (let round = 0; round < options.rounds; round++) {
    const seen = await observeLag(peers.eventful, () => contender.run());
    lag.push({ value: median(seen.lags) });
    worst.push({ value: Math.max(...seen.lags) });
    catchUp.push({ value: seen.catchUpMs });
    rate.push({ value: seen.perSecond });
  }
  const row = (label: string, unit: string, better: Row['better'], measured: Measured[]): Row => ({
    label,
    unit,
    better,
    series: [series('EventfulDB', measured)],
    ratios: [],
    goals: [],
  });
  const rows = [
    row('events applied', 'events/s', 'higher', rate),
    row('lag, median', 'events', 'lower', lag),
    row('lag, worst', 'events', 'lower', worst),
    row('caught up after', 'ms', 'lower', catchUp),
  ];
  const notes = [
    `Committed position minus applied position, asked every ${LAG_POLL_MS} ms while ${clients} clients append as in a.`,
    'PostgreSQL has no lag: it pays for the projection in every append.',
  ];
  return [{ id: 'k', title: 'The projector under load', rows, notes }];
};

export const expected: Run = async ({ options, peers, say }) => {
  const { rounds, seconds } = options;
  say('b: versions kept by the client');
  let firstId = 1_000_000;
  const own = (): Record<string, number> => ({ first: (firstId += 1000), version: 0 });
  const keeping = { clients: HOT_CLIENTS, seconds, variables: own };
  const kept = await interleave(
    [
      ...SYSTEMS.map((system) => byPgbench(peers, system, ownVersionScript(system), keeping)),
      ...othersByPgbench(peers, VARIANTS, ownVersionScript, keeping),
    ],
    rounds,
  );
  say('b: read, then append');
  // Every hot aggregate must exist before its version can be read.
  const hot = [
    ...SYSTEMS.map((system) => ({ system, login: loginOf(peers, system) })),
    ...ofOthers(peers, VARIANTS, ({ peer }, variant) => ({ system: variant, login: peer.login(variant) })),
  ];
  for (const { system, login } of hot) {
    const script = appendScript(system)
      .split('\n')
      .slice(3)
      .join('\n')
      .replace(/:ward|:note/g, "'1'");
    const ids = Array.from({ length: HOT_AGGREGATES }, (_, i) => `'${i + 1}'`);
    await execute(login, ...ids.map((id) => script.replaceAll(':id', id).replaceAll(`::text`, '')));
  }
  const job = { clients: HOT_CLIENTS, seconds, variables: { aggregates: HOT_AGGREGATES } };
  const contended = await interleave(
    [
      ...SYSTEMS.map((system) => byPgbench(peers, system, readThenAppendScript(system), job)),
      ...othersByPgbench(peers, VARIANTS, readThenAppendScript, job),
    ],
    rounds,
  );
  const row = (label: string, all: readonly Series[]): Row =>
    withOthers(
      rateRow(label, 'appends/s', all.slice(0, SYSTEMS.length), B_TARGET),
      all.slice(SYSTEMS.length),
    );
  const section: Section = {
    id: 'b',
    title: 'Appends that expect a version, 8 clients',
    rows: [
      row('each client keeps the version of its own aggregate', kept),
      row(`read the version of one of ${HOT_AGGREGATES}, then append`, contended),
    ],
    notes: [
      'A conflict is SQLSTATE 40001 on every side; pgbench then repeats the whole script, including the read. "retries/op" counts these.',
      "EventfulDB's reads wait until the read model has applied every event committed before; so the second row measures reads and appends.",
    ],
  };
  return [section];
};
