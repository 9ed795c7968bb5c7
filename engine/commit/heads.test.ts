import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { Catalogue } from '../catalogue.js';
import { createKeyring, openKeyring } from '../crypto/keyring.js';
import { Engine } from '../engine.js';
import { MemoryLog } from '../log/memory.js';
import type { Head, Repository } from '../repository.js';
import { MemoryStore } from '../store/memory.js';
import type { NewEvent } from '../types.js';
import { Heads } from './heads.js';

const directory = mkdtempSync(join(tmpdir(), 'heads-'));
const keys = { masterKey: randomBytes(32), dek: randomBytes(32) };
const writer = { actor: 'user:t', tokenId: null, writeLimit: null };
const COUNT = 200;
const LIMITS = { open: 10, packedBytes: 8 * 1024 * 1024 };

let engine: Engine;
let repository: Repository;
let catalogue: Catalogue;
beforeAll(async () => {
  createKeyring(directory, keys);
  const keyring = openKeyring(directory, keys);
  engine = await Engine.open({ store: new MemoryStore(), log: new MemoryLog(), keyring, directory: null });
  await engine.createAggregate(
    {
      type: 'patient',
      fields: [{ name: 'ward', type: 'text' }],
      events: [{ name: 'moved', fields: null }],
      open: false,
      snapshotThreshold: 100,
      comment: null,
    },
    writer,
  );
  await engine.append(
    Array.from({ length: COUNT }, (_, i) => event(`p-${i}`, `ward ${i}`)),
    writer,
  );
  ({ repository, catalogue } = engine as unknown as { repository: Repository; catalogue: Catalogue });
});
afterAll(() => rmSync(directory, { recursive: true }));

function event(aggregateId: string, ward: string): NewEvent {
  return {
    aggregateType: 'patient',
    aggregateId,
    eventType: 'moved',
    payload: { ward },
    metadata: null,
    eventId: null,
    expected: { kind: 'any' },
    ignoreDuplicate: false,
  };
}

const newHeads = (): Heads => new Heads(repository, () => catalogue, LIMITS);

test('are known once they were read, also when far more are in use than are kept open', async () => {
  const heads = newHeads();
  expect(heads.find({ type: 'patient', id: 'p-0' }).head).toBeUndefined();
  for (let i = 0; i < COUNT; i++) await heads.get('patient', `p-${i}`);
  for (let i = 0; i < COUNT; i++)
    expect(heads.find({ type: 'patient', id: `p-${i}` }).head).toMatchObject({
      id: `p-${i}`,
      state: { ward: `ward ${i}` },
    });
  expect(heads.find({ type: 'patient', id: 'p-none' }).head).toBeUndefined();
  expect(await heads.get('patient', 'p-none')).toBeNull();
  expect(await heads.get('nothing', 'p-0')).toBeNull();
});

function moved(head: Head, ward: string): [Head, Buffer] {
  const next = { ...head, version: head.version + 1, state: { ward } };
  return [next, repository.headEntry(next).value];
}

test('are as of the last commit, also after they were crowded out and when a read was under way', async () => {
  const heads = newHeads();
  const first = await heads.get('patient', 'p-0');
  if (first === null) throw new Error('p-0 is not there');
  heads.committed(...moved(first, 'another ward'));
  for (let i = 1; i < COUNT; i++) await heads.get('patient', `p-${i}`);
  expect(heads.find({ type: 'patient', id: 'p-0' }).head).toMatchObject({
    version: 2,
    state: { ward: 'another ward' },
  });

  const fresh = newHeads();
  const reading = fresh.get('patient', 'p-0');
  fresh.committed(...moved(first, 'committed meanwhile'));
  await reading;
  expect(fresh.find({ type: 'patient', id: 'p-0' }).head).toMatchObject({
    state: { ward: 'committed meanwhile' },
  });
  for (let i = 1; i < COUNT; i++) await fresh.get('patient', `p-${i}`);
  expect(fresh.find({ type: 'patient', id: 'p-0' }).head).toMatchObject({
    state: { ward: 'committed meanwhile' },
  });
});

test('what is only read is as of the last commit too, and pushes out little that is written to', async () => {
  const heads = newHeads();
  expect(heads.known('patient', 'p-0')).toBeUndefined();
  for (let i = COUNT - 1; i >= 0; i--) await heads.get('patient', `p-${i}`);
  const first = await heads.get('patient', 'p-0');
  if (first === null) throw new Error('p-0 is not there');
  heads.committed(...moved(first, 'another ward'));
  const opened = vi.spyOn(repository, 'openHead');
  for (let i = 1; i < COUNT; i++)
    expect(heads.known('patient', `p-${i}`)?.state).toMatchObject({
      id: `p-${i}`,
      state: { ward: `ward ${i}` },
    });
  expect(heads.known('patient', 'p-0')?.state).toMatchObject({ version: 2, state: { ward: 'another ward' } });
  expect(heads.find({ type: 'patient', id: 'p-0' }).head).toMatchObject({
    version: 2,
    state: { ward: 'another ward' },
  });
  expect(opened.mock.calls.length).toBeLessThan(COUNT / 14);
  opened.mockRestore();
  expect(heads.known('patient', 'p-none')).toBeUndefined();
  expect(heads.known('nothing', 'p-0')).toBeUndefined();
});

test('what is read again and again is opened no more', async () => {
  const heads = newHeads();
  for (let i = 0; i < COUNT; i++) await heads.get('patient', `p-${i}`);
  for (let i = 0; i < 100; i++) heads.known('patient', 'p-0');
  const opened = vi.spyOn(repository, 'openState');
  const hot = heads.known('patient', 'p-0')?.state;
  expect(hot).toMatchObject({ id: 'p-0', state: { ward: 'ward 0' } });
  expect(heads.known('patient', 'p-0')?.state).toBe(hot);
  expect(opened).not.toHaveBeenCalled();
  const first = await heads.get('patient', 'p-0');
  if (first === null) throw new Error('p-0 is not there');
  heads.committed(...moved(first, 'another ward'));
  expect(heads.known('patient', 'p-0')?.state).toMatchObject({ version: 2, state: { ward: 'another ward' } });
  opened.mockRestore();
});
