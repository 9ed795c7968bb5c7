/** The workloads that are profiled: those of the benchmarks, on EventfulDB alone. */
import { loadByCopy } from '../load/bulk.js';
import { pgbench } from '../load/pgbench.js';
import { appendScript, pointReadScript, relayedReadScript } from '../load/scripts.js';
import type { EventfulPeer } from '../peers/eventful.js';
import { withClient } from '../peers/login.js';
import { AGGREGATES } from '../workloads/context.js';

/** What verify finds in the store: it runs first, on what was loaded for the others. */
export const LOADED_EVENTS = 2 * AGGREGATES;
const COPY_EVENTS = 5000;
const EVENTS_PER_AGGREGATE = 10;
/** So few operations that every single allocation of theirs can be recorded. */
const FEW = 500;

export interface Profiled {
  /** Names the flame graph's file. */
  readonly id: string;
  readonly title: string;
  /** What one operation is. */
  readonly operation: string;
  /** Works for about so long; how many operations it were. */
  run(seconds: number): Promise<number>;
  /** A few operations. */
  runFew(): Promise<number>;
}

interface Setup {
  readonly peer: EventfulPeer;
  readonly scratch: string;
}

function byPgbench(
  { peer, scratch }: Setup,
  clients: number,
  script: string,
): Pick<Profiled, 'run' | 'runFew'> {
  const job = { login: peer.login, script, clients, scratch, variables: { aggregates: AGGREGATES } };
  return {
    run: async (seconds) => (await pgbench({ ...job, seconds })).transactions,
    runFew: async () =>
      (await pgbench({ ...job, seconds: 60, transactionsPerClient: Math.ceil(FEW / clients) })).transactions,
  };
}

async function untilOver(seconds: number, work: () => Promise<number>): Promise<number> {
  const deadline = performance.now() + seconds * 1000;
  let operations = 0;
  do operations += await work();
  while (performance.now() < deadline);
  return operations;
}

function verify({ peer }: Setup): Pick<Profiled, 'run' | 'runFew'> {
  const once = async (): Promise<number> => {
    const { rows } = await withClient(peer.login, (client) =>
      client.query<{ events: string }>('CALL verify()'),
    );
    return Number(rows[0]?.events);
  };
  return { run: (seconds) => untilOver(seconds, once), runFew: once };
}

function copy({ peer, scratch }: Setup): Pick<Profiled, 'run' | 'runFew'> {
  let firstId = 1_000_000;
  const load = async (events: number): Promise<number> => {
    const aggregates = events / EVENTS_PER_AGGREGATE;
    await loadByCopy(peer.login, 'eventful', { events, aggregates, firstId }, scratch);
    firstId += aggregates;
    return events;
  };
  return { run: (seconds) => untilOver(seconds, () => load(COPY_EVENTS)), runFew: () => load(FEW) };
}

export function profiledLoads(setup: Setup): Profiled[] {
  const append = (clients: number) => byPgbench(setup, clients, appendScript('eventful'));
  return [
    {
      id: 'verify',
      title: `CALL verify() of a store of ${LOADED_EVENTS} events`,
      operation: 'event verified',
      ...verify(setup),
    },
    {
      id: 'd-engine',
      title: 'd: point reads that the engine answers, 8 clients',
      operation: 'read',
      ...byPgbench(setup, 8, pointReadScript()),
    },
    {
      id: 'd-relayed',
      title: 'd: point reads that are relayed, 8 clients',
      operation: 'read',
      ...byPgbench(setup, 8, relayedReadScript()),
    },
    { id: 'a-1', title: 'a: appends, 1 client', operation: 'append', ...append(1) },
    { id: 'a-64', title: 'a: appends, 64 clients', operation: 'append', ...append(64) },
    {
      id: 'c-copy',
      title: `c: bulk load by COPY, ${COPY_EVENTS} events at a time`,
      operation: 'event copied',
      ...copy(setup),
    },
  ];
}
