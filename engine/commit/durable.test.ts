/** What is durable and what is visible: a log whose syncs are held back or fail. */
import { describe, expect, test } from 'vitest';
import { Prefix } from '../codec/keys.js';
import { Engine } from '../engine.js';
import type { AppendOptions, NewLogRecord } from '../log/log.js';
import { MemoryLog } from '../log/memory.js';
import { MemoryStore } from '../store/memory.js';
import { collect, openType, testKeyring, writer, written } from '../testing.js';
import type { Fields, NewEvent } from '../types.js';

const keyring = testKeyring();
const event = (id: string, payload: Fields = { text: 'x' }): NewEvent => written('note', id, payload);

/** Holds every append until it is let through, as a disk that takes its time. */
class HeldLog extends MemoryLog {
  held: (() => void)[] | null = null;

  override async append(record: NewLogRecord, options?: AppendOptions): Promise<void> {
    if (this.held !== null) await new Promise<void>((resolve) => this.held?.push(resolve));
    return super.append(record, options);
  }
}

async function open(store = new MemoryStore(), log = new MemoryLog()): Promise<Engine> {
  const engine = await Engine.open({ store, log, keyring, directory: null });
  if (!engine.schema().aggregates.has('note')) await engine.createAggregate(openType('note', 7), writer);
  return engine;
}
const turns = async (n = 5): Promise<void> => {
  for (let i = 0; i < n; i++) await new Promise((resolve) => setImmediate(resolve));
};

describe('durability', () => {
  test('nothing is acknowledged, visible or told to followers before the sync', async () => {
    const log = new HeldLog();
    const engine = await open(new MemoryStore(), log);
    await engine.append([event('a', { text: 'old' })], writer);
    const position = engine.committedPosition();
    const told: bigint[] = [];
    engine.onCommit(({ lastPosition }) => told.push(lastPosition));
    log.held = [];
    let acknowledged = false;
    const appended = engine
      .append([event('a', { text: 'new' }), event('b')], writer)
      .then(() => (acknowledged = true));
    await turns();
    expect(log.held).toHaveLength(1);
    expect([acknowledged, told, engine.committedPosition()]).toEqual([false, [], position]);
    expect((await engine.state('note', 'a'))?.fields).toEqual({ text: 'old' });
    expect(await collect(engine.states('note', null, null))).toHaveLength(1);
    expect(await collect(engine.events({}))).toHaveLength(1);
    expect((await engine.checkpoint()).size).toBe(Number(position));
    expect(engine.changedSince(0n).through).toBe(position);
    for (const resolve of log.held.splice(0)) resolve();
    await appended;
    expect(told).toEqual([position + 2n]);
    expect((await engine.state('note', 'a'))?.fields).toEqual({ text: 'new' });
  });

  test('a failed sync stops writes for ever, acknowledges nothing, and is not tried again', async () => {
    const log = new MemoryLog();
    const store = new MemoryStore();
    const engine = await open(store, log);
    await engine.append([event('a')], writer);
    const { position, groups } = engine.stats();
    log.fail(new Error('EIO'));
    const outcomes = await Promise.allSettled([
      engine.append([event('a')], writer),
      engine.append([event('b')], writer),
      engine.append([event('c')], writer, { durable: false }),
    ]);
    for (const o of outcomes) expect(o).toMatchObject({ status: 'rejected', reason: { sqlstate: '58030' } });
    // Whether the disk recovers or not: only a restart writes again.
    Object.assign(log, { append: () => Promise.resolve() });
    await expect(engine.append([event('a')], writer)).rejects.toMatchObject({ sqlstate: '58030' });
    await expect(
      engine.tokens.generate(
        {
          identifierType: 'user',
          identifierId: 'x',
          grants: [{ action: 'admin', aggregateType: '', aggregateId: '' }],
          expiresAt: 4e9,
          writeLimit: null,
        },
        writer,
      ),
    ).rejects.toMatchObject({ sqlstate: '58030' });
    expect(engine.stats()).toMatchObject({ position, groups });
    expect((await engine.state('note', 'a'))?.version).toBe(1n);
    expect(await engine.state('note', 'b')).toBeNull();
    const again = await open(store, log.reopen());
    expect(again.committedPosition()).toBe(position);
    await again.append([event('b')], writer);
  });

  test('a store that fails after the sync: what was answered is kept by the log, and nothing more is taken', async () => {
    const log = new MemoryLog();
    const store = new MemoryStore();
    const engine = await open(store, log);
    await engine.append([event('a')], writer);
    expect(await collect(engine.events({}))).toHaveLength(1);
    const write = store.write.bind(store);
    store.write = () => Promise.reject(new Error('ENOSPC'));
    // The log has it, so it is answered.
    await engine.append([event('a')], writer);
    // Reading would show a store without it: refused, as every write is, also once the disk has recovered.
    await expect(collect(engine.events({}))).rejects.toThrow('ENOSPC');
    store.write = write;
    await expect(engine.append([event('b')], writer)).rejects.toMatchObject({ sqlstate: '58030' });
    await expect(collect(engine.events({}))).rejects.toThrow('ENOSPC');
    const again = await open(store, log.reopen());
    expect((await again.state('note', 'a'))?.version).toBe(2n);
    expect(await again.state('note', 'b')).toBeNull();
    await again.verify(null, null);
  });

  test('what is in memory is told at once, at a version too, and nothing else', async () => {
    const store = new MemoryStore();
    const log = new MemoryLog();
    const before = await open(store, log);
    for (let i = 1; i <= 10; i++) await before.append([event('a', { text: String(i) })], writer);
    expect(before.stateNow('note', 'a')?.fields).toEqual({ text: '10' });
    expect(await collect(before.events({}))).toHaveLength(10);
    const engine = await open(store, log.reopen());
    // Neither the head nor what is missing is known before it was looked for.
    expect(engine.stateNow('note', 'a')).toBeUndefined();
    expect(engine.stateNow('note', 'missing')).toBeUndefined();
    const newest = await engine.state('note', 'a');
    expect(engine.stateNow('note', 'a')).toEqual(newest);
    expect(engine.stateNow('note', 'a', 10n)).toEqual(newest);
    for (const version of [0n, 11n]) {
      expect(engine.stateNow('note', 'a', version)).toBeNull();
      expect(await engine.state('note', 'a', version)).toBeNull();
    }
    for (const version of [3n, 8n]) {
      expect(engine.stateNow('note', 'a', version)).toBeUndefined();
      const past = await engine.state('note', 'a', version);
      expect(past).toMatchObject({ version, fields: { text: String(version) } });
      expect(engine.stateNow('note', 'a', version)).toEqual(past);
    }
  });

  test('a state read while it is being changed is not kept', async () => {
    const store = new MemoryStore();
    const log = new MemoryLog();
    const before = await open(store, log);
    await before.append([event('a', { text: 'old' })], writer);
    expect(await collect(before.events({}))).toHaveLength(1);
    // Nothing is remembered; the first read of the head is held up until a commit has changed it.
    const engine = await open(store, log.reopen());
    const getMany = store.getMany.bind(store);
    let letThrough: () => void = () => undefined;
    store.get = async (key) => {
      const [value] = await getMany([key]);
      if (key[0] === Prefix.head) await new Promise<void>((resolve) => (letThrough = resolve));
      return value ?? null;
    };
    const stale = engine.state('note', 'a');
    await turns();
    await engine.append([event('a', { text: 'new' })], writer);
    letThrough();
    expect((await stale)?.fields).toEqual({ text: 'old' });
    expect((await engine.state('note', 'a'))?.fields).toEqual({ text: 'new' });
    const [row] = await engine.append([event('a', { text: 'newer' })], writer);
    expect(row?.version).toBe(3n);
  });

  test('opening replays what the store has lost, and goes on where the log ends', async () => {
    const log = new MemoryLog();
    const engine = await open(new MemoryStore(), log);
    for (let i = 0; i < 20; i++) await engine.append([event(`n-${i % 3}`, { [`f${i}`]: String(i) })], writer);
    const report = await engine.verify(null, null);
    // The whole store is lost.
    const again = await open(new MemoryStore(), log.reopen());
    expect(await again.verify(null, null)).toMatchObject({
      root: report.root,
      size: report.size,
      events: report.events,
    });
    expect(again.schema().aggregates).toEqual(engine.schema().aggregates);
    const [row] = await again.append([event('n-0', { f0: 'x' })], writer);
    expect(row?.position).toBe(engine.committedPosition() + 1n);
  });

  test('synchronous_commit off: answered at once, kept by the next sync, lost whole or not at all by a crash', async () => {
    const log = new MemoryLog();
    const engine = await open(new MemoryStore(), log);
    await engine.append([event('kept')], writer, { durable: false });
    await engine.append([event('synced')], writer);
    await engine.append([event('lost'), event('lost')], writer, { durable: false });
    const again = await open(new MemoryStore(), log.crash());
    expect((await again.state('note', 'kept'))?.version).toBe(1n);
    expect(await again.state('note', 'lost')).toBeNull();
    await again.verify(null, null);
  });
});

describe('open aggregates', () => {
  test('a field seen first becomes a text field, recorded before the event that brought it', async () => {
    const engine = await open();
    const told: string[][] = [];
    engine.onCommit(({ schema }) => {
      const fields = schema?.aggregates.get('note')?.fields ?? [];
      if (fields.length > 0) told.push(fields.map((f) => f.name));
    });
    await engine.append([event('a', { one: '1' }), event('b', { two: '2', one: null })], writer);
    await engine.append([event('a', { two: '3' })], writer);
    expect(told).toEqual([['one', 'two']]);
    expect(engine.schema().aggregates.get('note')?.fields).toEqual([
      { name: 'one', type: 'text' },
      { name: 'two', type: 'text' },
    ]);
    const types = (await collect(engine.events({ internal: true }))).map((row) => row.eventType);
    expect(types).toEqual([
      'aggregate_created',
      'fields_added',
      'written',
      'fields_added',
      'written',
      'written',
    ]);
  });

  test('fields of a refused request do not stay; reserved and overlong names are refused', async () => {
    const engine = await open();
    const bad = { ...event('a', { fresh: '1' }), expected: { kind: 'version', version: 5n } as const };
    await expect(engine.append([bad], writer)).rejects.toMatchObject({ sqlstate: '40001' });
    for (const [name, sqlstate] of [
      ['version', '42939'],
      ['aggregate_id', '42939'],
      ['', '42P17'],
      ['ü'.repeat(32), '42P17'],
    ] as const)
      await expect(engine.append([event('a', { [name]: '1' })], writer)).rejects.toMatchObject({ sqlstate });
    expect(engine.schema().aggregates.get('note')?.fields).toEqual([]);
  });
});

/** Only counts the events that come in large batches: keeping a million entries sorted takes a memory store a minute. */
class SinkStore extends MemoryStore {
  events = 0;

  override async write(entries: Parameters<MemoryStore['write']>[0]): Promise<void> {
    for (const { key } of entries) if (key[0] === Prefix.event) this.events++;
    if (entries.length < 1000) await super.write(entries);
  }
}

test('a group of 130,000 events is committed, and replayed from the log', async () => {
  const count = 130_000;
  const [store, log] = [new SinkStore(), new MemoryLog()];
  const engine = await open(store, log);
  const rows = await engine.append(
    Array.from({ length: count }, (_, i) => event(`n-${i % 100}`)),
    writer,
  );
  expect(rows.length).toBe(count);
  expect(rows.at(-1)?.position).toBe(engine.committedPosition());
  const again = new SinkStore();
  await Engine.open({ store: again, log: log.reopen(), keyring, directory: null });
  await engine.close();
  expect(again.events).toBe(store.events);
  expect(again.events).toBeGreaterThanOrEqual(count);
});

test('others are served while a large transaction is made ready, and see nothing of it', async () => {
  const engine = await open();
  await engine.append([event('small')], writer);
  let isDone = false;
  const large = engine
    .append(
      Array.from({ length: 20_000 }, (_, i) => event(i === 0 ? 'small' : `n-${i % 100}`)),
      writer,
    )
    .finally(() => (isDone = true));
  let reads = 0;
  for (; !isDone; reads++) {
    const state = await engine.state('note', 'small');
    await turns(1);
    if (!isDone) expect(state?.version).toBe(1n);
  }
  await large;
  expect(reads).toBeGreaterThan(20);
  expect((await engine.state('note', 'small'))?.version).toBe(2n);
});
