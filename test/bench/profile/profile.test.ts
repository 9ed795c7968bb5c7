import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { callTree, groupTimes, selfTimes } from './calls.js';
import { readCounters, since } from './counters.js';
import { flameGraph } from './flame.js';
import { groupOf, kindOf } from './groups.js';
import type { CpuProfile } from './messages.js';
import { Recorder } from './recorder.js';
import { countCalls, parseStrace } from './strace.js';

const ROOT = 'file:///project/dist/';

function node(id: number, functionName: string, url: string, ...children: number[]) {
  return { id, callFrame: { functionName, url, lineNumber: 0 }, children };
}

/** 10 ms: 4 idle, 3 in write below send, 2 in send of another line, 1 collecting. */
const PROFILE: CpuProfile = {
  nodes: [
    node(1, '(root)', '', 2, 3, 4, 6),
    node(2, '(idle)', ''),
    node(3, 'send<T>', `${ROOT}server/connection.js`, 5),
    node(4, 'send<T>', `${ROOT}server/connection.js`),
    node(5, 'writeBuffer', ''),
    node(6, '(garbage collector)', ''),
  ],
  samples: [2, 5, 4, 6, 2],
  timeDeltas: [100, 4000, 3000, 2000, 1000],
};

describe('the tree of calls', () => {
  const tree = callTree(PROFILE, ROOT);

  it('gives a sample the time until the next one', () => {
    expect(tree.total).toBe(10_000);
    const times = selfTimes([tree]).map(({ name, self }) => [name, self]);
    expect(times).toEqual([
      ['(idle)', 4000],
      ['writeBuffer', 3000],
      ['send<T>', 2000],
      ['(garbage collector)', 1000],
    ]);
  });

  it('makes calls of one function by one caller one call', () => {
    const send = [...tree.children.values()].filter(({ name }) => name === 'send<T>');
    expect(send.map(({ self, total, place }) => ({ self, total, place }))).toEqual([
      { self: 2000, total: 5000, place: 'server/connection.js' },
    ]);
  });

  it('adds self times up by group', () => {
    const groups = groupTimes(selfTimes([tree])).map(({ group, self }) => [group, self]);
    expect(groups).toEqual([
      ['idle', 4000],
      ['sockets', 3000],
      ['session', 2000],
      ['garbage collection', 1000],
    ]);
  });

  it('gives native code to the group of its caller, and does not trust its name', () => {
    const profile: CpuProfile = {
      nodes: [
        node(1, '(root)', '', 2),
        node(2, 'get', 'file:///x/node_modules/rocksdb-native/index.js', 3),
        node(3, 'extension_of_another_package', ''),
      ],
      samples: [3, 3],
      timeDeltas: [0, 7],
    };
    expect(selfTimes([callTree(profile, ROOT)])).toEqual([
      { name: 'native function', place: '', group: 'RocksDB (calls from JavaScript)', self: 7 },
    ]);
  });
});

describe('groups', () => {
  it.each([
    ['fdatasync', 'node:fs', 'log and disk sync (calls from JavaScript)', 'node'],
    ['exports.crypto_hash_sha256', 'sodium-native/index.js', 'hashing', 'package'],
    ['sealPair', 'engine/crypto/seal.js', 'sealing', 'ours'],
    ['parse', 'sql/parse.js', 'parsing and analysing SQL', 'ours'],
    ['toString', 'node:buffer', 'the rest of Node', 'node'],
    ['(program)', '', 'native code outside JavaScript (program)', 'program'],
  ])('%s of %s', (name, place, group, kind) => {
    expect(groupOf({ name, place }, null)).toBe(group);
    expect(kindOf({ name, place })).toBe(kind);
  });
});

describe('the flame graph', () => {
  const svg = flameGraph(callTree(PROFILE, ROOT), 'a & b');

  function box(title: string) {
    const found = new RegExp(
      `<title>${title}[^<]*</title><rect x="([\\d.]+)" y="(\\d+)" width="([\\d.]+)" height="\\d+" fill="(#\\w+)"`,
    ).exec(svg);
    const [, x, y, width, fill] = found ?? [];
    return { x: Number(x), y: Number(y), width: Number(width), fill };
  }

  it('draws widths by time, callers below, and says share and time in titles', () => {
    const send = box('send&lt;T&gt; server/connection.js: 50.0 %, 5.0 ms');
    const write = box('writeBuffer: 30.0 %, 3.0 ms');
    expect(send.width).toBe(599.5);
    expect(write.width).toBe(359.5);
    expect(write.y).toBeLessThan(send.y);
    expect(write.x).toBe(send.x);
  });

  it('tells kinds apart by colour, runs no script and is well formed', () => {
    const kinds = ['\\(idle\\)', '\\(garbage collector\\)', 'send', 'writeBuffer'].map((t) => box(t).fill);
    expect(new Set(kinds).size).toBe(4);
    expect(svg).not.toContain('<script');
    expect(svg).toContain('<title>a &amp; b</title>');
    expect(svg.match(/<g>/g)?.length).toBe(svg.match(/<\/g>/g)?.length);
  });

  it('stays small: what is too narrow to see is one box', () => {
    const many = Array.from({ length: 3000 }, (_, i) => i + 2);
    const wide: CpuProfile = {
      nodes: [node(1, '(root)', '', ...many), ...many.map((id) => node(id, `f${id}`, `${ROOT}sql/x.js`))],
      samples: [...many, 2],
      timeDeltas: many.map(() => 10).concat(10),
    };
    const drawn = flameGraph(callTree(wide, ROOT), 'many');
    expect(drawn).toContain('<title>3000 small ones: 100.0 %</title>');
    expect(drawn.length).toBeLessThan(5000);
  });
});

const TABLE = `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 61.02    0.012345          12      1000        17 futex
 30.00    0.006000           3      2000           read
  8.98    0.001000         100        10           fdatasync
------ ----------- ----------- --------- --------- ----------------
100.00    0.019345           6      3010        17 total
`;

describe('strace', () => {
  it('reads its table, most calls first, without the total', () => {
    expect(parseStrace(TABLE)).toEqual([
      { name: 'read', calls: 2000, errors: 0 },
      { name: 'futex', calls: 1000, errors: 17 },
      { name: 'fdatasync', calls: 10, errors: 0 },
    ]);
    expect(parseStrace('')).toEqual([]);
  });

  it('counts what a process does, or says why not', async () => {
    const scratch = mkdtempSync(join(tmpdir(), 'eventful-strace-'));
    const child = spawn('sleep', ['20']);
    try {
      const counted = await countCalls(child.pid ?? -1, scratch, async () => {
        child.kill('SIGTERM');
        return 'done';
      });
      if ('reason' in counted) expect(counted.reason).toMatch(/^strace (is not installed|could not attach)/);
      else expect(counted.result).toBe('done');
      const gone = await countCalls(2 ** 22 - 1, scratch, async () => 'never');
      expect(gone).toHaveProperty('reason');
    } finally {
      child.kill('SIGKILL');
      rmSync(scratch, { recursive: true });
    }
  });
});

describe('the recorder', () => {
  it('counts the objects that are allocated, with those already collected', async () => {
    const recorder = await Recorder.heap();
    const kept: object[] = [];
    for (let i = 0; i < 20_000; i++) kept[i % 100] = [i, i + 1, i + 2, i + 3];
    const { bytes, objects, top } = await recorder.stopHeap();
    // An array is an object and its elements, in at most two allocations.
    expect(objects).toBeGreaterThan(19_000);
    expect(objects).toBeLessThan(60_000);
    expect(bytes).toBeGreaterThan(20_000 * 32);
    expect(top[0]?.bytes).toBeGreaterThan(500_000);
  });

  it('profiles worker threads too', async () => {
    const source =
      'function spin() { const end = Date.now() + 20; while (Date.now() < end); } setInterval(spin, 1)';
    const worker = new Worker(source, { eval: true, name: 'spinner' });
    await new Promise((resolve) => worker.once('online', resolve));
    const before = readCounters(process.pid);
    const recorder = await Recorder.cpu();
    await new Promise((resolve) => setTimeout(resolve, 400));
    const threads = await recorder.stopCpu();
    const counted = since(before, readCounters(process.pid));
    await worker.terminate();
    // Which of its functions V8 names depends on what it has optimised; its timers are always there.
    const busy = threads
      .slice(1)
      .map(({ profile }) => callTree(profile, ROOT))
      .map((tree) => [...tree.children.values()].find(({ name }) => name === 'processTimers')?.total ?? 0);
    expect(threads[0]?.thread).toBe('main');
    expect(Math.max(...busy)).toBeGreaterThan(50_000);
    expect(counted.voluntary).toBeGreaterThan(0);
    expect([...counted.cpu.values()].reduce((a, b) => a + b)).toBeGreaterThan(50_000);
  });
});
