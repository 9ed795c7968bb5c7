/** Interleaved rounds, and the figures made of them. */
import { QuietRuns } from './stolen.js';

/** Figures beside the one that is compared, such as the client's share of the cores. */
export type Facts = Readonly<Record<string, number>>;

export interface Measured {
  readonly value: number;
  readonly facts?: Facts;
}

/** One side of a comparison: called once to warm up and once per round. */
export interface Contender {
  readonly side: string;
  /** @param isWarmUp what is measured by its size may then be smaller */
  run(isWarmUp?: boolean): Promise<Measured>;
}

export interface Series {
  readonly side: string;
  readonly values: readonly number[];
  /** Medians over the rounds. */
  readonly facts: Facts;
}

/** How one side stands to another: median of the ratios of each round. */
export interface Ratio {
  readonly of: string;
  readonly to: string;
  readonly value: number;
  readonly min: number;
  readonly max: number;
}

export interface Goal {
  readonly text: string;
  /** The figure that is held against the wanted one. */
  readonly measured: number;
  readonly wanted: number;
  readonly met: boolean;
}

export interface Row {
  readonly label: string;
  readonly unit: string;
  readonly better: 'higher' | 'lower';
  readonly series: readonly Series[];
  readonly ratios: readonly Ratio[];
  readonly goals: readonly Goal[];
}

/** One workload of the page. */
export interface Section {
  readonly id: string;
  readonly title: string;
  readonly rows: readonly Row[];
  /** What is measured, and wherever the sides are not quite the same. */
  readonly notes: readonly string[];
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}

function medianFacts(all: readonly Facts[]): Facts {
  const names = new Set(all.flatMap((facts) => Object.keys(facts)));
  return Object.fromEntries(
    [...names].map((name) => [name, median(all.flatMap((facts) => facts[name] ?? []))]),
  );
}

/** A series of values that were measured elsewhere. */
export function series(side: string, measured: readonly Measured[]): Series {
  return {
    side,
    values: measured.map(({ value }) => value),
    facts: medianFacts(measured.map(({ facts }) => facts ?? {})),
  };
}

/** What cannot be measured within this gets fewer rounds; the page says how many. */
const ROW_SECONDS_MAX = 90;

/** Runs of a row that are made again because too much was stolen from them. */
const QUIETER_RUNS_MAX = 2;

/** As many rounds as wanted, or as fit into `budget` seconds, but one. */
export function affordableRounds(
  rounds: number,
  secondsPerRound: number,
  budget: number = ROW_SECONDS_MAX,
): number {
  return Math.max(1, Math.min(rounds, Math.floor(budget / secondsPerRound)));
}

/** Warm-up runs of each side on servers that have just started; else it is one, or none behind a row of the same statements. */
export const FRESH_WARM_UPS = 2;

/**
 * Warm-up of each side, then A B A B …: whatever the disk does in a minute, it does to all of them.
 * @param warmUps V8 compiles what has run some ten thousand times: a server that has just started is not what is measured
 */
export async function interleave(
  contenders: readonly Contender[],
  rounds: number,
  warmUps = 1,
): Promise<Series[]> {
  const started = performance.now();
  for (const contender of contenders) for (let run = 0; run < warmUps; run++) await contender.run(true);
  const took = (performance.now() - started) / 1000;
  const affordable = warmUps === 0 ? rounds : affordableRounds(rounds, took / warmUps);
  const quiet = new QuietRuns(QUIETER_RUNS_MAX);
  const measured = contenders.map((): Measured[] => []);
  for (let round = 0; round < affordable; round++) {
    for (const [i, contender] of contenders.entries()) measured[i]?.push(await quiet.run(contender));
  }
  return contenders.map(({ side }, i) => series(side, measured[i] ?? []));
}

export function ratio(of: Series, to: Series): Ratio {
  const each = of.values.map((value, i) => value / (to.values[i] ?? NaN));
  return { of: of.side, to: to.side, value: median(each), min: Math.min(...each), max: Math.max(...each) };
}

export function atLeast(text: string, measured: number, wanted: number): Goal {
  return { text: `${text} ≥ ${wanted}`, measured, wanted, met: measured >= wanted };
}

export function atMost(text: string, measured: number, wanted: number): Goal {
  return { text: `${text} ≤ ${wanted}`, measured, wanted, met: measured <= wanted };
}

/**
 * A row of rates whose first series is EventfulDB's. Its ratio to every other one is shown; `goal` is held against the
 * fastest of the others, so that no side is picked because it is slow.
 */
export function rateRow(label: string, unit: string, all: readonly Series[], ...wanted: number[]): Row {
  const [ours, ...others] = all;
  if (ours === undefined) throw new Error('a row without series');
  const ratios = others.map((other) => ratio(ours, other));
  const fastest = others.reduce((a, b) => (median(a.values) >= median(b.values) ? a : b), others[0] ?? ours);
  const found = ratios.find(({ to }) => to === fastest.side);
  const goals = found === undefined ? [] : wanted.map((w) => atLeast(`× ${found.to}`, found.value, w));
  return { label, unit, better: 'higher', series: all, ratios, goals };
}

/** Adds sides that are shown but not part of the goals, compared in pairs of (ours, theirs). */
export function withColumn(row: Row, pair: readonly [Series, Series]): Row {
  return { ...row, series: [...row.series, ...pair], ratios: [...row.ratios, ratio(pair[0], pair[1])] };
}
