/** --soak: a steady load for a long time; what grows, and what gets slower? */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pgbench } from './load/pgbench.js';
import { appendScript, pointReadScript } from './load/scripts.js';
import type { Options } from './options.js';
import { withEventful } from './peers/peers.js';
import type { EventfulPeer } from './peers/eventful.js';
import { diskBytes } from './processes.js';
import type { Machine } from './report/machine.js';
import {
  soakChart,
  soakPage,
  type Ended,
  type Percentiles,
  type Sample,
  type Segment,
} from './report/soak.js';

const AGGREGATES = 10_000;
const CLIENTS = 8;
const READERS = 2;
/** A segment is a row of the page: a minute, or less of a short soak and more of a long one. */
const SEGMENT_SECONDS = 60;
const MIN_SEGMENT_SECONDS = 5;
const SEGMENTS_MIN = 6;
const SEGMENTS_MAX = 120;
const PROBE_SECONDS = 5;
const SAMPLE_SECONDS = 5;
const SAMPLES_MAX = 1000;
const LAG_POLL_MS = 100;
const MB = 1 / 1048576;

export function segmentSeconds(total: number): number {
  const usual = Math.min(SEGMENT_SECONDS, Math.floor(total / SEGMENTS_MIN));
  return Math.max(MIN_SEGMENT_SECONDS, usual, Math.ceil(total / SEGMENTS_MAX));
}

/** Milliseconds, from pgbench's logs: the third column is a transaction's time in µs. */
function percentiles(directory: string, prefix: string): Percentiles {
  const times: number[] = [];
  for (const name of readdirSync(directory).filter((file) => file.startsWith(prefix))) {
    const path = join(directory, name);
    for (const line of readFileSync(path, 'utf8').split('\n')) {
      const time = Number(line.split(' ')[2]);
      if (time > 0) times.push(time / 1000);
    }
    rmSync(path);
  }
  times.sort((a, b) => a - b);
  const at = (share: number): number =>
    times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? NaN;
  return { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1) };
}

/** Watches the server from outside while the load runs. */
class Watcher {
  readonly samples: Sample[] = [];
  private lag = 0;
  private readonly timers: NodeJS.Timeout[];

  constructor(
    private readonly peer: EventfulPeer,
    private readonly started: number,
    everySeconds: number,
  ) {
    const ignore = (): void => undefined;
    this.timers = [
      setInterval(() => void this.look().catch(ignore), LAG_POLL_MS),
      setInterval(() => void this.sample().catch(ignore), everySeconds * 1000),
    ];
  }

  async sample(): Promise<void> {
    const position = await this.look();
    const { server, readModel } = this.peer.memory();
    const minute = (performance.now() - this.started) / 60_000;
    const lagMax = this.lag;
    this.lag = 0;
    this.samples.push({ minute, position, lagMax, serverMb: server * MB, readModelMb: readModel * MB });
  }

  stop(): void {
    for (const timer of this.timers) clearInterval(timer);
  }

  private async look(): Promise<number> {
    const { position, applied } = await this.peer.stats();
    this.lag = Math.max(this.lag, position - applied);
    return position;
  }
}

async function oneSegment(
  peer: EventfulPeer,
  scratch: string,
  seconds: number,
  rate: number,
): Promise<Omit<Segment, 'minute' | 'storeMb'> & { readonly appended: number }> {
  const common = { login: peer.login, seconds, scratch, rate, variables: { aggregates: AGGREGATES } };
  const log = (prefix: string): { prefix: string; share: number } => ({
    prefix: join(scratch, prefix),
    share: 1,
  });
  const [append, read] = await Promise.all([
    pgbench({ ...common, script: appendScript('eventful'), clients: CLIENTS, log: log('append') }),
    pgbench({ ...common, script: pointReadScript(), clients: READERS, log: log('read') }),
  ]);
  return {
    appended: append.transactions,
    appendsPerSecond: append.perSecond,
    readsPerSecond: read.perSecond,
    append: percentiles(scratch, 'append'),
    read: percentiles(scratch, 'read'),
  };
}

/** What is there at the end must be what was acknowledged, and stand up to verification. */
async function end(peer: EventfulPeer, firstPosition: number, acknowledged: number): Promise<Ended> {
  const catchUpMs = await peer.settle();
  const stored = (await peer.stats()).position - firstPosition;
  const { events, seconds } = await peer.verify();
  return { acknowledged, stored, catchUpMs, verified: events, verifySeconds: seconds };
}

async function hold(
  peer: EventfulPeer,
  scratch: string,
  total: number,
  wantedRate: number | null,
  say: (text: string) => void,
): Promise<{ rate: number; segments: Segment[]; samples: readonly Sample[]; ended: Ended }> {
  const probe = await pgbench({
    login: peer.login,
    script: appendScript('eventful'),
    clients: CLIENTS,
    seconds: PROBE_SECONDS,
    scratch,
    variables: { aggregates: AGGREGATES },
  });
  const rate = wantedRate ?? Math.max(1, Math.round(probe.perSecond / 2));
  say(`soak: ${CLIENTS} clients reach ${Math.round(probe.perSecond)}/s; holding ${rate}/s`);
  const started = performance.now();
  const firstPosition = (await peer.stats()).position;
  const watcher = new Watcher(peer, started, Math.max(SAMPLE_SECONDS, total / SAMPLES_MAX));
  const segments: Segment[] = [];
  let acknowledged = 0;
  try {
    await watcher.sample();
    while (performance.now() - started < total * 1000) {
      const { appended, ...measured } = await oneSegment(peer, scratch, segmentSeconds(total), rate);
      acknowledged += appended;
      const minute = (performance.now() - started) / 60_000;
      segments.push({ minute, storeMb: diskBytes(peer.directory) * MB, ...measured });
      say(`soak: minute ${minute.toFixed(1)}`);
    }
    await watcher.sample();
  } finally {
    watcher.stop();
  }
  say('soak: verifying what was written');
  return {
    rate,
    segments,
    samples: watcher.samples,
    ended: await end(peer, firstPosition, acknowledged),
  };
}

export async function soak(options: Options, machine: Machine, say: (text: string) => void): Promise<void> {
  const total = options.soakSeconds ?? 0;
  const held = await withEventful(options, (peer, scratch) => hold(peer, scratch, total, options.rate, say));
  const load = `${CLIENTS} clients append one event of three fields at a time over ${AGGREGATES} aggregates, ${READERS} clients read single states, each ${held.rate} per second in all`;
  const made = { command: options.commandLine, when: new Date().toISOString(), machine, load, ...held };
  const text = soakPage(made);
  mkdirSync(options.out, { recursive: true });
  writeFileSync(join(options.out, 'soak.md'), text);
  writeFileSync(join(options.out, 'soak.svg'), soakChart(made));
  writeFileSync(join(options.out, 'soak.json'), `${JSON.stringify(made, null, 1)}\n`);
  console.log(text);
  if (held.ended.stored !== held.ended.acknowledged) process.exitCode = 1;
}
