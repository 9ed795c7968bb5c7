/** c: bulk loads. */
import type { Run } from './context.js';
import { loginOf, SIDES } from './contenders.js';
import { otherContenders, withOthers } from './others.js';
import { loadByCopy, loadByInsert, type Loaded } from '../load/bulk.js';
import type { System } from '../load/scripts.js';
import type { Load } from '../load/patients.js';
import { atLeast, interleave, ratio, type Contender, type Row } from '../measure.js';
import { withCpu } from '../peers/peers.js';

const EVENTS_PER_AGGREGATE = 10;
/** A warm-up loads this part of what a run does. */
const WARM_UP_PART = 4;
const TARGET = 1.0;
const LIKE_FOR_LIKE = 'like for like';
const LESS_WORK = 'less work, for comparison';

export const bulk: Run = async ({ options, peers, say }) => {
  let firstId = 1;
  const contender = (
    system: System,
    how: string,
    load: (load: Load) => Promise<Loaded>,
    side = SIDES[system],
    postgres = peers.postgres,
  ): Contender => ({
    side: `${side}: ${how}`,
    run: (isWarmUp = false) =>
      withCpu(system === 'eventful' ? peers.eventful : postgres, async () => {
        const aggregates = Math.ceil(options.bulk / (isWarmUp ? WARM_UP_PART : 1) / EVENTS_PER_AGGREGATE);
        const events = aggregates * EVENTS_PER_AGGREGATE;
        say(`c: ${events} events, ${side}: ${how}`);
        const done = await load({ events, aggregates, firstId });
        firstId += aggregates;
        const facts = { 'client share': done.clientShare };
        return { value: events / done.seconds, operations: events, facts };
      }),
  });
  const byCopy = (system: System) => (load: Load) =>
    loadByCopy(loginOf(peers, system), system, load, peers.scratch);
  const others = otherContenders(peers, ['trigger', 'statement'], (theirs, variant, side) => {
    const how = variant === 'trigger' ? 'COPY' : 'COPY, then one statement projects';
    const load = (rows: Load): Promise<Loaded> =>
      loadByCopy(theirs.postgres.login(variant), variant, rows, peers.scratch);
    return contender(variant, how, load, side, theirs.postgres);
  });
  const measured = await interleave(
    [
      contender('eventful', 'INSERT of 500 rows, pipelined', (load) =>
        loadByInsert(peers.eventful.login, 'eventful', load),
      ),
      contender('eventful', 'COPY', byCopy('eventful')),
      contender('trigger', 'INSERT of 500 rows, pipelined', (load) =>
        loadByInsert(peers.postgres.login('trigger'), 'trigger', load),
      ),
      contender('trigger', 'COPY', byCopy('trigger')),
      contender('statement', 'COPY, then one statement projects', byCopy('statement')),
      ...others,
    ],
    options.rounds,
  );
  const all = measured.slice(0, measured.length - others.length);
  const theirOwn = measured.slice(all.length);
  const ours = all.slice(0, 2);
  const theirs = all.slice(ours.length);
  const ratios = ours.flatMap((our) => theirs.map((their) => ratio(our, their)));
  const best = ours[ours.length - 1]?.side;
  const byCopies = ratios.filter(({ of, to }) => of === best && to.includes('COPY'));
  const row: Row = {
    label: `${options.bulk} events per run, ${options.bulk * options.rounds} in all`,
    unit: 'events/s',
    better: 'higher',
    series: all,
    ratios,
    goals: byCopies.map(({ to, value }) =>
      atLeast(`× ${to} (${to.includes(SIDES.trigger) ? LIKE_FOR_LIKE : LESS_WORK})`, value, TARGET),
    ),
  };
  const notes = [
    'Six fields per event, ten events per aggregate, new aggregates in every run; one connection. The INSERTs have 8 statements under way (node pg, pipelined); COPY is psql with the same file on each side.',
    'EventfulDB answers when the events are on disk; "read model behind" is how long its projection then takes, which PostgreSQL has done before it answers. Nothing else runs meanwhile.',
    'A run by COPY is one transaction and includes the start of psql, on both sides (more than 40,000 events reach EventfulDB in several, since one COPY takes no more than 250,000 and keeps them in memory until its end).',
    '**The like-for-like row is COPY with the trigger**: there, as in EventfulDB, the server assigns each version and projects row by row, whatever the aggregate held before. "one statement projects" is less work, shown because a loader who may would do it: the client counts the versions beforehand, nothing is checked, and the projection is made once, at the end, from rows known to be new.',
  ];
  return [{ id: 'c', title: 'Bulk load', rows: [withOthers(row, theirOwn, ours[ours.length - 1])], notes }];
};
