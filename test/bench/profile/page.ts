/** profile.md: a table per workload of what an operation costs, and of where its time goes. */
import type { Options } from '../options.js';
import { figure } from '../report/format.js';
import type { Machine } from '../report/machine.js';
import { groupTimes, selfTimes, type Call, type GroupTime, type SelfTime } from './calls.js';
import type { Counters } from './counters.js';
import { kindOf, placeOf } from './groups.js';
import type { Profiled } from './loads.js';
import type { Allocated } from './messages.js';
import type { Counted, Uncounted } from './strace.js';

const FUNCTIONS_PER_GROUP = 4;
const TOP_FUNCTIONS = 12;
const TOP_CALLS = 10;
const TOP_ALLOCATORS = 6;
/** Less is not worth a line. */
const SHOWN_SHARE = 0.003;

export interface ProfileRow {
  readonly load: Pick<Profiled, 'id' | 'title' | 'operation'>;
  readonly plain: {
    readonly operations: number;
    readonly elapsed: number;
    readonly counters: Counters;
    readonly syncs: number;
  };
  readonly cpu: {
    readonly operations: number;
    readonly threads: readonly { readonly thread: string; readonly tree: Call }[];
  };
  readonly heap: { readonly operations: number; readonly allocated: Allocated };
  readonly systemCalls: Counted<number> | Uncounted;
}

export interface Graph {
  readonly file: string;
  readonly heading: string;
}

export interface ProfileResults {
  readonly when: string;
  readonly options: Options;
  readonly machine: Machine;
  readonly rows: readonly { readonly row: ProfileRow; readonly graphs: readonly Graph[] }[];
  readonly root: string;
}

/** Names of functions may hold what Markdown takes as its own. */
function code(name: string): string {
  return `\`${name.replaceAll('|', '¦').replaceAll('`', "'")}\``;
}

function functionText({ name, place }: { name: string; place: string }): string {
  return place === '' ? code(name) : `${code(name)} ${place}`;
}

function percent(part: number, whole: number): string {
  return `${((100 * part) / Math.max(1e-9, whole)).toFixed(1)} %`;
}

function costs({ load, plain, cpu, heap, systemCalls }: ProfileRow, times: readonly SelfTime[]): string {
  const per = (value: number): string => figure(value / Math.max(1, plain.operations));
  const total = [...plain.counters.cpu.values()].reduce((sum, value) => sum + value, 0);
  const byThread = [...plain.counters.cpu]
    .filter(([, value]) => value > total * 0.01)
    .sort((a, b) => b[1] - a[1])
    .map(([name, value]) => `${name} ${per(value)}`);
  const gc = times.find(({ name }) => name === '(garbage collector)')?.self ?? 0;
  const idle = times.find(({ name }) => name === '(idle)')?.self ?? 0;
  const all = times.reduce((sum, { self }) => sum + self, 0);
  const perHeap = (value: number): string => figure(value / Math.max(1, heap.operations));
  const calls =
    'reason' in systemCalls
      ? systemCalls.reason
      : figure(systemCalls.calls.reduce((sum, one) => sum + one.calls, 0) / Math.max(1, systemCalls.result));
  return [
    `| per ${load.operation} | |`,
    '|---|---|',
    `| rate, nothing recorded | ${figure(plain.operations / plain.elapsed)} per second |`,
    `| CPU of the server's process | ${per(total)} µs: ${byThread.join(', ')} |`,
    `| disk syncs of the log | ${per(plain.syncs)} |`,
    `| context switches | ${per(plain.counters.voluntary)} that wait, ${per(plain.counters.involuntary)} that were made to |`,
    `| system calls | ${calls} |`,
    `| allocated on the JavaScript heap | ${perHeap(heap.allocated.bytes)} bytes in ${perHeap(heap.allocated.objects)} objects |`,
    `| garbage collection | ${percent(gc, all - idle)} of the time that JavaScript's threads are busy, ${percent(gc, all)} of all time |`,
    `| rate while the CPU profile was taken | ${figure((cpu.operations * cpu.threads.length) / Math.max(1e-9, all / 1e6))} per second |`,
  ].join('\n');
}

function groupLine({ group, self, functions }: GroupTime, busy: number, operations: number): string {
  const named = functions
    .filter((one) => !['gc', 'program'].includes(kindOf(one)))
    .slice(0, FUNCTIONS_PER_GROUP)
    .map((one) => functionText(one));
  return `| ${group} | ${percent(self, busy)} | ${figure(self / Math.max(1, operations))} | ${named.join('<br>')} |`;
}

function timesText(times: readonly SelfTime[], operations: number): string {
  const busyTimes = times.filter((one) => kindOf(one) !== 'idle');
  const busy = busyTimes.reduce((sum, { self }) => sum + self, 0);
  const top = busyTimes.filter((one) => !['gc', 'program'].includes(kindOf(one))).slice(0, TOP_FUNCTIONS);
  return [
    '| group | of the busy time | µs per operation | its first functions by self time |',
    '|---|---:|---:|---|',
    ...groupTimes(busyTimes)
      .filter(({ self }) => self > busy * SHOWN_SHARE)
      .map((group) => groupLine(group, busy, operations)),
    '',
    '| function | group | of the busy time |',
    '|---|---|---:|',
    ...top.map((one) => `| ${functionText(one)} | ${one.group} | ${percent(one.self, busy)} |`),
  ].join('\n');
}

function callsText(systemCalls: ProfileRow['systemCalls']): string {
  if ('reason' in systemCalls) return `System calls were not counted: ${systemCalls.reason}.`;
  const shown = systemCalls.calls.slice(0, TOP_CALLS).map(({ name, calls, errors }) => {
    const failed = errors > 0 ? ` (${figure(errors / Math.max(1, systemCalls.result))} of them in vain)` : '';
    return `${name} ${figure(calls / Math.max(1, systemCalls.result))}${failed}`;
  });
  return `System calls per operation, ${systemCalls.result} operations under strace: ${shown.join(', ')}.`;
}

function allocatorsText({ operations, allocated }: ProfileRow['heap'], root: string): string {
  const shown = allocated.top.slice(0, TOP_ALLOCATORS).map(({ functionName, url, bytes }) => {
    const name = functionText({ name: functionName || '(anonymous)', place: placeOf(url, root) });
    return `${name} ${figure(bytes / Math.max(1, operations))}`;
  });
  return `Bytes allocated per operation, the most first, ${operations} operations recorded: ${shown.join(', ')}.`;
}

function rowText({ row, graphs }: ProfileResults['rows'][number], root: string): string {
  const times = selfTimes(row.cpu.threads.map(({ tree }) => tree));
  return [
    `## ${row.load.title}`,
    costs(row, times),
    timesText(times, row.cpu.operations),
    callsText(row.systemCalls),
    allocatorsText(row.heap, root),
    ...graphs.map(({ file, heading }) => `![Flame graph of ${heading}](${file})`),
  ].join('\n\n');
}

export function profilePage({ when, options, machine, rows, root }: ProfileResults): string {
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`);
  const head = `# Where the time goes

Made by \`${options.commandLine}\` on ${when}; ${options.seconds} s per run.
${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}; load before the run ${machine.loadBefore.toFixed(2)}; ${versions.join('; ')}.

How it is measured, each in a run of its own, since recording slows what it records:

- **rate, CPU, context switches**: nothing is recorded; \`/proc\` is read before and after, for every thread of the server's process. The
  read model's PostgreSQL is a process of its own and not in these figures.
- **time by function**: V8's CPU profiler on the main thread and on every session thread. What C++ does for a JavaScript function
  counts to that function's group; "(program)" is C++ that no JavaScript called, such as libuv and callbacks under way. The threads of libuv (disk syncs)
  and of RocksDB are not in it: their CPU is in the line "CPU".
- **bytes and objects**: V8's sampling heap profiler at an interval of one byte, so that it records single allocations, collected since or not,
  over a few hundred operations and the connecting of their clients. What optimised code allocates in one go counts as one object;
  the contents of Buffers lie outside this heap and are not counted.
- **system calls**: \`strace -f -c\` on the server's process with all its threads. It makes the server several times slower: with
  many clients other groups of commits form, so the counts are not quite those of a free run.
- **garbage collection**: V8's share of the samples.

In the flame graphs callers stand below what they call; the width is time, from left to right by name. Open the file itself for the titles.`;
  return [head, ...rows.map((one) => rowText(one, root))].join('\n\n').concat('\n');
}
