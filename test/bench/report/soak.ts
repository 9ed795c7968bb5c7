/** The page and the chart of a soak: what was held up, and what grew. */
import { median } from '../measure.js';
import { figure } from './format.js';
import type { Machine } from './machine.js';

/** Milliseconds. */
export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** A stretch of the load, and what its clients saw. */
export interface Segment {
  /** At its end. */
  readonly minute: number;
  readonly appendsPerSecond: number;
  readonly readsPerSecond: number;
  readonly append: Percentiles;
  readonly read: Percentiles;
  readonly storeMb: number;
}

/** The server as seen from outside, every few seconds. */
export interface Sample {
  readonly minute: number;
  readonly position: number;
  /** Events that the read model was behind at most since the sample before. */
  readonly lagMax: number;
  readonly serverMb: number;
  readonly readModelMb: number;
}

export interface Ended {
  readonly acknowledged: number;
  readonly stored: number;
  readonly catchUpMs: number;
  readonly verified: number;
  readonly verifySeconds: number;
}

export interface Soaked {
  readonly command: string;
  readonly when: string;
  readonly machine: Machine;
  readonly load: string;
  readonly rate: number;
  readonly segments: readonly Segment[];
  readonly samples: readonly Sample[];
  readonly ended: Ended;
}

function range(values: readonly number[]): string {
  return `${figure(Math.min(...values))} to ${figure(Math.max(...values))}`;
}

/** Those of the second half, when caches are full. */
function settled(samples: readonly Sample[]): readonly Sample[] {
  return samples.slice(samples.length >> 1);
}

/** MB per million events by least squares. */
export function growthPerMillion(samples: readonly Sample[]): number {
  const mean = (pick: (s: Sample) => number): number =>
    samples.reduce((sum, sample) => sum + pick(sample), 0) / samples.length;
  const [mx, my] = [mean((s) => s.position), mean((s) => s.serverMb)];
  const slope =
    samples.reduce((sum, s) => sum + (s.position - mx) * (s.serverMb - my), 0) /
    samples.reduce((sum, s) => sum + (s.position - mx) ** 2, 0);
  return slope * 1e6;
}

/** Samples that fall into a segment. */
function within(soaked: Soaked, i: number): readonly Sample[] {
  const from = soaked.segments[i - 1]?.minute ?? -1;
  const to = soaked.segments[i]?.minute ?? Infinity;
  return soaked.samples.filter(({ minute }) => minute > from && minute <= to);
}

function table(soaked: Soaked): string {
  const shown = (p: Percentiles): string => [p.p50, p.p99, p.p999, p.max].map(figure).join(' / ');
  const lines = soaked.segments.map((one, i) => {
    const seen = within(soaked, i);
    const last = seen[seen.length - 1];
    const lag = seen.length === 0 ? NaN : Math.max(...seen.map(({ lagMax }) => lagMax));
    const cells = [one.minute.toFixed(1), figure(one.appendsPerSecond), figure(one.readsPerSecond)];
    const sizes = [lag, last?.serverMb ?? NaN, last?.readModelMb ?? NaN, one.storeMb].map(figure);
    return `| ${[...cells, shown(one.append), shown(one.read), ...sizes].join(' | ')} |`;
  });
  return [
    '| minute | appends/s | reads/s | append ms p50 / p99 / p99.9 / max | read ms p50 / p99 / p99.9 / max | worst lag, events | server MB | read model MB | store MB |',
    '|---:|---:|---:|---:|---:|---:|---:|---:|---:|',
    ...lines,
  ].join('\n');
}

function summary({ rate, segments, samples, ended }: Soaked): string {
  const late = settled(samples);
  const appends = segments.map(({ appendsPerSecond }) => appendsPerSecond);
  const p99 = segments.map(({ append }) => append.p99);
  const lags = samples.map(({ lagMax }) => lagMax);
  const same = ended.stored === ended.acknowledged;
  return [
    `- rate: ${figure(rate)} appends/s were asked for; ${range(appends)} came, from row to row of the table below`,
    `- latency: p99 of an append ${range(p99)} ms from row to row, the slowest of all ${figure(Math.max(...segments.map(({ append }) => append.max)))} ms`,
    `- the read model was ${figure(median(lags))} events behind at the worst moment of a usual sample, ${figure(Math.max(...lags))} at the worst of all, and caught up ${figure(ended.catchUpMs)} ms after the end`,
    `- memory of the server over the second half: ${range(late.map(({ serverMb }) => serverMb))} MB, trend ${figure(growthPerMillion(late))} MB per million events (seen over ${figure((late[late.length - 1]?.position ?? 0) - (late[0]?.position ?? 0))}); of its read model ${range(late.map(({ readModelMb }) => readModelMb))} MB`,
    `- ${same ? '✓' : '✗'} ${ended.acknowledged.toLocaleString('en-US')} appends were acknowledged, ${ended.stored.toLocaleString('en-US')} events were stored; ✓ verify() found all ${ended.verified.toLocaleString('en-US')} events of the store right, in ${figure(ended.verifySeconds)} s`,
  ].join('\n');
}

export function soakPage(soaked: Soaked): string {
  const { command, when, machine, load } = soaked;
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`);
  return `# Soak

Made by \`${command}\` on ${when}: ${machine.cpu}, ${machine.cores} cores, ${machine.fileSystem}; ${versions.join('; ')}.
The load: ${load}. Latencies count from when a request was due (pgbench -R), so they include waiting behind a slow one.
Memory is resident, shared pages counted once (PSS), every few seconds; the table has its last value of each row. The trend holds the latest events,
which stay in memory up to a 16th of it ([decision 0024](../decisions/0024-recent-events-in-memory.md)).

${summary(soaked)}

![rate, lag and memory over time](soak.svg)

${table(soaked)}
`;
}

const WIDTH = 760;
const LEFT = 70;
const PANEL = 130;
const GAP = 44;
const TOP = 40;
const COLORS = ['#1f6f8b', '#b8bec7'] as const;

interface Line {
  readonly name: string;
  readonly points: readonly (readonly [minute: number, value: number])[];
}

function panel(title: string, lines: readonly Line[], top: number, minutes: number): string {
  const most = Math.max(...lines.flatMap(({ points }) => points.map(([, value]) => value)), 1e-9);
  const x = (minute: number): string => (LEFT + (minute / minutes) * (WIDTH - LEFT - 20)).toFixed(1);
  const y = (value: number): string => (top + PANEL - (value / most) * PANEL).toFixed(1);
  const legend = lines.map(({ name }, i) => `<tspan fill="${COLORS[i] ?? COLORS[0]}">${name}</tspan>`);
  const drawn = lines.map(({ points }, i) => {
    const path = points.map(([minute, value]) => `${x(minute)},${y(value)}`).join(' ');
    return `<polyline fill="none" stroke="${COLORS[i] ?? COLORS[0]}" stroke-width="1.5" points="${path}"/>`;
  });
  return `<text x="12" y="${top - 8}" font-weight="600">${title} ${legend.join(' ')}</text>
<line x1="${LEFT}" x2="${WIDTH - 20}" y1="${top + PANEL}" y2="${top + PANEL}" stroke="#6e7781"/>
<text x="${LEFT - 6}" y="${top + 8}" text-anchor="end">${figure(most)}</text>
<text x="${LEFT - 6}" y="${top + PANEL}" text-anchor="end">0</text>
${drawn.join('\n')}`;
}

/** Appends per second between two samples, worst lag and memory, each over the minutes. */
export function soakChart({ samples }: Soaked): string {
  const minutes = Math.max(samples[samples.length - 1]?.minute ?? 0, 1e-9);
  const rates = samples.slice(1).map(({ minute, position }, i): readonly [number, number] => {
    const before = samples[i] ?? { minute: 0, position: 0 };
    return [minute, (position - before.position) / Math.max((minute - before.minute) * 60, 1e-3)];
  });
  const of = (pick: (s: Sample) => number): (readonly [number, number])[] =>
    samples.map((sample) => [sample.minute, pick(sample)]);
  const panels: (readonly [string, readonly Line[]])[] = [
    ['appends/s', [{ name: '', points: rates }]],
    ['worst lag of the read model, events', [{ name: '', points: of((s) => s.lagMax) }]],
    [
      'memory, MB:',
      [
        { name: 'server', points: of((s) => s.serverMb) },
        { name: 'read model', points: of((s) => s.readModelMb) },
      ],
    ],
  ];
  const height = TOP + panels.length * (PANEL + GAP);
  const drawn = panels.map(([title, lines], i) => panel(title, lines, TOP + i * (PANEL + GAP), minutes));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="system-ui, sans-serif" font-size="12" fill="#24292f" role="img">
<title>Soak: rate, lag and memory over ${minutes.toFixed(1)} minutes</title>
<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>
${drawn.join('\n')}
<text x="${WIDTH - 20}" y="${height - 24}" text-anchor="end">${minutes.toFixed(1)} minutes</text>
</svg>
`;
}
