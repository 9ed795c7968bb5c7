/** What the kernel counts for each thread of a process: CPU and context switches. */
import { readdirSync, readFileSync } from 'node:fs';

/** /proc counts CPU in ticks of 10 ms. */
const TICK_MICROSECONDS = 10_000;

export interface Counters {
  /** µs of CPU by the name of the thread. */
  readonly cpu: ReadonlyMap<string, number>;
  /** The thread waited: for the disk, a socket, another thread. */
  readonly voluntary: number;
  /** The thread would have gone on, but another got the core. */
  readonly involuntary: number;
}

/** Node gives its own threads no name. */
const UNNAMED = 'node';

/** Over all threads alive now. */
export function readCounters(pid: number): Counters {
  const cpu = new Map<string, number>();
  let voluntary = 0;
  let involuntary = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    try {
      const directory = `/proc/${pid}/task/${task}`;
      const stat = readFileSync(`${directory}/stat`, 'utf8');
      const status = readFileSync(`${directory}/status`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const name = nameOf(Number(task) === pid, /^Name:\s*(.*)$/m.exec(status)?.[1] ?? UNNAMED);
      const ticks = Number(fields[11]) + Number(fields[12]);
      cpu.set(name, (cpu.get(name) ?? 0) + ticks * TICK_MICROSECONDS);
      voluntary += Number(/^voluntary_ctxt_switches:\s*(\d+)/m.exec(status)?.[1] ?? 0);
      involuntary += Number(/^nonvoluntary_ctxt_switches:\s*(\d+)/m.exec(status)?.[1] ?? 0);
    } catch {
      // The thread ended meanwhile.
    }
  }
  return { cpu, voluntary, involuntary };
}

function nameOf(main: boolean, name: string): string {
  if (main) return 'main thread';
  return name === UNNAMED ? 'the other threads (disk, RocksDB, garbage collection, sessions)' : name;
}

/** What was added since `before`. */
export function since(before: Counters, after: Counters): Counters {
  return {
    cpu: new Map([...after.cpu].map(([name, value]) => [name, value - (before.cpu.get(name) ?? 0)])),
    voluntary: after.voluntary - before.voluntary,
    involuntary: after.involuntary - before.involuntary,
  };
}
