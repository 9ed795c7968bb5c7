/** The Markdown page: what was measured, on what, how, and which targets are met. */
import { FRESH_WARM_UPS, median, type Goal, type Row, type Section, type Series } from '../measure.js';
import type { Options } from '../options.js';
import type { OtherAbout } from '../peers/others.js';
import { PG_SETTINGS } from '../peers/postgres.js';
import { columnSeconds } from '../workloads/context.js';
import { THREAD_ROUNDS_MAX } from '../workloads/threads.js';
import { figure, times } from './format.js';
import type { Machine } from './machine.js';
import type { Lap } from '../stopwatch.js';
import { missedText } from './reasons.js';

export interface Results {
  readonly when: string;
  readonly options: Options;
  readonly machine: Machine;
  /** Of all cores' time, what the hypervisor gave to others; null where the system does not say. */
  readonly stolen: number | null;
  /** Of the bare disk, once before each group of workloads. */
  readonly fdatasyncs: readonly number[];
  readonly sections: readonly Section[];
  readonly seconds: number;
  /** Of which workload it was, and what lies between them. */
  readonly laps: readonly Lap[];
  readonly failures: readonly string[];
  /** The servers of --peer-url. */
  readonly others: readonly OtherAbout[];
}

function factText([name, value]: [string, number]): string {
  // "client share" and its like, of all cores.
  const share = /^(.*) share$/.exec(name)?.[1];
  return share === undefined ? `${name} ${figure(value)}` : `${share} ${Math.round(value * 100)} %`;
}

function seriesLine(row: Row, one: Series): string {
  const facts = Object.entries(one.facts).map(factText).join(', ');
  const ratios = row.ratios.filter(({ to }) => to === one.side);
  const against = ratios.map(({ of, value, min, max }) => {
    const who = row.series.filter(({ side }) => side.startsWith('EventfulDB')).length > 1 ? `${of}: ` : '';
    return `${who}${times(value)} (${times(min)} to ${times(max)})`;
  });
  const range = `${figure(Math.min(...one.values))} – ${figure(Math.max(...one.values))}`;
  const cells = [one.side, figure(median(one.values)), range, against.join('<br>'), facts];
  return `| ${cells.join(' | ')} |`;
}

function goalLine(goal: Goal): string {
  return `${goal.met ? '✓ met' : '✗ missed'}: ${goal.text} (measured ${figure(goal.measured)})`;
}

/** Said where it is not what the page's head says. */
function roundsText(row: Row, rounds: number): string {
  const made = row.series[0]?.values.length ?? 0;
  return made === rounds ? '' : `; ${made} ${made === 1 ? 'measurement' : 'rounds'}`;
}

function sectionText(section: Section, rounds: number): string {
  const tables = section.rows.map((row) =>
    [
      `**${row.label}** (${row.unit}, ${row.better} is better${roundsText(row, rounds)})`,
      '',
      '| side | median | least – most | EventfulDB ÷ this side | beside |',
      '|---|---:|---:|---:|---|',
      ...row.series.map((one) => seriesLine(row, one)),
      ...row.goals.map((goal) => `\n${goalLine(goal)}`),
    ].join('\n'),
  );
  return [
    `## ${section.id}: ${section.title}`,
    `![${section.title}](${section.id}.svg)`,
    ...tables,
    section.notes.map((note) => `- ${note}`).join('\n'),
  ].join('\n\n');
}

function targets(sections: readonly Section[]): string {
  const lines = sections.flatMap((section) =>
    section.rows.flatMap((row) =>
      row.goals.map(
        (goal) =>
          `| ${section.id} | ${row.label} | ${goal.text} | ${figure(goal.measured)} | ${goal.met ? '✓' : '✗ missed'} |`,
      ),
    ),
  );
  const table = ['| | | target | measured | |', '|---|---|---|---:|---|', ...lines].join('\n');
  const missed = missedText(sections);
  if (missed === '') return table;
  return `${table}\n\nWhy those were missed that were, and the next idea ([profile.md](profile.md) shows where the time goes):\n\n${missed}`;
}

function otherLine({ name, version, settings, missing }: OtherAbout): string {
  const said = Object.entries(settings).map(([setting, value]) => `${setting}=${value}`);
  const parts = [
    'given by --peer-url, a side of a to e without targets',
    version,
    said.join(', '),
    ...missing,
  ];
  return `| ${name} | ${parts.join('; ').replaceAll('|', '¦').replaceAll('\n', ' ')} |`;
}

/** So that one sees what a run that takes too long could do without. */
function timesText({ laps, seconds }: Results): string {
  const known = laps.reduce((sum, lap) => sum + lap.seconds, 0);
  const all = [...laps, { name: 'the bare disk, and the rest', seconds: seconds - known }];
  const lines = all
    .sort((a, b) => a.name.localeCompare(b.name))
    .map((lap) => `| ${lap.name} | ${lap.seconds.toFixed(0)} |`);
  return ['| workload | seconds |', '|---|---:|', ...lines, `| all | ${seconds.toFixed(0)} |`].join('\n');
}

/** What the neighbours of a virtual machine took; '' where the system does not say. */
function stolenText({ stolen }: Results): string {
  return stolen === null
    ? ''
    : `; ${(stolen * 100).toFixed(1)} % of its cores stolen by the hypervisor meanwhile`;
}

export function page(results: Results): string {
  const { machine, options, fdatasyncs } = results;
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`);
  const settings = Object.entries(PG_SETTINGS).map(([name, value]) => `${name}=${value}`);
  const head = `# Benchmarks

Made by \`${options.commandLine}\` on ${results.when} in ${Math.round(results.seconds)} s.
${options.quick ? '\n**A quick run: it shows that the suite works, not how fast anything is.**\n' : ''}
| | |
|---|---|
| machine | ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, Linux ${machine.kernel}; load before the run ${machine.loadBefore.toFixed(2)}${stolenText(results)} |
| disk | ${machine.fileSystem}; ${figure(Math.min(...fdatasyncs))} to ${figure(Math.max(...fdatasyncs))} × (write 4 KB + fdatasync) per second, measured between the workloads |
| versions | ${versions.join('; ')} |
| EventfulDB | as it ships: a commit is answered after fdatasync of its log; data on this disk; its read model in memory and not synced, since it is derived |
| PostgreSQL | ${options.pgUrl === null ? `the same binaries EventfulDB embeds, data on the same disk; ${settings.join(', ')}` : 'given by --pg-url, settings unknown'} |${results.others.map((other) => `\n${otherLine(other)}`).join('')}
| client | pgbench, \`-M prepared\`, TCP loopback without TLS to either side; ${options.rounds} rounds after a warm-up (${FRESH_WARM_UPS} runs of each side where d and a find servers that have just started, and with session threads; else one, or none where the same statements ran before with more clients), sides in turn, ${options.seconds} s per run (node pg ${columnSeconds(options)} s). Comparisons of session threads, which have no target, get ${THREAD_ROUNDS_MAX} rounds at most; what takes minutes gets fewer, and its table says how many |

A ratio is the median of the ratios of each round, with the least and the most behind it. Client and servers share the cores;
"client" in a table is the share of all cores the load client took, "stolen" what the hypervisor gave to other machines; a run that lost more
than 2 % is made once more, twice per row at most, and the quieter of the two counts. "server µs/op" is the CPU time of all processes of a side.`;
  const failures = results.failures.map((failure) => `- did not run: ${failure}`);
  return [
    head,
    '## Targets',
    targets(results.sections),
    ...(failures.length > 0 ? [failures.join('\n')] : []),
    ...results.sections.map((section) => sectionText(section, options.rounds)),
    '## Where the time of this run went',
    timesText(results),
    `${results.others.length === 0 ? 'Only PostgreSQL was measured; another server that speaks its protocol joins by --peer-url. ' : ''}immudb and KurrentDB have no side: none could be run here, and a side that never ran would be worse than none (docs/benchmarks/README.md).`,
  ]
    .join('\n\n')
    .concat('\n');
}
