import { expect, it } from 'vitest';
import { startupOptions } from './startupOptions.js';

it('reads every way libpq writes a setting', () => {
  expect(startupOptions('-c a=1 -cb=2  --search-path=x,y -c eventful.read_consistency=eventual')).toEqual([
    ['a', '1'],
    ['b', '2'],
    ['search_path', 'x,y'],
    ['eventful.read_consistency', 'eventual'],
  ]);
});

it('keeps escaped spaces and backslashes, and skips what is no setting', () => {
  expect(startupOptions('-c name=two\\ words\\\\ -B 5 stray -c =x -c')).toEqual([['name', 'two words\\']]);
});
