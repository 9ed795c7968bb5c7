/** Two aggregates whose short hashes are the same, and the limit of the numbers of types. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Catalogue, SCHEMA_TYPE } from '../catalogue.js';
import { Index } from '../codec/keys.js';
import { createKeyring, openKeyring } from '../crypto/keyring.js';
import { Engine } from '../engine.js';
import { MemoryLog } from '../log/memory.js';
import { MemoryStore } from '../store/memory.js';
import type { AggregateDefinition, NewEvent, Writer } from '../types.js';

const directory = mkdtempSync(join(tmpdir(), 'places-'));
const keys = { masterKey: randomBytes(32), dek: randomBytes(32) };
createKeyring(directory, keys);
const keyring = openKeyring(directory, keys);
afterAll(() => rmSync(directory, { recursive: true }));

const writer: Writer = { actor: 'user:tester', tokenId: null, writeLimit: null };
const note: AggregateDefinition = {
  type: 'note',
  fields: [{ name: 'text', type: 'text' }],
  events: [{ name: 'written', fields: null }],
  open: false,
  snapshotThreshold: 10,
  comment: null,
};
const event = (id: string, text: string): NewEvent => ({
  aggregateType: 'note',
  aggregateId: id,
  eventType: 'written',
  payload: { text },
  metadata: null,
  eventId: null,
  expected: { kind: 'any' },
  ignoreDuplicate: false,
});
const taken = expect.objectContaining({
  sqlstate: '54000',
  message: expect.stringMatching('taken by another') as string,
});

describe('aggregates that meet in one place', () => {
  let store: MemoryStore;
  let log: MemoryLog;
  const open = (): Promise<Engine> => Engine.open({ store, log, keyring, directory: null });
  let engine: Engine;
  const hash = Object.getOwnPropertyDescriptor(Index.prototype, 'aggregate')?.value as Index['aggregate'];
  beforeEach(async () => {
    store = new MemoryStore();
    log = new MemoryLog();
    engine = await open();
    await engine.createAggregate(note, writer);
    // "a", "a'" and "a''" have the same hash.
    vi.spyOn(Index.prototype, 'aggregate').mockImplementation(function (this: Index, number, type, id) {
      return hash.call(this, number, type, id.replaceAll("'", ''));
    });
  });
  afterEach(() => vi.restoreAllMocks());

  const unharmed = async (): Promise<void> => {
    expect((await engine.state('note', 'a'))?.fields).toEqual({ text: 'one' });
    expect(await engine.state('note', "a'")).toBeNull();
    const position = engine.committedPosition();
    await engine.append([event('a', 'two')], writer);
    expect(engine.committedPosition()).toBe(position + 1n);
    expect(await engine.state('note', 'a')).toMatchObject({ version: 2n, fields: { text: 'two' } });
    await engine.verify(null, null);
  };

  test('the second is refused, whether the first is in memory or only stored', async () => {
    await engine.append([event('a', 'one')], writer);
    await expect(engine.append([event("a'", 'other')], writer)).rejects.toEqual(taken);
    await engine.close();
    // All of it comes from the log.
    [store, log] = [new MemoryStore(), log.reopen()];
    engine = await open();
    await expect(engine.append([event("a'", 'other')], writer)).rejects.toEqual(taken);
    await unharmed();
  });

  test('in one group the first request wins, and requests beside go through', async () => {
    const outcomes = await Promise.allSettled(
      [event('a', 'one'), event("a'", 'other'), event('b', 'x')].map((one) => engine.append([one], writer)),
    );
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect((outcomes[1] as PromiseRejectedResult).reason).toEqual(taken);
    await unharmed();
  });

  test('in one request neither is appended, and each can be afterwards', async () => {
    await expect(engine.append([event('a', 'one'), event("a'", 'other')], writer)).rejects.toEqual(taken);
    expect(await engine.state('note', 'a')).toBeNull();
    await engine.append([event('a', 'one')], writer);
    await unharmed();
  });

  test('in a transaction the statement fails', async () => {
    const preview = await engine.preview();
    await preview.add([event('a', 'one')], writer);
    await preview.add([event('a', 'again')], writer);
    await expect(preview.add([event("a'", 'other')], writer)).rejects.toEqual(taken);
  });
});

test('a store that has used up the numbers of its types takes no more', () => {
  const state = (number: number): Record<string, string> => ({
    definition: JSON.stringify(note),
    number: String(number),
  });
  const almost = Catalogue.empty.with('note', state(65_534));
  expect(almost.createEvent({ ...note, type: 'last' })).toMatchObject({
    aggregateType: SCHEMA_TYPE,
    payload: { number: '65535' },
  });
  const full = Catalogue.empty.with('note', state(65_535));
  expect(() => full.createEvent({ ...note, type: 'more' })).toThrow(
    expect.objectContaining({
      sqlstate: '54000',
      message: 'a store is limited to 65520 aggregate types',
      hint: expect.any(String) as string,
    }),
  );
});
