/** The usual contenders: one script per side, run by pgbench or node `pg`. */
import type { Contender, Measured } from '../measure.js';
import { nodePg } from '../load/nodePg.js';
import { pgbench } from '../load/pgbench.js';
import type { System } from '../load/scripts.js';
import type { EventfulPeer } from '../peers/eventful.js';
import type { Login } from '../peers/login.js';
import { withCpu, type Peers } from '../peers/peers.js';

export const SIDES: Readonly<Record<System, string>> = {
  eventful: 'EventfulDB',
  statement: 'PostgreSQL, one statement',
  trigger: 'PostgreSQL, trigger',
};

export interface Job {
  readonly clients: number;
  readonly seconds: number;
  /** Variables of the script; a function gives each run its own. */
  readonly variables?: Readonly<Record<string, number>> | (() => Record<string, number>);
}

export function loginOf(peers: Peers, system: System): Login {
  return system === 'eventful' ? peers.eventful.login : peers.postgres.login(system);
}

/** Syncs and log bytes per event of what `operate` appends. */
async function withLog(peer: EventfulPeer, operate: () => Promise<Measured>): Promise<Measured> {
  const before = await peer.stats();
  const { value, facts } = await operate();
  const after = await peer.stats();
  const events = after.position - before.position;
  if (events === 0) return { value, facts: facts ?? {} };
  return {
    value,
    facts: {
      ...facts,
      'syncs/commit': (after.syncs - before.syncs) / events,
      'log bytes/event': (after.logBytes - before.logBytes) / events,
    },
  };
}

function measured(
  peers: Peers,
  system: System,
  operate: () => Promise<Measured & { operations: number }>,
): Promise<Measured> {
  if (system !== 'eventful') return withCpu(peers.postgres, operate);
  return withLog(peers.eventful, () => withCpu(peers.eventful, operate));
}

export function byPgbench(
  peers: Peers,
  system: System,
  script: string,
  job: Job,
  side: string = SIDES[system],
): Contender {
  const { clients, seconds } = job;
  return {
    side,
    run: () =>
      measured(peers, system, async () => {
        const variables = typeof job.variables === 'function' ? job.variables() : (job.variables ?? {});
        const login = loginOf(peers, system);
        const { scratch } = peers;
        const done = await pgbench({ login, script, clients, seconds, scratch, variables });
        return {
          value: done.perSecond,
          operations: done.transactions,
          facts: {
            'latency ms': done.latencyMs,
            'client share': done.clientShare,
            'connect ms': done.connectMs,
            ...(done.retries > 0 ? { 'retries/op': done.retries / done.transactions } : {}),
          },
        };
      }),
  };
}

export function byNodePg(
  peers: Peers,
  system: System,
  script: string,
  job: { readonly clients: number; readonly seconds: number; readonly aggregates: number },
): Contender {
  return {
    side: `${SIDES[system]} (node pg)`,
    run: () =>
      measured(peers, system, async () => {
        const done = await nodePg({ login: loginOf(peers, system), script, ...job });
        return {
          value: done.perSecond,
          operations: done.operations,
          facts: { 'latency ms': done.latencyMs, 'client share': done.clientShare },
        };
      }),
  };
}
