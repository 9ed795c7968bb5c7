import { afterEach, expect, it, vi } from 'vitest';
import { GROUPS, Outcome } from './groups.js';
import type { Section } from './measure.js';
import { WORKLOADS } from './options.js';
import { Stopwatch } from './stopwatch.js';

afterEach(() => vi.restoreAllMocks());

const section = (id: string): Section => ({ id, title: id, rows: [], notes: [] });

it('has every workload once', () => {
  const ids = GROUPS.flatMap((group) => group.ids);
  expect([...ids].sort()).toEqual([...WORKLOADS]);
});

it('keeps what was measured when another workload fails', async () => {
  const said = vi.spyOn(console, 'error').mockImplementation(() => undefined);
  const outcome = new Outcome(new Stopwatch());
  await outcome.attempt('a', () => Promise.resolve([section('a')]));
  await outcome.attempt('k', () => Promise.reject(new Error('EventfulDB ended with SIGKILL')));
  await outcome.attempt('e', () => Promise.resolve([section('e')]));
  expect(outcome.sections.map(({ id }) => id)).toEqual(['a', 'e']);
  expect(outcome.failures).toEqual(['k: EventfulDB ended with SIGKILL']);
  expect(outcome.watch.laps.map(({ name }) => name)).toEqual(['a', 'k', 'e']);
  expect(said).toHaveBeenCalledOnce();
});
