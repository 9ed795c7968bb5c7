import { expect, test } from 'vitest';
import { readAhead } from './chunks.js';

test('reads one item ahead, gives all in order', async () => {
  const made: number[] = [];
  async function* source(): AsyncGenerator<number> {
    for (let i = 1; i <= 4; i++) {
      await Promise.resolve();
      made.push(i);
      yield i;
    }
  }
  const got: number[] = [];
  for await (const item of readAhead(source())) {
    await new Promise((resolve) => setImmediate(resolve));
    expect(made.length).toBe(Math.min(item + 1, 4));
    got.push(item);
  }
  expect(got).toEqual([1, 2, 3, 4]);
});

test('a failure comes behind what was made before it; leaving early ends the source', async () => {
  let ended = false;
  async function* source(): AsyncGenerator<number> {
    try {
      yield 1;
      await Promise.resolve();
      throw new Error('damaged');
    } finally {
      ended = true;
    }
  }
  const got: number[] = [];
  const all = async (): Promise<void> => {
    for await (const item of readAhead(source())) got.push(item);
  };
  await expect(all()).rejects.toThrow('damaged');
  expect(got).toEqual([1]);
  ended = false;
  for await (const item of readAhead(source())) {
    got.push(item);
    break;
  }
  expect(got).toEqual([1, 1]);
  expect(ended).toBe(true);
});
