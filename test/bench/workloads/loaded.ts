/** The loaded set that f to j share: many aggregates, a few deep ones, half of it before a known time. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Context } from './context.js';
import { fill, takesCopy } from '../load/bulk.js';
import { scalar } from '../peers/login.js';

export interface LoadedSet {
  readonly aggregates: number;
  readonly events: number;
  /** A time with half of the events before it, as text; of each side's own clock. */
  readonly half: { readonly eventful: string; readonly statement: string };
  /** Aggregates of so many events each: id by count. */
  readonly deep: readonly { readonly id: string; readonly events: number }[];
  /** Seconds the load of EventfulDB took, for the log. */
  readonly seconds: number;
}

const DEEP_FIRST_ID = 1_500_000_000;
const MAX_AGGREGATES = 100_000;

/** 100,000 aggregates of two events by default; at a million events, ten each. */
export function aggregatesFor(events: number): number {
  return Math.min(MAX_AGGREGATES, Math.max(1, Math.floor(events / 2)));
}

export async function loadSet({ options, peers, say }: Context): Promise<LoadedSet> {
  const { scratch } = peers;
  const copy = await takesCopy(peers.eventful.login, scratch);
  const aggregates = aggregatesFor(options.events);
  const half = Math.ceil(options.events / 2 / aggregates) * aggregates;
  const deep = [10, 1000, ...(options.deep === null ? [] : [options.deep])].map((events, i) => ({
    id: String(DEEP_FIRST_ID + i),
    events,
  }));
  const load = async (system: 'eventful' | 'statement'): Promise<string> => {
    const login = system === 'eventful' ? peers.eventful.login : peers.postgres.login(system);
    say(`loading ${options.events} events into ${system}`);
    await fill(login, system, { events: half, aggregates, firstId: 1 }, scratch, copy);
    await sleep(20);
    const time = await scalar(login, 'SELECT clock_timestamp()::text');
    await sleep(20);
    const rest = options.events - half;
    const firstVersion = half / aggregates;
    await fill(login, system, { events: rest, aggregates, firstId: 1, firstVersion }, scratch, copy);
    for (const { id, events } of deep)
      await fill(login, system, { events, aggregates: 1, firstId: Number(id) }, scratch, copy);
    return time;
  };
  const started = performance.now();
  const eventful = await load('eventful');
  const seconds = (performance.now() - started) / 1000;
  const statement = await load('statement');
  return { aggregates, events: options.events, half: { eventful, statement }, deep, seconds };
}
