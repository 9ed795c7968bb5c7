/** `npm run bench`: EventfulDB and PostgreSQL side by side. See options.ts for the flags. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { GROUPS, Outcome } from './groups.js';
import { HELP, parseOptions, type Options } from './options.js';
import { findProgram } from './load/pgbench.js';
import { stopEverything, withPeers } from './peers/peers.js';
import { redacted, type OtherAbout } from './peers/others.js';
import { chart } from './report/chart.js';
import { describeMachine, fdatasyncRate, type Machine } from './report/machine.js';
import { page, type Results } from './report/page.js';
import { profile } from './profile/run.js';
import { soak } from './soak.js';
import { coreTimes, stolenSince } from './stolen.js';
import { Stopwatch } from './stopwatch.js';
import type { Context } from './workloads/context.js';

const PROBE_SECONDS = 1;

function withoutPasswords(options: Options): object {
  const peerUrls = options.peerUrls.map(({ name, url }) => ({ name, url: redacted(url) }));
  const pgUrl = options.pgUrl === null ? null : redacted(options.pgUrl);
  return { ...options, only: [...options.only], pgUrl, peerUrls };
}

function save(results: Results): void {
  const { out } = results.options;
  mkdirSync(out, { recursive: true });
  const { options, ...rest } = results;
  const plain = { ...rest, options: withoutPasswords(options) };
  writeFileSync(join(out, 'results.json'), `${JSON.stringify(plain, null, 1)}\n`);
  writeFileSync(join(out, 'results.md'), page(results));
  for (const section of results.sections) writeFileSync(join(out, `${section.id}.svg`), chart(section));
}

async function runAll(options: Options, machine: Machine, say: Context['say']): Promise<Results> {
  const outcome = new Outcome(new Stopwatch());
  const started = performance.now();
  const times = coreTimes();
  const fdatasyncs: number[] = [];
  const others = new Map<string, OtherAbout>();
  for (const group of GROUPS) {
    if (!group.ids.some((id) => options.only.has(id))) continue;
    fdatasyncs.push(fdatasyncRate(options.data, PROBE_SECONDS));
    say(`the bare disk: ${Math.round(fdatasyncs[fdatasyncs.length - 1] ?? 0)} fdatasync/s`);
    await outcome.attempt(`servers of ${group.ids.join(', ')}`, async () => {
      await withPeers(options, (peers) => {
        for (const { about } of peers.others) others.set(about.name, about);
        return group.run({ options, peers, say }, outcome);
      });
      return [];
    });
  }
  const seconds = (performance.now() - started) / 1000;
  return {
    when: new Date().toISOString(),
    options,
    machine,
    fdatasyncs,
    stolen: stolenSince(times),
    sections: outcome.sections.sort((a, b) => a.id.localeCompare(b.id)),
    seconds,
    laps: outcome.watch.laps,
    failures: outcome.failures,
    others: [...others.values()],
  };
}

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  if (options === null) {
    console.log(HELP);
    return;
  }
  for (const name of ['pgbench', 'psql'] as const) findProgram(name);
  mkdirSync(options.data, { recursive: true });
  const machine = describeMachine(options.data);
  const began = performance.now();
  const say = (text: string): void =>
    console.error(`[${((performance.now() - began) / 1000).toFixed(0).padStart(4)} s] ${text}`);
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void stopEverything().then(() => process.exit(130)));
  if (options.soakSeconds !== null) return soak(options, machine, say);
  if (options.profile) return profile(options, machine, say);
  const results = await runAll(options, machine, say);
  save(results);
  console.log(page(results));
  if (results.failures.length > 0) process.exitCode = 1;
}

main().catch(async (error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  await stopEverything();
  process.exit(1);
});
