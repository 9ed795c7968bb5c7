/** f: whole-table reads; g: looking back. Both on the loaded set. */
import { byPgbench } from './contenders.js';
import type { Context } from './context.js';
import type { LoadedSet } from './loaded.js';
import {
  asOfTimestampScript,
  asOfVersionScript,
  FULL_SCAN_SCRIPT,
  GROUP_BY_SCRIPT,
} from '../load/scripts.js';
import { scalar, type Login } from '../peers/login.js';
import { interleave, rateRow, type Row, type Section } from '../measure.js';

const SCAN_TARGET = 0.95;
const HISTORY_TARGET = 3;
const SYSTEMS = ['eventful', 'statement'] as const;
const SIDES = { eventful: 'EventfulDB', statement: 'PostgreSQL' } as const;
const FOLDED = { eventful: 'EventfulDB', statement: 'PostgreSQL, folded in SQL' } as const;

export async function scans({ options, peers, say }: Context, set: LoadedSet): Promise<Section> {
  const rows: Row[] = [];
  for (const [label, script] of [
    [`GROUP BY over ${set.aggregates} states`, GROUP_BY_SCRIPT],
    [`SELECT * of ${set.aggregates} states`, FULL_SCAN_SCRIPT],
  ] as const) {
    say(`f: ${label}`);
    const job = { clients: 1, seconds: options.seconds };
    const all = await interleave(
      SYSTEMS.map((system) => byPgbench(peers, system, script, job, SIDES[system])),
      options.rounds,
    );
    rows.push(rateRow(label, 'queries/s', all, SCAN_TARGET));
  }
  const notes = [
    "EventfulDB's read model keeps its tables in memory (tmpfs) with shared_buffers of 128 MB; PostgreSQL's are on disk, with 512 MB, and cached. The SQL and the plan are the same.",
  ];
  return { id: 'f', title: 'GROUP BY and full scan', rows, notes };
}

/** The query that pays for making the table of the past; milliseconds. */
async function firstLookBack(login: Login, set: LoadedSet): Promise<number> {
  const started = performance.now();
  await scalar(login, asOfTimestampScript('eventful', set.half.eventful).replace(/;\s*$/, ''));
  return performance.now() - started;
}

export async function history({ options, peers, say }: Context, set: LoadedSet): Promise<Section> {
  const rows: Row[] = [];
  for (const { id, events } of set.deep) {
    say(`g: AS OF VERSION, ${events} events`);
    const job = { clients: 1, seconds: options.seconds, variables: { versions: events } };
    const all = await interleave(
      SYSTEMS.map((system) => byPgbench(peers, system, asOfVersionScript(system, id), job, FOLDED[system])),
      options.rounds,
    );
    rows.push(rateRow(`AS OF VERSION, ${events} events`, 'reads/s', all, HISTORY_TARGET));
  }
  say('g: AS OF TIMESTAMP');
  const firstMs = await firstLookBack(peers.eventful.login, set);
  const all = await interleave(
    SYSTEMS.map((system) => {
      const script = asOfTimestampScript(system, set.half[system]);
      return byPgbench(peers, system, script, { clients: 1, seconds: options.seconds }, FOLDED[system]);
    }),
    options.rounds,
  );
  const label = `AS OF TIMESTAMP over ${set.aggregates} aggregates, ${set.events} events, grouped by status`;
  rows.push(rateRow(label, 'queries/s', all, HISTORY_TARGET));
  const notes = [
    'AS OF VERSION reads one aggregate at a random version. PostgreSQL folds its events up to that version with a custom aggregate over jsonb_concat, and returns the state as jsonb; EventfulDB returns typed columns.',
    'The time of AS OF TIMESTAMP has half of the events before it.',
    `EventfulDB answers AS OF TIMESTAMP over many aggregates from a table of their past in its read model. The first such query makes it, before the rounds: it took ${(firstMs / 1000).toFixed(2)} s (${Math.round((set.events / firstMs) * 1000)} versions/s), its own answer included. The table stays over a restart of the server; it is made again after a restart of the machine, a crash of the read model, or an hour without such a query. A later query adds what was appended since, where its time asks for it; here nothing is appended between the rounds.`,
    'All rounds ask for the same time, so its position in the log is found once and then remembered: to look up a time not asked for before takes up to a few milliseconds more.',
  ];
  return { id: 'g', title: 'Looking back', rows, notes };
}
