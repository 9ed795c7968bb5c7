/** The sides named by --peer-url: the same scripts as PostgreSQL's, without targets. */
import { byPgbench, SIDES, type Job } from './contenders.js';
import { ratio, type Contender, type Row, type Series } from '../measure.js';
import type { OtherPeer } from '../peers/others.js';
import type { Peers } from '../peers/peers.js';
import type { Variant } from '../peers/schema.js';

/** Calls `make` for each variant that could be made on each of the other servers, with it in PostgreSQL's place. */
export function otherContenders(
  peers: Peers,
  wanted: readonly Variant[],
  make: (peers: Peers, variant: Variant, side: string) => Contender,
): Contender[] {
  return ofOthers(peers, wanted, ({ about, peer }, variant) =>
    make({ ...peers, postgres: peer }, variant, SIDES[variant].replace('PostgreSQL', about.name)),
  );
}

export function othersByPgbench(
  peers: Peers,
  wanted: readonly Variant[],
  script: (variant: Variant) => string,
  job: Job,
): Contender[] {
  return otherContenders(peers, wanted, (theirs, variant, side) =>
    byPgbench(theirs, variant, script(variant), job, side),
  );
}

export function ofOthers<T>(
  { others }: Peers,
  wanted: readonly Variant[],
  work: (other: OtherPeer, variant: Variant) => T,
): T[] {
  return others.flatMap((other) =>
    wanted.filter((variant) => other.variants.includes(variant)).map((variant) => work(other, variant)),
  );
}

/** Shown and compared with `ours`, but never held against a target. */
export function withOthers(row: Row, others: readonly Series[], ours = row.series[0]): Row {
  if (ours === undefined) return row;
  return {
    ...row,
    series: [...row.series, ...others],
    ratios: [...row.ratios, ...others.map((other) => ratio(ours, other))],
  };
}
