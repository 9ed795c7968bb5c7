/** The commit loop through the engine, on a store and a log in memory. */
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { createKeyring, openKeyring, type Keyring } from '../crypto/keyring.js';
import { Engine } from '../engine.js';
import { MemoryLog } from '../log/memory.js';
import { MemoryStore } from '../store/memory.js';
import type { AggregateDefinition, EventRow, NewEvent, Writer } from '../types.js';

const directory = mkdtempSync(join(tmpdir(), 'commit-'));
const keys = { masterKey: randomBytes(32), dek: randomBytes(32) };
createKeyring(directory, keys);
const keyring: Keyring = openKeyring(directory, keys);
afterAll(() => rmSync(directory, { recursive: true }));

const writer: Writer = { actor: 'user:tester', tokenId: null, writeLimit: null };
const patient: AggregateDefinition = {
  type: 'patient',
  fields: [
    { name: 'name', type: 'text' },
    { name: 'age', type: 'integer' },
  ],
  events: [
    { name: 'created', fields: ['name'] },
    { name: 'changed', fields: null },
  ],
  open: false,
  snapshotThreshold: 10,
  comment: null,
};

let engine: Engine;
let log: MemoryLog;
beforeEach(async () => {
  log = new MemoryLog();
  engine = await Engine.open({ store: new MemoryStore(), log, keyring, directory: null });
  await engine.createAggregate(patient, writer);
});

function event(id: string, more: Partial<NewEvent> = {}): NewEvent {
  return {
    aggregateType: 'patient',
    aggregateId: id,
    eventType: 'changed',
    payload: { name: id },
    metadata: null,
    eventId: null,
    expected: { kind: 'any' },
    ignoreDuplicate: false,
    ...more,
  };
}
const version = (n: bigint): Pick<NewEvent, 'expected'> => ({ expected: { kind: 'version', version: n } });
const failsWith = (sqlstate: string, more: object = {}): unknown =>
  expect.objectContaining({ sqlstate, ...more });

async function allEvents(): Promise<EventRow[]> {
  const rows: EventRow[] = [];
  for await (const batch of engine.events({ internal: true })) rows.push(...batch);
  return rows;
}

describe('expected versions', () => {
  test('any, none, exists and exact', async () => {
    await expect(engine.append([event('a', { expected: { kind: 'exists' } })], writer)).rejects.toEqual(
      failsWith('40001'),
    );
    await expect(engine.append([event('a', version(1n))], writer)).rejects.toEqual(failsWith('40001'));
    await engine.append([event('a', version(0n))], writer);
    await expect(engine.append([event('a', version(0n))], writer)).rejects.toEqual(
      failsWith('40001', { detail: expect.stringMatching(/expected version 0, actual version 1/) as string }),
    );
    await engine.append([event('a', { expected: { kind: 'exists' } })], writer);
    await engine.append([event('a')], writer);
    const [row] = await engine.append([event('a', version(3n))], writer);
    expect(row?.version).toBe(4n);
    expect((await engine.state('patient', 'a'))?.version).toBe(4n);
  });

  test('of many that expect the same version at once, exactly one wins', async () => {
    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, (_, i) =>
        engine.append([event('a', { ...version(0n), payload: { name: String(i) } })], writer),
      ),
    );
    expect(outcomes.filter((o) => o.status === 'fulfilled')).toHaveLength(1);
    for (const o of outcomes) if (o.status === 'rejected') expect(o.reason).toEqual(failsWith('40001'));
    expect((await engine.state('patient', 'a'))?.version).toBe(1n);
  });

  test('versions count on inside one request', async () => {
    const rows = await engine.append([event('a', version(0n)), event('a', version(1n)), event('a')], writer);
    expect(rows.map((row) => row.version)).toEqual([1n, 2n, 3n]);
  });
});

describe('event ids', () => {
  const eventId = randomUUID();
  const again = { ignoreDuplicate: true };

  test('the same event twice is 23505, with ON CONFLICT the first result', async () => {
    const [first] = await engine.append([event('a', { eventId, metadata: '{"k":1}' })], writer);
    await engine.append([event('a')], writer);
    const repeated = event('a', { eventId, metadata: '{"k":1}' });
    await expect(engine.append([repeated], writer)).rejects.toEqual(failsWith('23505'));
    const [second] = await engine.append([{ ...repeated, ...again }], writer);
    const { position, version, recordedAt, eventHash } = first ?? {};
    expect(second).toMatchObject({ position, version, recordedAt, eventHash, eventId, duplicate: true });
    expect(engine.committedPosition()).toBe(3n);
  });

  test('a repeated append does not fail because its expected version is now another', async () => {
    const create = event('a', { eventId, ...version(0n), ...again });
    await engine.append([create], writer);
    await engine.append([event('a')], writer);
    const [row] = await engine.append([create], writer);
    expect(row).toMatchObject({ duplicate: true, version: 1n });
  });

  test.each<[string, Partial<NewEvent>]>([
    ['payload', { payload: { name: 'other' } }],
    ['a cleared field', { payload: { name: null } }],
    ['one field more', { payload: { name: 'a', age: '1' } }],
    ['event type', { eventType: 'created' }],
    ['aggregate', { aggregateId: 'b', payload: { name: 'a' } }],
    ['metadata', { metadata: '{}' }],
  ])('the same id with another %s is 23505, also with ON CONFLICT', async (_what, change) => {
    await engine.append([event('a', { eventId })], writer);
    await expect(engine.append([event('a', { eventId, ...change, ...again })], writer)).rejects.toEqual(
      failsWith('23505', { message: expect.stringMatching('event_id') as string }),
    );
    expect(engine.committedPosition()).toBe(2n);
  });

  test('an id that was drawn is kept for ever as well, without an index', async () => {
    const rows = await engine.append([event('a'), event('b')], writer);
    await engine.append([event('a')], writer);
    const drawn = rows[1]?.eventId ?? '';
    const repeated = event('b', { eventId: drawn, ...again });
    expect((await engine.append([repeated], writer))[0]).toMatchObject({ position: 3n, duplicate: true });
    await expect(engine.append([event('a', { eventId: drawn })], writer)).rejects.toEqual(failsWith('23505'));
    // One that looks drawn, but is not: what the engine would have drawn a microsecond later, say.
    const other = `${drawn.slice(0, -1)}${drawn.endsWith('0') ? '1' : '0'}`;
    const [fresh] = await engine.append([event('b', { eventId: other })], writer);
    expect(fresh).toMatchObject({ version: 2n, eventId: other, duplicate: false });
  });

  test('twice in one request, and in two requests of one group', async () => {
    await expect(engine.append([event('a', { eventId }), event('a', { eventId })], writer)).rejects.toEqual(
      failsWith('23505'),
    );
    const once = await engine.append(
      [event('a', { eventId, ...again }), event('a', { eventId, ...again })],
      writer,
    );
    expect(once.map((row) => [row.version, row.duplicate])).toEqual([
      [1n, false],
      [1n, true],
    ]);
    const other = { eventId: randomUUID(), ...again };
    const [p, q] = await Promise.all([
      engine.append([event('b', other)], writer),
      engine.append([event('b', other)], writer),
    ]);
    expect([p[0]?.duplicate, q[0]?.duplicate]).toEqual([false, true]);
    expect({ ...q[0], duplicate: false }).toEqual(p[0]);
    const groups = engine.stats().groups;
    expect(engine.committedPosition()).toBe(3n);
    expect(groups).toBe(3);
  });

  test('an id used by a request that failed is free', async () => {
    await expect(
      engine.append([event('a', { eventId }), event('a', { payload: { age: 'x' } })], writer),
    ).rejects.toEqual(failsWith('22P02'));
    await engine.append([event('b', { eventId })], writer);
  });
});

describe('requests are all or nothing', () => {
  test.each<[string, Partial<NewEvent>, string]>([
    ['a version that does not match', version(7n), '40001'],
    ['an unknown field', { payload: { nam: 'x' } }, '42703'],
    ['a field the event does not carry', { eventType: 'created', payload: { age: '1' } }, '42703'],
    ['a value that does not cast', { payload: { age: 'old' } }, '22P02'],
    ['an unknown event', { eventType: 'create' }, '42704'],
    ['an unknown aggregate', { aggregateType: 'patients' }, '42P01'],
    ['an empty id', { aggregateId: '' }, '22023'],
    ['a zero byte', { payload: { name: 'a\0b' } }, '22021'],
    ['half a surrogate pair', { payload: { name: '\ud800' } }, '22021'],
    ['metadata that is no object', { metadata: '[1]' }, '22P02'],
  ])('%s as the last event of a request leaves no trace', async (_name, bad, sqlstate) => {
    await engine.append([event('a')], writer);
    const before = [engine.committedPosition(), await engine.state('patient', 'a')];
    const request = [event('a'), event('b'), event('c', bad)];
    const [refused, other] = await Promise.allSettled([
      engine.append(request, writer),
      engine.append([event('d')], writer),
    ]);
    expect(refused).toMatchObject({ status: 'rejected', reason: { sqlstate } });
    // The other request of the same group is untouched, and takes the next position.
    expect(other).toMatchObject({ status: 'fulfilled', value: [{ position: 3n, version: 1n }] });
    expect([2n, await engine.state('patient', 'a')]).toEqual(before);
    expect(await engine.state('patient', 'b')).toBeNull();
  });

  test('a failed request that would have made an aggregate leaves its key behind nowhere', async () => {
    await expect(engine.append([event('b'), event('b', version(0n))], writer)).rejects.toThrow();
    await engine.append([event('b')], writer);
    expect(await engine.verify(null, null)).toMatchObject({ events: 2 });
  });
});

describe('positions', () => {
  test('have no gap and versions none per aggregate, whatever fails among concurrent appends', async () => {
    const request = fc.record({
      ids: fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { minLength: 1, maxLength: 4 }),
      bad: fc.boolean(),
      expected: fc.option(fc.bigInt({ min: 0n, max: 4n })),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(request, { maxLength: 6 }), { maxLength: 4 }), async (rounds) => {
        const base = engine.committedPosition();
        let accepted = 0n;
        for (const round of rounds) {
          const outcomes = await Promise.allSettled(
            round.map(({ ids, bad, expected }) =>
              engine.append(
                ids.map((id, i) =>
                  event(id, {
                    ...(expected !== null && i === 0 ? version(expected) : {}),
                    ...(bad && i === ids.length - 1 ? { payload: { age: 'x' } } : {}),
                  }),
                ),
                writer,
              ),
            ),
          );
          outcomes.forEach((o) => {
            if (o.status === 'fulfilled') accepted += BigInt(o.value.length);
          });
        }
        expect(engine.committedPosition()).toBe(base + accepted);
        const rows = await allEvents();
        expect(rows.map((row) => row.position)).toEqual(rows.map((_, i) => BigInt(i + 1)));
        const versions = new Map<string, bigint>();
        for (const row of rows) {
          const name = `${row.aggregateType}/${row.aggregateId}`;
          expect(row.version).toBe((versions.get(name) ?? 0n) + 1n);
          versions.set(name, row.version);
        }
      }),
      { numRuns: 30 },
    );
    await engine.verify(null, null);
  });

  test('many waiting requests share a sync', async () => {
    const before = engine.stats();
    await Promise.all(Array.from({ length: 100 }, (_, i) => engine.append([event(`p-${i}`)], writer)));
    const after = engine.stats();
    expect(after.position - before.position).toBe(100n);
    expect(after.syncs - before.syncs).toBeLessThanOrEqual(2);
  });

  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  test('one request after another is not kept waiting for company', async () => {
    for (let i = 0; i < 3; i++) {
      await engine.append([event('a')], writer);
      await turn();
    }
    let turns = 0;
    setImmediate(() => (turns += 1));
    await engine.append([event('a')], writer);
    expect(turns).toBe(0);
  });

  test('company that comes to a lone request within a turn of the event loop shares its sync', async () => {
    await engine.append([event('a')], writer);
    await turn();
    const before = engine.stats();
    await engine.append([event('a')], writer);
    const company = [];
    for (let i = 0; i < 20; i++) {
      company.push(engine.append([event(`p-${i}`)], writer));
      for (let hop = 0; hop < 20; hop++) await Promise.resolve();
    }
    await Promise.all(company);
    expect(engine.stats().syncs - before.syncs).toBeLessThanOrEqual(3);
  });

  test('time never runs backwards in the order of positions, whatever the clock does', async () => {
    const times = [5e15, 3e15, 9e15, 1e15];
    let i = 0;
    const clock = (): number => times[i++ % times.length] ?? 0;
    engine = await Engine.open({
      store: new MemoryStore(),
      log: new MemoryLog(),
      keyring,
      directory: null,
      clock,
    });
    await engine.createAggregate(patient, writer);
    for (let n = 0; n < 8; n++) await engine.append([event('a')], writer);
    const recorded = (await allEvents()).map((row) => row.recordedAt);
    expect(recorded).toEqual([...recorded].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0)));
  });
});

describe('write limits', () => {
  const limited = (): Writer => ({ actor: 'user:l', tokenId: randomUUID(), writeLimit: 3n });

  test('the limit counts events, over requests, and a refused request uses up nothing', async () => {
    const token = limited();
    await engine.append([event('a'), event('a')], token);
    await expect(engine.append([event('a'), event('a')], token)).rejects.toEqual(failsWith('53400'));
    await engine.append([event('a')], token);
    await expect(engine.append([event('a')], token)).rejects.toEqual(failsWith('53400'));
    expect(await engine.writesUsed(token.tokenId ?? '')).toBe(3n);
    await engine.append([event('a')], limited());
  });

  test('concurrent requests of one token cannot pass it together', async () => {
    const token = limited();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 10 }, () => engine.append([event('a')], token)),
    );
    expect(outcomes.filter((o) => o.status === 'fulfilled')).toHaveLength(3);
    expect(await engine.writesUsed(token.tokenId ?? '')).toBe(3n);
  });

  test('a repeated event and an event refused for its version do not count', async () => {
    const token = limited();
    const eventId = randomUUID();
    for (let i = 0; i < 5; i++) await engine.append([event('a', { eventId, ignoreDuplicate: true })], token);
    await expect(engine.append([event('a', version(9n))], token)).rejects.toEqual(failsWith('40001'));
    expect(await engine.writesUsed(token.tokenId ?? '')).toBe(1n);
  });
});
