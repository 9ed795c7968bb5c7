import { expect, it } from 'vitest';
import { coreTimes, QuietRuns, stolenSince, STOLEN } from './stolen.js';

it("reads the system's times, without counting guests twice", () => {
  const before = coreTimes(() => 'cpu  100 0 50 800 10 0 5 35 7 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n');
  expect(before).toEqual({ all: 1000, stolen: 35 });
  expect(stolenSince(before, { all: 1200, stolen: 45 })).toBe(0.05);
});

it('does without where the system does not say', async () => {
  const nothing = coreTimes(() => {
    throw new Error('ENOENT');
  });
  expect([nothing, coreTimes(() => 'cpu  1 2 3\n'), stolenSince(null)]).toEqual([null, null, null]);
  const runs = new QuietRuns(1, () => null);
  expect(await runs.run({ side: 'a', run: async () => ({ value: 1 }) })).toEqual({ value: 1 });
});

/** A side whose runs lose these shares, one after the other; each gives its number. */
function noisy(shares: number[]) {
  let [all, stolen, run] = [0, 0, 0];
  const contender = {
    side: 'a',
    run: async () => {
      all += 1000;
      stolen += 1000 * (shares[run] ?? 0);
      return { value: run++ };
    },
  };
  return { contender, times: () => ({ all, stolen }) };
}

it('makes a run again that lost too much, and takes the quieter one', async () => {
  const { contender, times } = noisy([0.01, 0.2, 0.05, 0.1, 0.3]);
  const runs = new QuietRuns(10, times);
  expect(await runs.run(contender)).toEqual({ value: 0, facts: { [STOLEN]: 0.01 } });
  expect(await runs.run(contender)).toEqual({ value: 2, facts: { [STOLEN]: 0.05 } });
  expect(await runs.run(contender)).toMatchObject({ value: 3 });
});

it('but only so many times', async () => {
  const { contender, times } = noisy([0.2, 0, 0.2, 0]);
  const runs = new QuietRuns(1, times);
  expect(await runs.run(contender)).toMatchObject({ value: 1 });
  expect(await runs.run(contender)).toMatchObject({ value: 2 });
});
