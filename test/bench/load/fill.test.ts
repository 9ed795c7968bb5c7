import { expect, it } from 'vitest';
import { PART_EVENTS, parts } from './fill.js';
import { patients } from './patients.js';

it('shares out aggregates, not rounds, and leaves out none', () => {
  const load = { events: 9_000_000, aggregates: 900_000, firstId: 100_001, firstVersion: 4 };
  const shared = parts(load);
  expect(shared.reduce((sum, { events }) => sum + events, 0)).toBe(load.events);
  expect(Math.max(...shared.map(({ events }) => events))).toBeLessThanOrEqual(PART_EVENTS);
  let next = load.firstId;
  for (const part of shared) {
    expect(part).toMatchObject({ firstId: next, firstVersion: 4, events: part.aggregates * 10 });
    next += part.aggregates;
  }
  expect(next).toBe(load.firstId + load.aggregates);
});

it('makes the same rows as one load would, in another order', () => {
  const load = { events: 1_200_000, aggregates: 400_000, firstId: 1 };
  const keys = new Set<string>();
  for (const part of parts(load)) for (const { id, version } of patients(part)) keys.add(`${id}/${version}`);
  expect(keys.size).toBe(load.events);
});

it('leaves a small load whole', () => {
  const load = { events: 100_000, aggregates: 1, firstId: 7 };
  expect(parts(load)).toEqual([load]);
});
