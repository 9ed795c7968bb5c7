import { expect, it } from 'vitest';
import { Stopwatch } from './stopwatch.js';

it('counts a lap within another once', async () => {
  let now = 0;
  const watch = new Stopwatch(() => now);
  await watch.lap('f to j: servers and loading', async () => {
    now += 3000;
    await watch.lap('f', async () => void (now += 10_000));
    now += 1000;
    await watch.lap('g', async () => void (now += 5000));
  });
  expect(watch.laps).toEqual([
    { name: 'f', seconds: 10 },
    { name: 'g', seconds: 5 },
    { name: 'f to j: servers and loading', seconds: 4 },
  ]);
});

it('keeps the time of what failed', async () => {
  let now = 0;
  const watch = new Stopwatch(() => now);
  await expect(
    watch.lap('c', async () => {
      now += 2000;
      throw new Error('no disk');
    }),
  ).rejects.toThrow('no disk');
  expect(watch.laps).toEqual([{ name: 'c', seconds: 2 }]);
});
