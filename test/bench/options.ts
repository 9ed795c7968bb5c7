/** The flags of `npm run bench`. */
import { parseArgs } from 'node:util';
import { parseOther, redacted, type OtherUrl } from './peers/others.js';

export const WORKLOADS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l'] as const;
export type Workload = (typeof WORKLOADS)[number];

export const HELP = `npm run bench -- [flags]
  --only a,b,…       workloads to run (default: a to k; l only when named or with --growth)
  --rounds N         interleaved rounds after one warm-up (default 5)
  --seconds S        seconds of one run, whole (default 1)
  --clients 1,8,64   client counts of a; d and e take those up to 8
  --session-threads 1,2 also a and d with sessions on so many threads (default: none)
  --bulk N           events of one run of c (default 40000)
  --events N         events of the loaded set of h to j (default 1000000, ten per aggregate); f and g take a fifth
  --deep N           also AS OF VERSION of one aggregate with N events (100000 for the target of g)
  --growth 1e4,1e5   workload l at these store sizes (1e4,1e5,1e6,1e7 for its target; 1e7 takes about 20 minutes)
  --quick            2 rounds of 1 s, 20000 events: does it run, not how fast
  --soak 10m         steady load for so long instead of the workloads; writes soak.md
  --rate N           events/s of the soak (default: half of what 8 clients reach)
  --profile          profile.md and flame graphs of EventfulDB instead of the workloads (--seconds per run)
  --out DIR          where results go (default docs/benchmarks)
  --data DIR         directory on the disk to measure (default /var/tmp)
  --pg-url URL       measure this PostgreSQL instead of the embedded one
  --peer-url NAME=URL   also this server that speaks PostgreSQL, as a further side of a to e; repeatable
  --cpu-prof DIR     write a CPU profile of the EventfulDB process there (slower)`;

export interface Options {
  readonly only: ReadonlySet<Workload>;
  readonly rounds: number;
  readonly seconds: number;
  readonly clients: readonly number[];
  readonly sessionThreads: readonly number[];
  readonly bulk: number;
  readonly events: number;
  readonly deep: number | null;
  readonly growth: readonly number[];
  readonly quick: boolean;
  readonly soakSeconds: number | null;
  readonly rate: number | null;
  readonly profile: boolean;
  readonly out: string;
  readonly data: string;
  readonly pgUrl: string | null;
  readonly peerUrls: readonly OtherUrl[];
  readonly cpuProf: string | null;
  /** As typed but for passwords, for the page. */
  readonly commandLine: string;
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new Error(`--${name} takes a whole number from 1, not "${text}"`);
  return value;
}

/** Ten events make an aggregate. */
function tens(events: number): number {
  return Math.ceil(events / 10) * 10;
}

function duration(text: string): number {
  const match = /^(\d+)(s|m|h)$/.exec(text);
  if (match === null) throw new Error(`--soak takes a duration such as 10m, not "${text}"`);
  return Number(match[1]) * ({ s: 1, m: 60, h: 3600 }[match[2] ?? ''] ?? 1);
}

function chosen(only: string | undefined, growth: readonly number[]): Set<Workload> {
  if (only === undefined) return new Set(WORKLOADS.filter((id) => id !== 'l' || growth.length > 0));
  const names = only.split(',').map((name) => name.trim());
  const wrong = names.find((name) => !WORKLOADS.some((id) => id === name));
  if (wrong !== undefined) throw new Error(`--only: there is no workload "${wrong}"`);
  return new Set(WORKLOADS.filter((id) => names.includes(id)));
}

/** Each side makes databases of the same names: no server may stand for two. */
function otherServers(flags: readonly string[], pgUrl: string | undefined): OtherUrl[] {
  const others = flags.map(parseOther);
  const servers = [...others.map(({ url }) => url), ...(pgUrl === undefined ? [] : [pgUrl])].map(
    (url) => new URL(url).host,
  );
  if (new Set(servers).size < servers.length)
    throw new Error('--peer-url: the same server is named twice (or by --pg-url)');
  if (new Set(others.map(({ name }) => name)).size < others.length)
    throw new Error('--peer-url: two servers have the same name');
  return others;
}

/** null when help was asked for. @throws Error naming the flag that is wrong */
export function parseOptions(args: readonly string[]): Options | null {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: text,
      rounds: text,
      seconds: text,
      clients: text,
      'session-threads': text,
      bulk: text,
      events: text,
      deep: text,
      growth: text,
      quick: { type: 'boolean', default: false },
      soak: text,
      rate: text,
      profile: { type: 'boolean', default: false },
      out: text,
      data: text,
      'pg-url': text,
      'peer-url': { type: 'string', multiple: true },
      'cpu-prof': text,
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  const { quick } = values;
  const number = (name: 'rounds' | 'seconds' | 'bulk' | 'events', usual: number): number =>
    values[name] === undefined ? usual : wholeNumber(name, values[name]);
  const optional = (name: 'deep' | 'rate'): number | null =>
    values[name] === undefined ? null : wholeNumber(name, values[name]);
  const list = (name: 'clients' | 'growth' | 'session-threads', usual: string): number[] =>
    (values[name] ?? usual)
      .split(',')
      .filter((item) => item !== '')
      .map((item) => wholeNumber(name, item));
  const growth = list('growth', (values.only ?? '').includes('l') ? '10000,100000' : '');
  return {
    only: chosen(values.only, growth),
    rounds: number('rounds', quick ? 2 : 5),
    seconds: number('seconds', 1),
    clients: list('clients', '1,8,64'),
    sessionThreads: list('session-threads', ''),
    bulk: tens(number('bulk', quick ? 4000 : 40_000)),
    events: number('events', quick ? 20_000 : 1_000_000),
    deep: optional('deep'),
    growth: [...new Set(growth.map(tens))],
    quick,
    soakSeconds: values.soak === undefined ? null : duration(values.soak),
    rate: optional('rate'),
    profile: values.profile,
    out: values.out ?? 'docs/benchmarks',
    data: values.data ?? '/var/tmp',
    pgUrl: values['pg-url'] ?? null,
    peerUrls: otherServers(values['peer-url'] ?? [], values['pg-url']),
    cpuProf: values['cpu-prof'] ?? null,
    commandLine: ['npm run bench', ...(args.length > 0 ? ['--', ...args.map(redacted)] : [])].join(' '),
  };
}
