import { expect, it } from 'vitest';
import { atLeast, type Section } from '../measure.js';
import { missedText } from './reasons.js';

function section(id: string, label: string, ...goals: [text: string, met: boolean][]): Section {
  const row = { label, unit: 'x/s', better: 'higher', series: [], ratios: [] } as const;
  return {
    id,
    title: id,
    notes: [],
    rows: [{ ...row, goals: goals.map(([text, met]) => atLeast(text, met ? 2 : 1, 2)) }],
  };
}

it('gives the reason and the next idea of each missed target, and of no other', () => {
  const both = section('a', '64 clients', ['× PostgreSQL, trigger', false], ['syncs per commit', true]);
  const lines = missedText([both, section('d', 'relayed, 8 clients', ['× PostgreSQL', true])]).split('\n');
  expect(lines).toHaveLength(3);
  expect(lines[2]).toMatch(
    /^\| a \| 64 clients: × PostgreSQL, trigger ≥ 2 \| the one thread is full.* \| hashing and sealing/,
  );
});

it('shows a missed target that nobody has explained', () => {
  expect(missedText([section('z', 'anything', ['x', false])])).toContain('no reason written down');
});

it('says nothing when all are met', () => {
  expect(missedText([section('a', '1 client', ['x', true])])).toBe('');
});

it.each([
  ['a', '1 client'],
  ['a', '8 clients'],
  ['b', 'each client keeps the version of its own aggregate'],
  ['b', 'read the version of one of 10, then append'],
  ['d', 'by aggregate_id, 1 client'],
  ['d', 'relayed, 8 clients'],
  ['e', '8 clients'],
  ['f', 'GROUP BY over 10 states'],
  ['g', 'AS OF VERSION, 10 events'],
  ['g', 'AS OF TIMESTAMP over 10 aggregates, 20 events, grouped by status'],
  ['h', 'verify the whole store, for each core used'],
  ['i', 'tables and indexes'],
  ['j', 'rebuild of the read model'],
])('knows the target of %s: %s', (id, label) => {
  expect(missedText([section(id, label, ['× PostgreSQL', false])])).not.toContain('no reason');
});
