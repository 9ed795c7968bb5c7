/** What is checked or measured while others commit. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { Engine } from '../engine.js';
import { MemoryLog } from '../log/memory.js';
import { MemoryStore } from '../store/memory.js';
import { collect, openType, testKeyring, writer, written } from '../testing.js';
import type { Fields, NewEvent } from '../types.js';

const keyring = testKeyring();
const event = (id: string, payload: Fields = { text: 'x' }): NewEvent => written('note', id, payload);
const failsWith = (sqlstate: string): unknown => expect.objectContaining({ sqlstate });

async function open(log = new MemoryLog(), directory: string | null = null): Promise<Engine> {
  const engine = await Engine.open({ store: new MemoryStore(), log, keyring, directory });
  if (!engine.schema().aggregates.has('note')) await engine.createAggregate(openType('note', 7), writer);
  return engine;
}

test('a comment keeps the fields that were learned since it was made', async () => {
  const engine = await open();
  const comment = engine.commentEvent(engine.schema(), 'note', 'hello');
  await engine.append([event('a', { first: '1', second: '2' })], writer);
  await engine.commitTransaction([comment], writer);
  const definition = engine.schema().aggregates.get('note');
  expect(definition?.fields.map(({ name }) => name)).toEqual(['first', 'second']);
  expect(definition?.comment).toBe('hello');
});

test.each(['note_events', 'note_history'])('nobody creates %s while note is created', async (name) => {
  const engine = await Engine.open({
    store: new MemoryStore(),
    log: new MemoryLog(),
    keyring,
    directory: null,
  });
  const late = engine.createAggregateEvent(openType(name, 7));
  const early = engine.createAggregateEvent(openType('note', 7));
  await engine.commitTransaction([{ ...early, payload: { ...early.payload, number: '99' } }], writer);
  await expect(engine.commitTransaction([late], writer)).rejects.toEqual(failsWith('42P07'));
});

test('requests that are too large together are committed one by one', async () => {
  const engine = await open(new MemoryLog({ maximumPayloadBytes: 4000 }));
  const large = (id: string): Promise<unknown> =>
    engine.append([event(id, { text: id.repeat(1200) })], writer);
  await Promise.all([large('a'), large('b'), large('c'), engine.append([event('d')], writer)]);
  await expect(large('e'.repeat(4))).rejects.toEqual(failsWith('54000'));
  expect((await collect(engine.events({}))).map((row) => row.aggregateId)).toEqual(['a', 'b', 'c', 'd']);
});

test('nothing of a transaction that was too large is seen later', async () => {
  const engine = await open(new MemoryLog({ maximumPayloadBytes: 60_000 }));
  await engine.append([event('a', { text: 'one' })], writer);
  const refused = [event('a', { text: 'refused' }), event('b', { text: 'y'.repeat(60_000) })];
  await expect(engine.append(refused, writer)).rejects.toEqual(failsWith('54000'));
  // Too long to be kept in memory with the others.
  await engine.append([event('a', { text: 'z'.repeat(9000) })], writer);
  await engine.append([event('a', { text: 'three' })], writer);
  expect((await engine.state('note', 'a', 2n))?.fields['text']).toBe('z'.repeat(9000));
});

test('an aggregate that is appended to meanwhile verifies', async () => {
  const engine = await open();
  await engine.append([event('a')], writer);
  let isDone = false;
  const appending = (async (): Promise<void> => {
    while (!isDone) {
      await engine.append([event('a')], writer);
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  for (let i = 0; i < 20; i++) await engine.verify('note', 'a');
  isDone = true;
  await appending;
});

test('a checkpoint is signed for what is on disk, also of appends that did not wait for it', async () => {
  const log = new MemoryLog();
  const engine = await open(log);
  await engine.append([event('a')], writer, { durable: false });
  const { size } = await engine.checkpoints.create();
  const survivor = await open(log.crash());
  expect(survivor.committedPosition()).toBe(BigInt(size));
});

test('a checkpoint that could not be kept is tried again', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'checkpoint-'));
  try {
    const engine = await open(new MemoryLog(), directory);
    mkdirSync(join(directory, 'checkpoint.new'));
    await expect(engine.checkpoints.create()).rejects.toThrow('EISDIR');
    rmSync(join(directory, 'checkpoint.new'), { recursive: true });
    const { size } = await engine.checkpoints.create();
    expect(engine.checkpoints.beside()?.size).toBe(size);
    await engine.close();
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('time follows the wall clock', async () => {
  const engine = await open();
  const later = Date.now() + 8 * 3600_000;
  vi.setSystemTime(later);
  try {
    const [row] = await engine.append([event('a')], writer);
    expect(Math.abs(Number(row?.recordedAt ?? 0n) / 1000 - later)).toBeLessThan(60_000);
  } finally {
    vi.useRealTimers();
  }
});
