/** h: verifying and proving; i: bytes and memory; j: starting again. On the loaded set. */
import { statfsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Context } from './context.js';
import type { LoadedSet } from './loaded.js';
import {
  affordableRounds,
  atLeast,
  atMost,
  median,
  series,
  type Measured,
  type Row,
  type Section,
} from '../measure.js';
import { execute, scalar } from '../peers/login.js';
import { diskBytes } from '../processes.js';

const VERIFY_TARGET = 150_000;
const BYTES_TARGET = 0.6;
const REBUILD_TARGET = 100_000;
const PROOFS_PER_ROUND = 50;
/** A whole verification per round: fewer of them while it is slow. */
const VERIFY_SECONDS_MAX = 30;
const OURS = 'EventfulDB';
const THEIRS = 'PostgreSQL';

function single(label: string, unit: string, better: Row['better'], measured: readonly Measured[]): Row {
  return { label, unit, better, series: [series(OURS, measured)], ratios: [], goals: [] };
}

export async function proofs({ options, peers, say }: Context, set: LoadedSet): Promise<Section> {
  const verified: Measured[] = [];
  const perCore: Measured[] = [];
  const threads = availableParallelism();
  const made: Measured[] = [];
  const checked: Measured[] = [];
  let proofBytes = 0;
  let { rounds } = options;
  for (let round = 0; round < rounds; round++) {
    say(`h: round ${round + 1}`);
    const started = performance.now();
    const cpu = peers.eventful.cpuSeconds();
    const { events, seconds } = await peers.eventful.verify(threads);
    verified.push({ value: events / seconds });
    perCore.push({ value: events / (peers.eventful.cpuSeconds() - cpu) });
    const ids = Array.from({ length: PROOFS_PER_ROUND }, (_, i) =>
      String(1 + ((i * 7919 + round * 104729) % set.aggregates)),
    );
    const proved = await peers.eventful.prove('patient', ids);
    made.push({ value: proved.proofs / proved.makeSeconds });
    checked.push({ value: proved.proofs / proved.checkSeconds });
    ({ proofBytes } = proved);
    if (round === 0)
      rounds = affordableRounds(rounds, (performance.now() - started) / 1000, VERIFY_SECONDS_MAX);
  }
  const coreRow = single('verify the whole store, for each core used', 'events/s', 'higher', perCore);
  const goal = atLeast('events/s on one core', middle(perCore), VERIFY_TARGET);
  return {
    id: 'h',
    title: 'Verify and prove',
    rows: [
      { ...coreRow, goals: [goal] },
      single(`verify the whole store in ${threads} threads`, 'events/s', 'higher', verified),
      single('make a proof', 'proofs/s', 'higher', made),
      single('check a proof', 'proofs/s', 'higher', checked),
    ],
    notes: [
      `In process, without the read model's comparison. Every event is read, decrypted, hashed and folded; ${set.events} events in ${set.aggregates} aggregates. PostgreSQL has nothing to compare with.`,
      `Both rows are of the same verifications, in as many threads as the machine has cores; by itself a server takes half of them, so that clients are served meanwhile. The first row is events for each second of CPU time that all of the server's threads took together.`,
      `A proof is ${Math.round(proofBytes)} bytes of JSON.`,
    ],
  };
}

function middle(measured: readonly Measured[]): number {
  return median(measured.map(({ value }) => value));
}

/** Stops EventfulDB so that everything is in its table files, and starts it again. */
export async function disk({ peers, say }: Context, set: LoadedSet): Promise<Section> {
  say('i: bytes on disk');
  const { eventful, postgres } = peers;
  const memory = { ours: eventful.memory(), theirs: postgres.memory() };
  const events = Number((await eventful.stats()).position);
  const readModel = diskBytes(eventful.readModelDirectory);
  // Either side as small as it gets: what later versions replaced is gone.
  await execute(eventful.login, 'CALL compact()');
  await eventful.stop({ removeReadModel: false });
  const ours = {
    tables: diskBytes(join(eventful.directory, 'store')),
    log: diskBytes(join(eventful.directory, 'log')),
  };
  await eventful.start();
  const login = postgres.login('statement');
  const size = async (sql: string): Promise<number> => Number(await scalar(login, `SELECT ${sql}`));
  await scalar(login, 'SELECT pg_switch_wal()').catch(() => undefined);
  // Loading in several steps updated each state: without this its table would keep the room of the rows before.
  await execute(login, 'VACUUM FULL patient');
  const table = async (name: string): Promise<number> => size(`pg_total_relation_size('${name}')`);
  const theirs = { events: await table('events'), patient: await table('patient') };
  const rows = await size('count(*) FROM events');
  const wal = postgres.dataDirectory === null ? NaN : diskBytes(join(postgres.dataDirectory, 'pg_wal'));
  const row = (label: string, a: number, b: number, unit = 'bytes/event'): Row => {
    const pair = [series(OURS, [{ value: a }]), series(THEIRS, [{ value: b }])] as const;
    const value = a / b;
    const ratios = [{ of: OURS, to: THEIRS, value, min: value, max: value }];
    return { label, unit, better: 'lower', series: pair, ratios, goals: [] };
  };
  const tables = row('tables and indexes', ours.tables / events, (theirs.events + theirs.patient) / rows);
  const mb = 1 / 1048576;
  return {
    id: 'i',
    title: 'Bytes on disk and memory',
    rows: [
      { ...tables, goals: [atMost('× PostgreSQL', tables.ratios[0]?.value ?? NaN, BYTES_TARGET)] },
      row('log as it lies on disk', ours.log / events, wal / rows),
      row('resident memory', (memory.ours.server + memory.ours.readModel) * mb, memory.theirs * mb, 'MB'),
      single('… of that the server', 'MB', 'lower', [{ value: memory.ours.server * mb }]),
      single('… of that its read model', 'MB', 'lower', [{ value: memory.ours.readModel * mb }]),
    ],
    notes: [
      `After the load of ${set.events} events of six fields in ${set.aggregates} aggregates: measured once, nothing in it varies from round to round.`,
      'EventfulDB: RocksDB files after CALL compact() and a shutdown: events, heads, snapshots, trees, encrypted. PostgreSQL: events and projection with their indexes, loaded by COPY, and the projection rewritten by VACUUM FULL. So both are as small as they get; in use either grows by what is replaced, until it is cleared away.',
      `Both logs are kept at a size that settings give, not by the number of events: EventfulDB's ring of preallocated segments, PostgreSQL's up to max_wal_size. Log bytes per event as written are in a.`,
      `EventfulDB's read model takes another ${Math.round(readModel / 1048576)} MB of ${placeKind(eventful.readModelDirectory)} (${Math.round(readModel / events)} bytes/event), not counted: it is derived and not on disk. Memory is PSS, shared pages counted once.`,
    ],
  };
}

function placeKind(path: string): string {
  return statfsSync(path).type === 0x01021994 ? 'tmpfs' : 'disk';
}

export async function restart({ options, peers, say }: Context, set: LoadedSet): Promise<Section> {
  const rebuilt: Measured[] = [];
  const cold: Measured[] = [];
  const warm: Measured[] = [];
  let { rounds } = options;
  for (let round = 0; round < rounds; round++) {
    say(`j: round ${round + 1}`);
    const started = performance.now();
    await peers.eventful.stop({ removeReadModel: true });
    const first = await peers.eventful.start();
    cold.push({ value: first.startMs });
    if (first.rebuilt !== null) rebuilt.push({ value: first.rebuilt.rows / first.rebuilt.seconds });
    await peers.eventful.stop({ removeReadModel: false });
    warm.push({ value: (await peers.eventful.start()).startMs });
    if (round === 0) rounds = affordableRounds(rounds, (performance.now() - started) / 1000);
  }
  const rebuildRow = single('rebuild of the read model', 'rows/s', 'higher', rebuilt);
  return {
    id: 'j',
    title: 'Start-up and rebuild of the read model',
    rows: [
      { ...rebuildRow, goals: [atLeast('rows/s', middle(rebuilt), REBUILD_TARGET)] },
      single('start with a rebuild, initdb included', 'ms', 'lower', cold),
      single('start, read model kept', 'ms', 'lower', warm),
    ],
    notes: [
      `${set.events} events in ${set.aggregates} aggregates: one row each. From the start of the process to the open port; the rebuild's rate is the server's own figure.`,
    ],
  };
}
