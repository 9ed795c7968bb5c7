/** Both sides of one workload, started fresh, and removed again whatever happens. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Measured } from '../measure.js';
import type { Options } from '../options.js';
import { EventfulPeer } from './eventful.js';
import { execute } from './login.js';
import { connectOther, type OtherPeer } from './others.js';
import { PostgresPeer } from './postgres.js';
import { EVENTFUL_SCHEMA } from './schema.js';

export interface Peers {
  readonly eventful: EventfulPeer;
  readonly postgres: PostgresPeer;
  readonly others: readonly OtherPeer[];
  /** For scripts and files to load; on the measured disk. */
  readonly scratch: string;
}

/** A read model that is this far behind is worth a word. */
const SHOWN_BEHIND_MS = 10;

/** What is running, so that Ctrl-C can end it. */
const running = new Set<() => Promise<void>>();

let stopping = false;

export async function stopEverything(): Promise<void> {
  stopping = true;
  await Promise.allSettled([...running].map((stop) => stop()));
}

type Keep = <P extends { destroy(): Promise<void> }>(peer: P) => P;

/** A directory for one group of servers; those that are kept end with it. */
async function withScratch<T>(
  options: Options,
  work: (scratch: string, keep: Keep) => Promise<T>,
): Promise<T> {
  if (stopping) throw new Error('interrupted');
  mkdirSync(options.data, { recursive: true });
  const scratch = mkdtempSync(join(resolve(options.data), 'eventful-bench-'));
  // PostgreSQL runs as another user when we are root, and must get through to its own directory.
  chmodSync(scratch, 0o711);
  const started: { destroy(): Promise<void> }[] = [];
  let stopped: Promise<void> | null = null;
  const stop = (): Promise<void> =>
    (stopped ??= (async () => {
      await Promise.allSettled(started.map((peer) => peer.destroy()));
      rmSync(scratch, { recursive: true, force: true });
    })());
  running.add(stop);
  try {
    return await work(scratch, (peer) => {
      started.push(peer);
      return peer;
    });
  } finally {
    await stop();
    running.delete(stop);
  }
}

export function withPeers<T>(options: Options, work: (peers: Peers) => Promise<T>): Promise<T> {
  return withScratch(options, async (scratch, keep) => {
    const postgres = keep(await PostgresPeer.create(scratch, options.pgUrl));
    const eventful = keep(await EventfulPeer.create(scratch, options.cpuProf));
    await execute(eventful.login, EVENTFUL_SCHEMA);
    const others: OtherPeer[] = [];
    for (const url of options.peerUrls) {
      const other = await connectOther(url);
      keep(other.peer);
      others.push(other);
    }
    return work({ eventful, postgres, others, scratch });
  });
}

/** EventfulDB alone, with the schema made. */
export function withEventful<T>(
  options: Options,
  work: (peer: EventfulPeer, scratch: string) => Promise<T>,
): Promise<T> {
  return withScratch(options, async (scratch, keep) => {
    const eventful = keep(await EventfulPeer.create(scratch, null));
    await execute(eventful.login, EVENTFUL_SCHEMA);
    return work(eventful, scratch);
  });
}

/** Adds what a run cost the server: CPU per operation. Backends report it when they end, shortly after the client. */
export async function withCpu(
  peer: { cpuSeconds(): number; readModelCpuSeconds?(): number; settle?(): Promise<number> },
  operate: () => Promise<Measured & { readonly operations: number }>,
): Promise<Measured> {
  const before = peer.cpuSeconds();
  const readModelBefore = peer.readModelCpuSeconds?.();
  const { operations, value, facts } = await operate();
  const behind = (await peer.settle?.()) ?? 0;
  await sleep(60);
  const perOperation = (seconds: number): number => (seconds * 1e6) / Math.max(1, operations);
  const cpu = perOperation(peer.cpuSeconds() - before);
  const readModel = peer.readModelCpuSeconds?.();
  return {
    value,
    facts: {
      ...facts,
      ...(Number.isNaN(cpu) ? {} : { 'server µs/op': cpu }),
      ...(readModel === undefined || readModelBefore === undefined
        ? {}
        : { '… of it read model': perOperation(readModel - readModelBefore) }),
      ...(behind >= SHOWN_BEHIND_MS ? { 'read model behind ms': behind } : {}),
    },
  };
}
