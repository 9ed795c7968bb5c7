/**
 * The same messages to the server and to PostgreSQL itself: whatever way a read takes here, to the engine, over the
 * session's own connection or over a shared one, the answers must be PostgreSQL's. ORACLE_STEPS says how many steps
 * (6,000), ORACLE_SEED which ones: it is fixed, so that one change is judged like another; a wider search takes others.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connectBackend } from '../../server/relay/connect.js';
import { startTestServer, type TestServer } from '../harness.js';
import { Random } from './fuzz/random.js';
import { m, RawClient } from './raw.js';

const STEPS = Number(process.env['ORACLE_STEPS'] ?? 6000);
const SEED = Number(process.env['ORACLE_SEED'] ?? 1);
/** Each with a connection to the server and one to PostgreSQL; those to the server share what they share. */
const PAIRS = 6;
const STEPS_OF_A_PAIR = 60;

const TEXTS = [
  'SELECT version, status FROM patient WHERE aggregate_id = $1 AND version > 0',
  'SELECT 6 / (version - $2::int) AS q FROM patient WHERE aggregate_id = $1',
  'SELECT p.version::text || status FROM patient p WHERE $1 = aggregate_id LIMIT 1',
  'SELECT nothing FROM patient WHERE aggregate_id = $1 AND version > 0',
  'SELECT status::int FROM patient WHERE aggregate_id = $1',
  'SELECT * FROM patient WHERE aggregate_id = $1',
  'SELECT status FROM patient WHERE aggregate_id = $1 LIMIT $2',
  'SELECT aggregate_id, status FROM patient ORDER BY 1',
  'SELECT count(*) FROM patient WHERE status > $1',
  'SELECT $1::int + 1 AS n',
  'SELECT generate_series(1, 5)',
  'SELECT 1/0',
  'SELEC 1',
  '',
  'SELECT 1 AS a; SELECT 2',
  'BEGIN',
  'SHOW extra_float_digits',
  'SET extra_float_digits = 1',
];
/** Executed again by chance in a failed transaction, these would end it. */
const ENDS = ['COMMIT', 'ROLLBACK'];
const QUERIES = [
  'SELECT 1 AS a; SELECT 2 AS b',
  'SELECT 1 AS a; SELECT 1/0; SELECT 3',
  "SELECT status FROM patient WHERE aggregate_id = 'p1'",
  'BEGIN; SELECT 1 AS a; COMMIT',
  'BEGIN',
  'COMMIT',
  'ROLLBACK',
  'SAVEPOINT s',
  'ROLLBACK TO s',
  'SELECT nothing',
  ';',
  '',
  'DISCARD ALL',
  'DEALLOCATE a',
  'DEALLOCATE ALL',
];
const NAMES = ['', '', '', 'a', 'b'];
const PORTALS = ['', '', '', '', 'p'];
const VALUES = ['p0', 'p1', 'p2', 'p9', '1', '0', '3', 'x', null];

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
  const client = await server.connect();
  await client.query('CREATE AGGREGATE patient (status text, EVENT patient_updated)');
  for (let i = 0; i < 4; i++)
    await client.query('INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ($1, $2)', [
      `p${i}`,
      i === 3 ? '17' : `s${i}`,
    ]);
  await server.server.readModel.waitFor(server.server.engine.committedPosition());
  await client.end();
});
afterAll(() => server.destroy());

async function direct(): Promise<RawClient> {
  const { readModel } = server.server;
  const role = await readModel.roleFor([{ action: 'admin', aggregateType: '', aggregateId: '' }]);
  const backend = await connectBackend(readModel.connection(role), new Map());
  const client = new RawClient(backend.socket);
  backend.listen((bytes) => {
    backend.socket.emit('data', Buffer.from(bytes));
    return 0;
  });
  return client;
}

interface Message {
  readonly bytes: Buffer;
  readonly text: string;
  /** What it does with the unnamed portal. */
  readonly unnamed?: 'bound' | 'used';
}

function uses(portal: string): Pick<Message, 'unnamed'> {
  return portal === '' ? { unnamed: 'used' } : {};
}

function bind(random: Random): Message {
  const statement = random.pick(NAMES);
  const portal = random.pick(PORTALS);
  const values = Array.from({ length: random.pick([0, 1, 1, 1, 2, 2]) }, () => random.pick(VALUES));
  const results = random.pick([[], [], [0], [1]] as const);
  const bytes = m.bind(values, { statement, portal, results });
  const text = `Bind ${portal}<${statement} ${JSON.stringify(values)} ${results.join()}`;
  return { bytes, text, ...(portal === '' ? { unnamed: 'bound' } : {}) };
}

function message(random: Random): Message {
  const kind = random.below(12);
  if (kind < 3) {
    const [text, name] = [random.pick(TEXTS), random.pick(NAMES)];
    return { bytes: m.parse(text, name), text: `Parse ${name} ${text}` };
  }
  if (kind < 6) return bind(random);
  if (kind < 9) {
    const [rows, portal] = [random.pick([0, 0, 0, 1, 2]), random.pick(PORTALS)];
    return { bytes: m.execute(rows, portal), text: `Execute ${portal} ${rows}`, ...uses(portal) };
  }
  if (kind === 9) {
    const name = random.pick(NAMES);
    return random.below(2) === 0
      ? { bytes: m.close(name), text: `Close statement ${name}` }
      : { bytes: m.describe(name), text: `Describe statement ${name}` };
  }
  if (kind === 10) {
    const portal = random.pick(PORTALS);
    return random.below(3) === 0
      ? { bytes: m.closePortal(portal), text: `Close portal ${portal}` }
      : { bytes: m.describePortal(portal), text: `Describe portal ${portal}`, ...uses(portal) };
  }
  return { bytes: m.flush(), text: 'Flush' };
}

/** What a driver sends most. */
function usual(random: Random): Message[] {
  const text = random.pick(random.below(8) === 0 ? ENDS : TEXTS.filter((one) => !one.includes(';')));
  const name = random.pick(NAMES);
  const values = Array.from({ length: text.includes('$2') ? 2 : text.includes('$1') ? 1 : 0 }, (_, i) =>
    random.pick(i === 0 ? ['p0', 'p1', 'p2', 'p3', '4'] : ['1', '2', '0', '3']),
  );
  return [
    ...(random.below(3) > 0 ? [{ bytes: m.parse(text, name), text: `Parse ${name} ${text}` }] : []),
    { bytes: m.bind(values, { statement: name }), text: `Bind <${name} ${values.join()}` },
    ...(random.below(2) > 0 ? [{ bytes: m.describePortal(), text: 'Describe portal' }] : []),
    { bytes: m.execute(), text: 'Execute' },
    ...(ENDS.includes(text) ? [{ bytes: m.close(name), text: `Close statement ${name}` }] : []),
  ];
}

/** @param isFailed in a failed transaction, where PostgreSQL 16 may crash when an older portal is executed */
function step(random: Random, isFailed: boolean): Message[] {
  if (random.below(6) === 0) {
    const text = random.pick(QUERIES);
    return [{ bytes: m.query(text), text: `Query ${text}` }];
  }
  const messages =
    isFailed || random.below(3) > 0
      ? usual(random)
      : bound(Array.from({ length: 1 + random.below(6) }, () => message(random)));
  return [...messages, { bytes: m.sync(), text: 'Sync' }];
}

/** Without uses of an unnamed portal from before the last Sync: what PostgreSQL keeps of it then, nobody relies on. */
function bound(messages: readonly Message[]): Message[] {
  let isBound = false;
  return messages.filter(({ unnamed }) => {
    isBound ||= unnamed === 'bound';
    return unnamed !== 'used' || isBound;
  });
}

/** Sends it in one piece or in several. */
async function ask(client: RawClient, messages: readonly Message[], inPieces: boolean): Promise<string[]> {
  if (!inPieces) return client.run(...messages.map(({ bytes }) => bytes));
  for (const { bytes } of messages) {
    client.send(bytes);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return client.run();
}

const error = (answer: readonly string[]): string | undefined =>
  answer.find((message) => message.startsWith('E:'));

/**
 * What a failed transaction refuses first, and which of two things wrong with one message is reported, is not told apart:
 * a name that is taken, a value found wrong when the plan is made for it alone or only when that runs.
 */
function alike(got: readonly string[], expected: readonly string[]): boolean {
  if (got.at(-1) !== expected.at(-1)) return false;
  if (got.at(-1) === 'Z:E') return true;
  const errors = [error(got), error(expected)];
  if (
    !errors.includes(undefined) &&
    errors.some((code) => /^E:(34000|42P03|42P05|55000|22P02|22012)$/.test(code ?? ''))
  )
    return true;
  return JSON.stringify(got) === JSON.stringify(expected);
}

/** After errors that are only alike, one side may have done a little more than the other. */
async function agree(client: RawClient): Promise<void> {
  for (const sql of ['ROLLBACK', 'DEALLOCATE ALL']) await client.run(m.query(sql));
}

it(`${STEPS} steps are answered as PostgreSQL does`, { timeout: 60_000 + STEPS * 50 }, async () => {
  let steps = 0;
  const pair = async (number: number): Promise<void> => {
    const random = new Random(SEED + 7919 * number);
    const [own, real] = await Promise.all([RawClient.ready(server.port, server.token), direct()]);
    const done: string[] = [];
    let isFailed = false;
    for (let i = 0; i < STEPS_OF_A_PAIR && steps < STEPS; i++) {
      steps++;
      const messages = step(random, isFailed);
      const inPieces = random.below(4) === 0;
      const [got, expected] = await Promise.all([
        ask(own, messages, inPieces),
        ask(real, messages, inPieces),
      ]);
      done.push(messages.map(({ text }) => text).join(' | '));
      if (!alike(got, expected))
        expect(got, `pair ${number}:\n${done.slice(-12).join('\n')}`).toEqual(expected);
      if (JSON.stringify(got) !== JSON.stringify(expected)) await Promise.all([agree(own), agree(real)]);
      isFailed = expected.at(-1) === 'Z:E' && got.join() === expected.join();
    }
    own.close();
    real.close();
  };
  let number = 0;
  await Promise.all(
    Array.from({ length: PAIRS }, async () => {
      while (steps < STEPS) await pair(number++);
    }),
  );
});
