import { expect, test } from 'vitest';
import type { CommittedGroup, StateRow } from '../engine/types.js';
import { Feed } from './feed.js';
import { Waiters } from './waiters.js';

function group(position: bigint, id = 'p-1', schemaRevision?: number): CommittedGroup {
  const state: StateRow = {
    aggregateType: 'patient',
    aggregateId: id,
    version: position,
    position,
    createdAt: 0n,
    updatedAt: 0n,
    archived: false,
    fields: {},
  };
  const schema =
    schemaRevision === undefined
      ? null
      : { revision: schemaRevision, aggregates: new Map(), views: new Map() };
  return { firstPosition: position, lastPosition: position, leaf: '', states: [state], events: [], schema };
}

test('a batch holds the latest state of each aggregate, and what was put back comes first', () => {
  const feed = new Feed();
  for (const position of [1n, 2n, 3n]) feed.add(group(position));
  const batch = feed.take(1n);
  expect(batch?.groups.map((g) => g.lastPosition)).toEqual([2n, 3n]);
  expect(batch?.states.get('patient')?.map((s) => s.version)).toEqual([3n]);
  feed.add(group(4n));
  if (batch !== null) feed.putBack(batch);
  expect(feed.take(0n)?.groups.map((g) => g.lastPosition)).toEqual([2n, 3n, 4n]);
  expect(feed.take(0n)).toBeNull();
});

test('a change of the schema at an applied position is not passed over', () => {
  const feed = new Feed();
  feed.add({ ...group(5n, 'p-1', 7), states: [] });
  expect(feed.take(5n)?.schema?.revision).toBe(7);
});

test('more than the limit leaves a gap until cleared', () => {
  const feed = new Feed(2);
  for (const position of [1n, 2n, 3n]) feed.add(group(position));
  expect(feed.hasGap).toBe(true);
  expect(feed.take(0n)).toBeNull();
  feed.clear();
  feed.add(group(4n));
  expect(feed.take(0n)?.lastPosition).toBe(4n);
});

test('waiters wake in order, are patient for a while, and are refused after it', async () => {
  const waiters = new Waiters(0n, 20);
  const woken: number[] = [];
  const waits = [3, 1, 2].map((n) => waiters.waitFor(BigInt(n)).then(() => woken.push(n)));
  waiters.advance(2n);
  await Promise.all([waits[1], waits[2]]);
  expect(woken).toEqual([1, 2]);
  waiters.failing('down');
  await expect(waits[0]).rejects.toMatchObject({ sqlstate: '57P03', detail: 'down' });
  await expect(waiters.waitFor(9n)).rejects.toMatchObject({ sqlstate: '57P03' });
  waiters.working();
  waiters.advance(9n);
  await waiters.waitFor(9n);
});
