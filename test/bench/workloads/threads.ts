/** Rows of a and d with sessions on the engine's thread and on threads of their own, each a server of its own. */
import { byPgbench } from './contenders.js';
import { AGGREGATES, clientsText, type Context } from './context.js';
import { fill } from '../load/fill.js';
import { FRESH_WARM_UPS, interleave, ratio, type Row } from '../measure.js';
import { EventfulPeer } from '../peers/eventful.js';
import { execute } from '../peers/login.js';
import { EVENTFUL_SCHEMA } from '../peers/schema.js';

/** One client has one session: threads show where there are many. */
const CLIENTS = [64];
/** No target: fewer rounds keep the whole within its time. */
export const THREAD_ROUNDS_MAX = 3;

export interface ThreadScript {
  readonly label: string;
  readonly unit: string;
  readonly text: string;
}

function sideOf(threads: number): string {
  if (threads === 0) return "sessions on the engine's thread";
  return threads === 1 ? '1 session thread' : `${threads} session threads`;
}

/** @param loaded the scripts read: every server gets the aggregates first */
export async function threadRows(
  { options, peers, say }: Context,
  scripts: readonly ThreadScript[],
  loaded: boolean,
): Promise<Row[]> {
  const clientCounts = CLIENTS.filter((count) => options.clients.includes(count));
  if (options.sessionThreads.length === 0 || clientCounts.length === 0) return [];
  const started: { threads: number; peer: EventfulPeer }[] = [];
  try {
    for (const threads of [0, ...options.sessionThreads]) {
      const peer = await EventfulPeer.create(peers.scratch, options.cpuProf, threads);
      started.push({ threads, peer });
      await execute(peer.login, EVENTFUL_SCHEMA);
      const load = { events: AGGREGATES, aggregates: AGGREGATES, firstId: 1 };
      if (loaded) await fill(peer.login, 'eventful', load, peers.scratch);
    }
    const rows: Row[] = [];
    for (const clients of clientCounts) {
      for (const { label, unit, text } of scripts) {
        say(`session threads: ${label}, ${clientsText(clients)}`);
        const job = { clients, seconds: options.seconds, variables: { aggregates: AGGREGATES } };
        const contenders = started.map(({ threads, peer }) =>
          byPgbench({ ...peers, eventful: peer }, 'eventful', text, job, sideOf(threads)),
        );
        const rounds = Math.min(options.rounds, THREAD_ROUNDS_MAX);
        // Each thread compiles for itself, and gets a part of the work.
        const [without, ...others] = await interleave(contenders, rounds, FRESH_WARM_UPS);
        if (without === undefined) continue;
        rows.push({
          label: `${label}, ${clientsText(clients)}`,
          unit,
          better: 'higher',
          series: [without, ...others],
          ratios: others.map((other) => ratio(without, other)),
          goals: [],
        });
      }
    }
    return rows;
  } finally {
    await Promise.allSettled(started.map(({ peer }) => peer.destroy()));
  }
}

export const THREADS_NOTE =
  'The rows with session threads compare servers that differ in that setting alone; their ratio is the server without threads ÷ the one with them, so below 1 the threads are faster.';
