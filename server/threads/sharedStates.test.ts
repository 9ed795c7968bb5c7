import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import type { StateRow } from '../../engine/types.js';
import { SharedStates, type StatesMemory } from './sharedStates.js';

const MB = 1024 * 1024;

function stateOf(id: string, version: number, note = `note ${version}`): StateRow {
  const number = BigInt(version);
  return {
    aggregateType: 'patient',
    aggregateId: id,
    version: number,
    position: number,
    createdAt: 1n,
    updatedAt: number,
    archived: false,
    fields: { note, ward: null },
  };
}

it('gives the newest state that was published, and nothing of what never was', () => {
  const memory = SharedStates.memory([1, 2], 8 * MB);
  const [writer, reader] = [new SharedStates(memory), new SharedStates(memory)];
  expect(reader.find('patient', 'a')).toBeUndefined();
  writer.publish(stateOf('a', 1));
  writer.publish(stateOf('b', 1));
  writer.publish(stateOf('a', 2, 'longer than before '.repeat(20)));
  expect(reader.find('patient', 'a')).toEqual(stateOf('a', 2, 'longer than before '.repeat(20)));
  expect(reader.find('patient', 'b')).toEqual(stateOf('b', 1));
  expect(reader.find('ward', 'a')).toBeUndefined();
});

it('a state that has become too long is not there any more, rather than as it was', () => {
  const states = new SharedStates(SharedStates.memory([1, 2], 8 * MB));
  states.publish(stateOf('a', 1));
  states.publish(stateOf('a', 2, 'x'.repeat(20_000)));
  expect(states.find('patient', 'a')).toBeUndefined();
  states.publish(stateOf('a', 3));
  expect(states.find('patient', 'a')).toEqual(stateOf('a', 3));
});

/**
 * Writes versions of few aggregates and of many, as fast as it can, so that records change while they are read, in
 * place and by slabs being written anew. Says a version in all its fields.
 */
const WRITER = `
  const { workerData } = require('node:worker_threads');
  const [url, memory, stop] = workerData;
  void import(url).then(({ SharedStates }) => {
    const states = new SharedStates(memory);
    for (let version = 1; Atomics.load(stop, 0) === 0; version++) {
      const id = version % 2 === 0 ? 'hot ' + (version % 8) : 'cold ' + (version % 40_000);
      const number = BigInt(version);
      const note = String(version).repeat(5 + (version % 50));
      states.publish({ aggregateType: 'patient', aggregateId: id, version: number, position: number,
        createdAt: number, updatedAt: number, archived: false, fields: { note, ward: String(version) } });
      Atomics.store(stop, 1, version);
    }
  });
`;

/** With so many the writer has gone several times through all the memory. */
const MANY_WRITES = 100_000;

it('what is read while it changes is one state or none, and never an older one than before', async () => {
  const memory: StatesMemory = SharedStates.memory([3, 4], 8 * MB);
  const stop = new Int32Array(new SharedArrayBuffer(8));
  const url = new URL('../../dist/server/threads/sharedStates.js', import.meta.url).href;
  const worker = new Worker(WRITER, { eval: true, workerData: [url, memory, stop] });
  const ended = new Promise((resolve) => worker.once('exit', resolve));
  const reader = new SharedStates(memory);
  const latest = new Map<string, bigint>();
  let found = 0;
  const started = performance.now();
  // For as long as it takes to see much, also where others leave the writer little of its core.
  const goesOn = (): boolean => {
    const ms = performance.now() - started;
    return ms < 2000 || (ms < 30_000 && Atomics.load(stop, 1) <= MANY_WRITES);
  };
  for (let i = 0; goesOn(); i++) {
    const id = i % 2 === 0 ? `hot ${i % 8}` : `cold ${i % 40_000}`;
    const row = reader.find('patient', id);
    if (row === undefined) continue;
    found++;
    const version = Number(row.version);
    const whole =
      row.position === row.version &&
      row.createdAt === row.version &&
      row.fields['ward'] === String(version) &&
      row.fields['note'] === String(version).repeat(5 + (version % 50));
    if (!whole) expect.fail(`a mixture of states: ${JSON.stringify(row.fields)} of version ${version}`);
    if (row.version < (latest.get(id) ?? 0n)) expect.fail(`version ${version} after ${latest.get(id)}`);
    latest.set(id, row.version);
  }
  Atomics.store(stop, 0, 1);
  await ended;
  expect(found).toBeGreaterThan(1000);
  expect(Atomics.load(stop, 1)).toBeGreaterThan(MANY_WRITES);
});
