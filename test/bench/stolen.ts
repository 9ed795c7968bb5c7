/** What the hypervisor gave to other machines of the time that this one wanted to run (proc(5), `steal` of /proc/stat). */
import { readFileSync } from 'node:fs';
import type { Contender, Measured } from './measure.js';

export const STOLEN = 'stolen share';
/** A run that lost more says more about the neighbours than about the two sides. */
const TOLERATED = 0.02;

interface Times {
  readonly all: number;
  readonly stolen: number;
}

/** Of all cores since they started, in ticks; null where the system does not say. */
export function coreTimes(read = (): string => readFileSync('/proc/stat', 'utf8')): Times | null {
  let text: string;
  try {
    text = read();
  } catch {
    return null;
  }
  // cpu  user nice system idle iowait irq softirq steal guest guest_nice; guests are in user and nice as well.
  const ticks = /^cpu +(.*)$/m.exec(text)?.[1]?.split(' ').slice(0, 8).map(Number) ?? [];
  const [stolen] = ticks.slice(7);
  return stolen === undefined ? null : { all: ticks.reduce((sum, each) => sum + each, 0), stolen };
}

/** From 0 to 1; null where the system does not say. */
export function stolenSince(before: Times | null, now: Times | null = coreTimes()): number | null {
  if (before === null || now === null || now.all === before.all) return null;
  return (now.stolen - before.stolen) / (now.all - before.all);
}

/**
 * Runs contenders and says of each run what was stolen from it. One that lost too much is made once more, and the
 * quieter of the two counts, whosever side it is; a few times per row, so that a noisy machine does not take for ever.
 */
export class QuietRuns {
  constructor(
    private again: number,
    private readonly times: () => Times | null = coreTimes,
  ) {}

  async run(contender: Contender): Promise<Measured> {
    const first = await this.once(contender);
    if (first.stolen <= TOLERATED || this.again === 0) return first.measured;
    this.again -= 1;
    const second = await this.once(contender);
    return second.stolen < first.stolen ? second.measured : first.measured;
  }

  private async once(contender: Contender): Promise<{ measured: Measured; stolen: number }> {
    const before = this.times();
    const { value, facts } = await contender.run();
    const stolen = stolenSince(before, this.times());
    if (stolen === null) return { measured: { value, ...(facts === undefined ? {} : { facts }) }, stolen: 0 };
    return { measured: { value, facts: { ...facts, [STOLEN]: stolen } }, stolen };
  }
}
