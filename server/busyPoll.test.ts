import { beforeEach, expect, test } from 'vitest';
import { BusyPoll, windowMs } from './busyPoll.js';

const WINDOW_MS = 0.25;
const client = {};
const other = {};

let now = 0;
let waiting: (() => void)[] = [];
let poll: BusyPoll;

beforeEach(() => {
  now = 0;
  waiting = [];
  poll = new BusyPoll(WINDOW_MS, { now: () => now, next: (turn) => waiting.push(turn) });
});

/** One turn of the event loop. @returns whether the loop would have slept but for this */
function turn(): boolean {
  const turns = waiting;
  waiting = [];
  for (const each of turns) each();
  return waiting.length > 0;
}

function requests(count: number, from: object = client): void {
  for (let i = 0; i < count; i++) poll.request(from);
}

/** Goes on until the loop sleeps. */
function letPass(): void {
  now += WINDOW_MS * 2;
  while (turn());
}

/** How many requests in a row it takes until the loop stays awake. */
function needed(): number {
  for (let count = 1; count <= 10_000; count++) {
    poll.request(client);
    if (waiting.length > 0) return count;
  }
  return Infinity;
}

test('stays awake for a client that is alone, as long as the window and no longer', () => {
  requests(5);
  expect(turn()).toBe(false);
  requests(10);
  expect(turn()).toBe(true);
  now += WINDOW_MS * 0.9;
  expect(turn()).toBe(true);
  now += WINDOW_MS * 0.2;
  expect(turn()).toBe(false);
});

test('each request and each answer begins the window anew', () => {
  requests(10);
  for (let i = 0; i < 5; i++) {
    now += WINDOW_MS * 0.9;
    if (i % 2 === 0) poll.request(client);
    else poll.answered(client);
    expect(turn()).toBe(true);
  }
  expect(waiting).toHaveLength(1);
});

test('sleeps as soon as another client comes, and never begins while clients take turns', () => {
  requests(10);
  poll.request(other);
  expect(turn()).toBe(false);
  for (let i = 0; i < 100; i++) {
    poll.request(client);
    poll.request(other);
    poll.answered(client);
  }
  expect(turn()).toBe(false);
});

test('where it does not pay it is given up, each time for twice as many requests', () => {
  poll.request(client);
  const rounds = [0, 1, 2].map(() => {
    const requestsNeeded = needed();
    letPass();
    expect(needed()).toBe(1);
    letPass();
    return requestsNeeded;
  });
  expect(rounds).toEqual([8, 16, 32]);
  for (let i = 0; i < 20; i++) {
    expect(needed()).toBeLessThanOrEqual(4096);
    letPass();
  }
});

test('requests that come in time make up for what was in vain', () => {
  poll.request(client);
  for (let i = 0; i < 4; i++) {
    needed();
    letPass();
  }
  expect(needed()).toBe(32);
  requests(64);
  for (let i = 0; i < 8; i++) {
    letPass();
    expect(needed()).toBe(i < 7 ? 1 : 16);
  }
});

test('a window of nothing never keeps it awake', () => {
  poll = new BusyPoll(0, { now: () => now, next: (next) => waiting.push(next) });
  requests(100);
  expect(waiting).toEqual([]);
});

test('a core is left for everybody else', () => {
  expect([windowMs(250, 0, 1), windowMs(250, 0, 2), windowMs(250, 2, 2), windowMs(250, 2, 4)]).toEqual([
    0, 0.25, 0, 0.25,
  ]);
});
