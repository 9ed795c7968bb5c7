import { expect, it } from 'vitest';
import { segmentSeconds } from '../soak.js';
import { growthPerMillion, soakChart, soakPage, type Sample, type Soaked } from './soak.js';

const machine = {
  ...{ cpu: 'a CPU', cores: 2, memoryGiB: 8, kernel: '6', fileSystem: 'ext4', loadBefore: 0 },
  versions: { EventfulDB: '1' },
};

/** 1,000 events every six seconds; memory grows by 2 MB each time from the second half on. */
const samples: Sample[] = Array.from({ length: 20 }, (_, i) => ({
  ...{ minute: i / 10, position: i * 1000, lagMax: i === 7 ? 90 : 5, readModelMb: 40 },
  serverMb: i < 10 ? 100 : 100 + 2 * i,
}));

function soaked(stored: number): Soaked {
  const percentiles = { p50: 1, p99: 3, p999: 8, max: 20 };
  const segment = { append: percentiles, read: percentiles, readsPerSecond: 170, storeMb: 70 };
  return {
    ...{ command: 'npm run bench', when: 'today', load: 'some', rate: 170, machine, samples },
    segments: [
      { ...segment, minute: 1, appendsPerSecond: 150 },
      { ...segment, minute: 2, appendsPerSecond: 171 },
    ],
    ended: { acknowledged: 19_000, stored, catchUpMs: 4, verified: 19_003, verifySeconds: 1 },
  };
}

it('says what was held up: rate, lag, memory, and that nothing is lost', () => {
  const text = soakPage(soaked(19_000));
  expect(text).toContain('170 appends/s were asked for; 150 to 171 came');
  expect(text).toContain(
    '5.00 events behind at the worst moment of a usual sample, 90.0 at the worst of all',
  );
  expect(text).toContain('120 to 138 MB, trend 2,000 MB per million events (seen over 9,000)');
  expect(text).toContain('✓ 19,000 appends were acknowledged, 19,000 events were stored');
  expect(text).toContain(
    '| 1.0 | 150 | 170 | 1.00 / 3.00 / 8.00 / 20.0 | 1.00 / 3.00 / 8.00 / 20.0 | 90.0 |',
  );
});

it('does not hide a lost event', () => {
  expect(soakPage(soaked(18_999))).toContain('✗ 19,000 appends were acknowledged, 18,999 events were stored');
});

it('draws rate, lag and memory', () => {
  const chart = soakChart(soaked(19_000));
  expect(chart.match(/<polyline/g)).toHaveLength(4);
  expect(chart).not.toContain('NaN');
});

it('finds no growth where there is none', () => {
  expect(growthPerMillion(samples.slice(0, 10))).toBe(0);
});

it.each([
  [30, 5],
  [120, 20],
  [600, 60],
  [24 * 3600, 720],
])('cuts %d s into rows of %d s', (total, seconds) => {
  expect(segmentSeconds(total)).toBe(seconds);
});
