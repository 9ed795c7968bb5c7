/** d: point reads of current state; e: reading what was just written. */
import { byNodePg, byPgbench, loginOf } from './contenders.js';
import { AGGREGATES, clientsText, columnSeconds, mostFirst, type Run } from './context.js';
import { ofOthers, otherContenders, othersByPgbench, withOthers } from './others.js';
import { threadRows, THREADS_NOTE } from './threads.js';
import {
  pointReadScript,
  readYourWriteScript,
  relayedReadScript,
  unsharedReadScript,
} from '../load/scripts.js';
import { fill } from '../load/fill.js';
import { FRESH_WARM_UPS, interleave, rateRow, withColumn, type Contender, type Row } from '../measure.js';

const ENGINE_TARGET = 0.8;
const RELAY_TARGET = 0.5;
const READ_YOUR_WRITE_TARGET = 0.8;
const MAX_CLIENTS = 8;
const READ_SIDES = { eventful: 'EventfulDB', statement: 'PostgreSQL' } as const;
const SYSTEMS = ['eventful', 'statement'] as const;

export const pointReads: Run = async (context) => {
  const { options, peers, say } = context;
  const { rounds, seconds, clients: wanted } = options;
  const load = { events: AGGREGATES, aggregates: AGGREGATES, firstId: 1 };
  for (const system of SYSTEMS) await fill(loginOf(peers, system), system, load, peers.scratch);
  const theirLogins = ofOthers(peers, ['statement'], ({ peer }) => peer.login('statement'));
  for (const login of theirLogins) await fill(login, 'statement', load, peers.scratch);
  const few = wanted.filter((count) => count <= MAX_CLIENTS);
  const rows: Row[] = await mostFirst(few, async (clients, isFirst) => {
    say(`d: ${clients} clients`);
    const job = { clients, seconds, variables: { aggregates: AGGREGATES } };
    const node = { clients, seconds: columnSeconds(options), aggregates: AGGREGATES };
    const withPgbench = (script: string): Contender[] =>
      SYSTEMS.map((system) => byPgbench(peers, system, script, job, READ_SIDES[system]));
    const column = SYSTEMS.map((system) => byNodePg(peers, system, pointReadScript(), node));
    const others = [pointReadScript(), relayedReadScript()].map((script) =>
      otherContenders(peers, ['statement'], (theirs, variant, side) =>
        byPgbench(theirs, variant, script, job, side.replace(/,.*/, '')),
      ),
    );
    const parts = [
      withPgbench(pointReadScript()),
      withPgbench(relayedReadScript()),
      column,
      // Only once: it is there to show what sharing a connection saves.
      isFirst ? withPgbench(unsharedReadScript()) : [],
      ...others,
    ];
    const all = await interleave(parts.flat(), rounds, isFirst ? FRESH_WARM_UPS : 0);
    const measured = parts.map((part) => all.splice(0, part.length));
    const [plain = [], relayed = [], withNode = [], unshared = [], theirPlain = [], theirRelayed = []] =
      measured;
    const title = clientsText(clients);
    const row = rateRow(`by aggregate_id, ${title}`, 'reads/s', plain, ENGINE_TARGET);
    const [ours, theirs] = withNode;
    const full = ours === undefined || theirs === undefined ? row : withColumn(row, [ours, theirs]);
    const relay = rateRow(`relayed, ${title}`, 'reads/s', relayed, RELAY_TARGET);
    const alone = isFirst
      ? [rateRow(`relayed, a connection each, ${title}`, 'reads/s', unshared, RELAY_TARGET)]
      : [];
    return [withOthers(full, theirPlain), withOthers(relay, theirRelayed), ...alone];
  });
  const scripts = [
    { label: 'by aggregate_id', unit: 'reads/s', text: pointReadScript() },
    { label: 'relayed', unit: 'reads/s', text: relayedReadScript() },
  ];
  rows.push(...(await threadRows(context, scripts, true)));
  const notes = [
    'SELECT * of one aggregate. "relayed" adds a condition that always holds (version > 0), so that the read model must answer.',
    '"relayed": look-ups of many sessions go to the read model over one connection, in batches. "A connection each" adds a function (length(note)), so that they do not.',
    "The target of 0.8 is meant for an engine that answers point reads itself; while it relays them, it is the relay's 0.5 that applies.",
    THREADS_NOTE,
  ];
  return [{ id: 'd', title: 'Point reads of current state', rows, notes }];
};

export const readYourWrite: Run = async ({ options, peers, say }) => {
  const few = options.clients.filter((count) => count <= MAX_CLIENTS);
  const rows = await mostFirst(few, async (clients, isFirst) => {
    say(`e: ${clients} clients`);
    const job = { clients, seconds: options.seconds, variables: { aggregates: AGGREGATES } };
    const all = await interleave(
      [
        ...(['eventful', 'statement', 'trigger'] as const).map((system) =>
          byPgbench(peers, system, readYourWriteScript(system), job),
        ),
        ...othersByPgbench(peers, ['statement', 'trigger'], readYourWriteScript, job),
      ],
      options.rounds,
      isFirst ? 1 : 0,
    );
    const row = rateRow(clientsText(clients), 'pairs/s', all.slice(0, 3), READ_YOUR_WRITE_TARGET);
    return [withOthers(row, all.slice(3))];
  });
  const notes = [
    'One append, then SELECT * of the same aggregate in the same session, which must show it. In EventfulDB the read waits for the projector.',
  ];
  return [{ id: 'e', title: 'Read your write', rows, notes }];
};
