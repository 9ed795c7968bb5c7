/**
 * The loaded set that f to j share: many aggregates, a few deep ones; first two events each, then ten. Loading is not
 * measured, so both sides load at once.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Context } from './context.js';
import { loginOf } from './contenders.js';
import { fill } from '../load/fill.js';
import type { Load } from '../load/patients.js';
import { scalar } from '../peers/login.js';

export interface LoadedSet {
  readonly aggregates: number;
  readonly events: number;
  /** A time with half of the first events before it, as text; of each side's own clock. */
  readonly half: { readonly eventful: string; readonly statement: string };
  /** Aggregates of so many events each: id by count. */
  readonly deep: readonly { readonly id: string; readonly events: number }[];
}

const DEEP_FIRST_ID = 1_500_000_000;
const MAX_AGGREGATES = 100_000;
const EVENTS_PER_AGGREGATE = 10;
const FIRST_EVENTS_PER_AGGREGATE = 2;

/** 1,000,000 events in 100,000 aggregates: ten each; more events make no more aggregates. */
export function aggregatesFor(events: number): number {
  return Math.min(MAX_AGGREGATES, Math.max(1, Math.floor(events / EVENTS_PER_AGGREGATE)));
}

type Side = 'eventful' | 'statement';

async function load({ peers, say }: Context, system: Side, what: Load): Promise<void> {
  const report = (loaded: number): void => say(`loaded ${loaded} of ${what.events} events into ${system}`);
  await fill(loginOf(peers, system), system, what, peers.scratch, report);
  // Else its work would fall into what is measured next.
  if (system === 'eventful') await peers.eventful.settle();
}

/** Two events of each aggregate, with a known time between them: what f and g look at. */
export async function loadFirst(context: Context): Promise<LoadedSet> {
  const { options, peers } = context;
  const aggregates = aggregatesFor(options.events);
  const deep = [10, 1000, ...(options.deep === null ? [] : [options.deep])].map((events, i) => ({
    id: String(DEEP_FIRST_ID + i),
    events,
  }));
  const loadHalves = async (system: Side): Promise<string> => {
    await load(context, system, { events: aggregates, aggregates, firstId: 1 });
    await sleep(20);
    const time = await scalar(loginOf(peers, system), 'SELECT clock_timestamp()::text');
    await sleep(20);
    await load(context, system, { events: aggregates, aggregates, firstId: 1, firstVersion: 1 });
    for (const { id, events } of deep)
      await load(context, system, { events, aggregates: 1, firstId: Number(id) });
    return time;
  };
  const [eventful, statement] = await Promise.all([loadHalves('eventful'), loadHalves('statement')]);
  return { aggregates, events: FIRST_EVENTS_PER_AGGREGATE * aggregates, half: { eventful, statement }, deep };
}

/** The rest, up to --events, of the same aggregates: what h to j work on. */
export async function loadRest(context: Context, set: LoadedSet): Promise<LoadedSet> {
  const { aggregates } = set;
  const rounds = Math.floor(context.options.events / aggregates) - FIRST_EVENTS_PER_AGGREGATE;
  if (rounds <= 0) return set;
  const events = rounds * aggregates;
  const what = { events, aggregates, firstId: 1, firstVersion: FIRST_EVENTS_PER_AGGREGATE };
  await Promise.all([load(context, 'eventful', what), load(context, 'statement', what)]);
  return { ...set, events: set.events + events };
}
