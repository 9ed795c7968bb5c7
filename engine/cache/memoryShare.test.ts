import { totalmem } from 'node:os';
import { afterEach, expect, test, vi } from 'vitest';
import { memoryShare } from './memoryShare.js';

const MB = 1024 * 1024;
const within = { leastMb: 1, mostMb: 1_000_000 };
afterEach(() => vi.restoreAllMocks());

test("a share is of the container's memory where that is limited, else of the machine's", () => {
  const limit = vi.spyOn(process, 'constrainedMemory');
  limit.mockReturnValue(1024 * MB);
  expect(memoryShare(1 / 4, within)).toBe(256 * MB);
  for (const none of [0, 2 ** 64]) {
    limit.mockReturnValue(none);
    expect(memoryShare(1 / 4, within)).toBe(totalmem() / 4);
  }
});

test('a share stays within its bounds', () => {
  vi.spyOn(process, 'constrainedMemory').mockReturnValue(1024 * MB);
  expect(memoryShare(1 / 1024, { leastMb: 32, mostMb: 64 })).toBe(32 * MB);
  expect(memoryShare(1 / 2, { leastMb: 32, mostMb: 64 })).toBe(64 * MB);
});
