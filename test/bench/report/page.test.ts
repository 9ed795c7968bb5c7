import { expect, it } from 'vitest';
import { parseOptions } from '../options.js';
import { page, type Results } from './page.js';

function results(args: string[] = []): Results {
  const options = parseOptions(args);
  if (options === null) throw new Error('help');
  return {
    ...{
      when: 'today',
      options,
      fdatasyncs: [5000],
      stolen: 0.0123,
      sections: [],
      failures: [],
      others: [],
      seconds: 100,
    },
    machine: {
      ...{ cpu: 'a CPU', cores: 2, memoryGiB: 8, kernel: '6', fileSystem: 'ext4', loadBefore: 0 },
      versions: { EventfulDB: '1' },
    },
    laps: [
      { name: 'h', seconds: 60.4 },
      { name: 'd', seconds: 30 },
    ],
  };
}

it('says where the time of the run went, to the last second', () => {
  expect(page(results())).toContain(
    `| workload | seconds |
|---|---:|
| d | 30 |
| h | 60 |
| the bare disk, and the rest | 10 |
| all | 100 |`,
  );
});

it('says what was stolen', () => {
  expect(page(results())).toContain('; 1.2 % of its cores stolen by the hypervisor meanwhile |');
  expect(page({ ...results(), stolen: null })).not.toContain('meanwhile');
});

it('names what was left out, and what a comparison of session threads gets', () => {
  const text = page(results());
  expect(text).toContain('immudb and KurrentDB have no side');
  expect(text).toContain('Comparisons of session threads, which have no target, get 3 rounds at most');
});

it('shows a workload that failed', () => {
  expect(page({ ...results(), failures: ['c: no space left'] })).toContain('- did not run: c: no space left');
});

it('loads a million events by default, and sizes of whole aggregates', () => {
  expect(results().options).toMatchObject({ events: 1_000_000, bulk: 40_000, rounds: 5 });
  expect(results(['--growth', '1e4,12345']).options.growth).toEqual([10_000, 12_350]);
});
