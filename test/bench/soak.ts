/** --soak: a steady load for a long time; what grows, and what gets slower? */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pgbench } from './load/pgbench.js';
import { appendScript, pointReadScript } from './load/scripts.js';
import type { Options } from './options.js';
import { withPeers, type Peers } from './peers/peers.js';
import { diskBytes } from './processes.js';
import { figure } from './report/format.js';
import type { Machine } from './report/machine.js';

const AGGREGATES = 10_000;
const CLIENTS = 8;
const SEGMENTS = 30;
const MIN_SEGMENT_SECONDS = 5;
const PROBE_SECONDS = 5;
/** Reads for each append, as a share of its rate. */
const READ_SHARE = 1;
const LAG_POLL_MS = 100;

interface Percentiles {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

interface Segment {
  readonly minute: number;
  readonly perSecond: number;
  readonly append: Percentiles;
  readonly read: Percentiles;
  readonly lagMax: number;
  readonly serverMb: number;
  readonly readModelMb: number;
  readonly storeMb: number;
  readonly position: number;
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

async function oneSegment(peers: Peers, seconds: number, rate: number, started: number): Promise<Segment> {
  const { eventful, scratch } = peers;
  const common = { login: eventful.login, seconds, scratch, variables: { aggregates: AGGREGATES } };
  const log = (prefix: string): { prefix: string; share: number } => ({
    prefix: join(scratch, prefix),
    share: 1,
  });
  let lagMax = 0;
  const poll = setInterval(() => {
    void eventful.stats().then(
      ({ position, applied }) => (lagMax = Math.max(lagMax, position - applied)),
      () => undefined,
    );
  }, LAG_POLL_MS);
  try {
    const [append] = await Promise.all([
      pgbench({ ...common, script: appendScript('eventful'), clients: CLIENTS, rate, log: log('append') }),
      pgbench({
        ...common,
        script: pointReadScript(),
        clients: 2,
        rate: Math.max(1, Math.round(rate * READ_SHARE)),
        log: log('read'),
      }),
    ]);
    const memory = eventful.memory();
    const mb = 1 / 1048576;
    return {
      minute: (performance.now() - started) / 60_000,
      perSecond: append.perSecond,
      append: percentiles(scratch, 'append'),
      read: percentiles(scratch, 'read'),
      lagMax,
      serverMb: memory.server * mb,
      readModelMb: memory.readModel * mb,
      storeMb: diskBytes(eventful.directory) * mb,
      position: (await eventful.stats()).position,
    };
  } finally {
    clearInterval(poll);
  }
}

function table(segments: readonly Segment[]): string {
  const shown = (p: Percentiles): string => [p.p50, p.p99, p.p999, p.max].map(figure).join(' / ');
  const lines = segments.map((one) => {
    const cells = [one.minute.toFixed(1), figure(one.perSecond), shown(one.append), shown(one.read)];
    const sizes = [one.lagMax, one.serverMb, one.readModelMb, one.storeMb].map(figure);
    return `| ${[...cells, ...sizes, one.position.toLocaleString('en-US')].join(' | ')} |`;
  });
  return [
    '| minute | appends/s | append ms p50 / p99 / p99.9 / max | read ms p50 / p99 / p99.9 / max | worst lag, events | server MB | read model MB | store MB | position |',
    '|---:|---:|---:|---:|---:|---:|---:|---:|---:|',
    ...lines,
  ].join('\n');
}

/** MB per million events by least squares over the second half, when caches are full. */
function growthPerMillion(segments: readonly Segment[]): number {
  const half = segments.slice(segments.length >> 1);
  const mean = (pick: (s: Segment) => number): number =>
    half.reduce((sum, segment) => sum + pick(segment), 0) / half.length;
  const [mx, my] = [mean((s) => s.position), mean((s) => s.serverMb)];
  const slope =
    half.reduce((sum, s) => sum + (s.position - mx) * (s.serverMb - my), 0) /
    half.reduce((sum, s) => sum + (s.position - mx) ** 2, 0);
  return slope * 1e6;
}

export async function soak(options: Options, machine: Machine, say: (text: string) => void): Promise<void> {
  const total = options.soakSeconds ?? 0;
  const seconds = Math.max(MIN_SEGMENT_SECONDS, Math.round(total / SEGMENTS));
  const segments = await withPeers(options, async (peers) => {
    const probe = await pgbench({
      login: peers.eventful.login,
      script: appendScript('eventful'),
      clients: CLIENTS,
      seconds: PROBE_SECONDS,
      scratch: peers.scratch,
      variables: { aggregates: AGGREGATES },
    });
    const rate = options.rate ?? Math.max(1, Math.round(probe.perSecond / 2));
    say(`soak: ${CLIENTS} clients reach ${Math.round(probe.perSecond)}/s; holding ${rate}/s`);
    const started = performance.now();
    const done: Segment[] = [];
    while (performance.now() - started < total * 1000) {
      done.push(await oneSegment(peers, seconds, rate, started));
      say(`soak: minute ${done[done.length - 1]?.minute.toFixed(1)}`);
    }
    return done;
  });
  const text = `# Soak

Made by \`${options.commandLine}\` on ${new Date().toISOString()}: ${machine.cpu}, ${machine.cores} cores, ${machine.fileSystem}.
Steady load by pgbench: ${CLIENTS} clients append over ${AGGREGATES} aggregates, 2 clients read single states at the same rate.
Latencies count from when a request was due (pgbench -R), so they include waiting behind a slow one.

${table(segments)}

Memory of the server over the second half: ${figure(growthPerMillion(segments))} MB per million events.
`;
  mkdirSync(options.out, { recursive: true });
  writeFileSync(join(options.out, 'soak.md'), text);
  writeFileSync(join(options.out, 'soak.json'), `${JSON.stringify({ machine, segments }, null, 1)}\n`);
  console.log(text);
}
