/** Look-ups that many sessions send over one connection: each must be answered as over a connection of its own. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { encodeCancelRequest } from '../../server/protocol/startup.js';
import { startTestServer, type TestServer } from '../harness.js';
import { answerTo, m, RawClient } from './raw.js';

const READ =
  'SELECT version, status, 6 / $2::int AS six FROM patient WHERE aggregate_id = $1 AND version > 0';
const COUNT = 'SELECT count(*) FROM pg_stat_activity WHERE usename = current_user AND application_name = $1';
const SHARED = 'eventful shared reads';
const ROW = 'T:version=20,status=25,six=23';
const CLIENTS = 24;
const THREADS = Number(process.env['EVENTFUL_TEST_SESSION_THREADS'] ?? 0);

let server: TestServer;
const clients: RawClient[] = [];

beforeAll(async () => {
  server = await startTestServer();
  const client = await server.connect();
  await client.query('CREATE AGGREGATE patient (status text, EVENT patient_updated)');
  await client.query(
    `INSERT INTO patient EVENTS patient_updated (aggregate_id, status)
     SELECT 'p' || n, 's' || n FROM generate_series(0, ${CLIENTS}) n`,
  );
  await client.end();
});
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});
afterAll(() => server.destroy());

async function open(token = server.token, name = 'own'): Promise<RawClient> {
  const client = await RawClient.ready(server.port, token, { application_name: name });
  clients.push(client);
  return client;
}

/** A client whose reads are shared from now on. */
async function shared(token = server.token, name = 'own'): Promise<RawClient> {
  const client = await open(token, name);
  for (let i = 0; i < 3; i++) {
    await client.run(m.parse(READ), ...read('p0', '1'), m.sync());
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await client.run(m.parse(READ, 'read'), m.sync());
  return client;
}

function read(id: string, divisor: string, statement = ''): Buffer[] {
  return [m.bind([id, divisor], { statement }), m.describePortal(), m.execute()];
}

async function connections(observer: RawClient, name: string): Promise<number> {
  const answer = await observer.run(m.parse(COUNT), m.bind([name]), m.execute(), m.sync());
  return Number(answer.find((message) => message.startsWith('D:'))?.slice(2));
}

describe('a look-up of one aggregate', () => {
  it('goes over one connection, whoever asks', async () => {
    const observer = await shared(server.token, 'observer');
    const many = await Promise.all(Array.from({ length: CLIENTS }, () => open()));
    for (let round = 0; round < 5; round++) {
      const answers = await Promise.all(
        many.map((client, n) => client.run(m.parse(READ), ...read(`p${n}`, '2'), m.sync())),
      );
      expect(answers).toEqual(many.map((_, n) => ['1', '2', ROW, `D:1|s${n}|3`, 'C:SELECT 1', 'Z:I']));
    }
    // As drivers prepare: first, and with a look at what comes back.
    for (const client of many) {
      expect(await client.run(m.parse(READ, 'read'), m.sync())).toEqual(['1', 'Z:I']);
      const prepared = await client.run(m.parse(READ, 'other'), m.describe('other'), m.sync());
      expect(prepared).toEqual(['1', 't:25,23', ROW, 'Z:I']);
      for (const name of ['read', 'other'])
        expect(await client.run(...read('p1', '2', name), m.sync())).toContain('D:1|s1|3');
    }
    // One for each session thread.
    expect([1, THREADS]).toContain(await connections(observer, SHARED));
    expect(await connections(observer, 'own')).toBe(0);
  });

  it('is described in the formats that were asked for', async () => {
    const client = await shared();
    for (const results of [[], [0], [1], [0, 1, 1], [1]] as const) {
      const answer = await client.run(
        m.bind(['p1', '2'], { statement: 'read', results }),
        m.describePortal(),
        m.execute(),
        m.sync(),
      );
      const [a, b, c] = results.length === 1 ? Array.from({ length: 3 }, () => results[0]) : results;
      const mark = (format: number | undefined): string => (format === 1 ? 'b' : '');
      expect(answer[1]).toBe(`T:version=20${mark(a)},status=25${mark(b)},six=23${mark(c)}`);
      expect(answer).toHaveLength(5);
    }
    expect(await client.run(m.bind(['p1', '2'], { statement: 'read' }), m.execute(), m.sync())).toEqual([
      ...['2', 'D:1|s1|3', 'C:SELECT 1', 'Z:I'],
    ]);
  });

  it('fails for the one who asked what cannot be answered', async () => {
    const many = await Promise.all(Array.from({ length: CLIENTS }, () => shared()));
    for (let round = 0; round < 3; round++) {
      const answers = await Promise.all(
        many.map((client, n) =>
          client.run(m.parse(READ), ...read(`p${n}`, n % 5 === round ? '0' : '2'), m.sync()),
        ),
      );
      for (const [n, answer] of answers.entries())
        if (n % 5 === round) expect(answer.slice(-2)).toEqual(['E:22012', 'Z:I']);
        else expect(answer).toEqual(['1', '2', ROW, `D:1|s${n}|3`, 'C:SELECT 1', 'Z:I']);
    }
  });

  it('shows what was committed before', async () => {
    const reader = await shared();
    const writer = await server.connect();
    for (let i = 0; i < 50; i++) {
      const { rows } = await writer.query<{ version: string }>(
        "INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('mine', $1) RETURNING version",
        [`v${i}`],
      );
      const answer = await reader.run(...read('mine', '1', 'read'), m.sync());
      expect(answer).toEqual(['2', ROW, `D:${rows[0]?.version}|v${i}|6`, 'C:SELECT 1', 'Z:I']);
    }
    await writer.end();
  });

  it('is the same among other messages', async () => {
    const client = await shared();
    const one = [m.bind(['p1', '2'], { statement: 'read' }), m.execute()];
    const row = ['2', 'D:1|s1|3', 'C:SELECT 1'];
    expect(await client.run(...one, ...one, m.sync())).toEqual([...row, ...row, 'Z:I']);
    expect(await client.run(...one, m.flush(), m.sync())).toEqual([...row, 'Z:I']);
    expect(await client.run(...one, m.execute(), m.sync())).toEqual([...row, 'C:SELECT 0', 'Z:I']);
    expect(await client.run(one[0] ?? m.sync(), m.sync())).toEqual(['2', 'Z:I']);
    expect(await client.run(one[0] ?? m.sync(), m.execute(1), m.sync())).toEqual([
      '2',
      'D:1|s1|3',
      's',
      'Z:I',
    ]);
    expect(await client.run(...one, m.close('read'), m.sync())).toEqual([...row, '3', 'Z:I']);
    expect(await client.run(...one, m.sync())).toEqual(['E:26000', 'Z:I']);
    expect(await client.run(m.parse(READ), m.bind(['p1', '2']), m.query('SELECT 1'))).toEqual([
      ...['1', '2', 'T:?column?=23', 'D:1', 'C:SELECT 1', 'Z:I'],
    ]);
  });

  it('belongs to its transaction and to its settings', async () => {
    const client = await shared();
    const sql = 'SELECT updated_at::text FROM patient WHERE aggregate_id = $1 AND version > 0';
    const ask = (): Promise<string[]> => client.run(m.parse(sql), m.bind(['p1']), m.execute(), m.sync());
    await client.run(m.query('BEGIN'));
    await client.run(
      m.query("INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p1', 'x')"),
    );
    expect(await client.run(...read('p1', '1', 'read'), m.sync())).toContain('D:2|x|6');
    await client.run(m.query('ROLLBACK'));
    expect(await client.run(...read('p1', '1', 'read'), m.sync())).toContain('D:1|s1|6');
    for (let i = 0; i < 3; i++) expect((await ask())[2]).toMatch(/\+00$/);
    await client.run(m.query("SET TimeZone = 'Asia/Kolkata'"));
    expect((await ask())[2]).toMatch(/\+05:30$/);
    const early = await RawClient.ready(server.port, server.token, { TimeZone: 'Asia/Tokyo' });
    clients.push(early);
    for (let i = 0; i < 5; i++) {
      early.send(m.parse(sql), m.bind(['p1']), m.execute(), m.sync());
      expect((await early.until('Z'))[2]?.body.toString()).toMatch(/\+09$/);
    }
  });

  it('is refused to whoever may not read it', async () => {
    await shared();
    const stranger = await open(await server.tokenFor(['read:other:*', 'append:patient:*']));
    for (let i = 0; i < 4; i++)
      expect((await stranger.run(m.parse(READ), ...read('p1', '1'), m.sync())).slice(-2)).toEqual([
        ...['E:42501', 'Z:I'],
      ]);
    const some = await shared(await server.tokenFor(['read:patient:p1']));
    for (const [id, found] of [
      ['p1', 1],
      ['p2', 0],
    ] as const)
      expect(await some.run(...read(id, '1', 'read'), m.sync())).toContain(`C:SELECT ${found}`);
  });

  it('does not wait for others that wait for a lock, and can be cancelled', async () => {
    const [blocked, other] = await Promise.all([shared(), shared()]);
    const admin = await server.connect();
    await admin.query('CREATE AGGREGATE ward (beds int, EVENT opened)');
    await admin.query("INSERT INTO ward EVENTS opened (aggregate_id, beds) VALUES ('w', 3)");
    await admin.end();
    const wards = m.parse('SELECT beds + 1 FROM ward WHERE aggregate_id = $1', 'wards');
    for (let i = 0; i < 2; i++)
      await other.run(
        ...(i === 0 ? [wards] : []),
        m.bind(['w'], { statement: 'wards' }),
        m.execute(),
        m.sync(),
      );
    const { readModel } = server.server;
    await readModel.query('BEGIN');
    await readModel.query('LOCK TABLE patient IN ACCESS EXCLUSIVE MODE');
    blocked.send(...read('p1', '1', 'read'), m.sync());
    await new Promise((resolve) => setTimeout(resolve, 20));
    const answers = await Promise.all(
      Array.from({ length: 3 }, () =>
        other.run(m.bind(['w'], { statement: 'wards' }), m.execute(), m.sync()),
      ),
    );
    for (const answer of answers) expect(answer).toEqual(['2', 'D:4', 'C:SELECT 1', 'Z:I']);
    const { processId, secret } = blocked.key ?? { processId: 0, secret: Buffer.alloc(4) };
    await answerTo(server.port, encodeCancelRequest(processId, secret), true);
    expect((await blocked.until('Z')).map(({ type }) => String.fromCharCode(type)).slice(-2)).toEqual([
      'E',
      'Z',
    ]);
    await readModel.query('ROLLBACK');
    expect(await blocked.run(...read('p1', '1', 'read'), m.sync())).toContain('D:1|s1|6');
  });

  it('leaves no name taken that could not be prepared', async () => {
    const client = await open();
    const bad = m.parse('SELECT nothing FROM patient WHERE aggregate_id = $1', 'mine');
    const good = m.parse(READ, 'mine');
    expect(await client.run(bad, m.sync())).toEqual(['E:42703', 'Z:I']);
    expect(await client.run(bad, m.parse(READ, 'other'), m.sync())).toEqual(['E:42703', 'Z:I']);
    for (const name of ['mine', 'other']) {
      expect(await client.run(m.bind(['p1', '1'], { statement: name }), m.sync())).toEqual([
        'E:26000',
        'Z:I',
      ]);
      expect(await client.run(m.parse(READ, name), ...read('p1', '1', name), m.sync())).toContain('D:1|s1|6');
    }
    expect(await client.run(good, m.sync())).toEqual(['E:42P05', 'Z:I']);
  });

  it('is answered after more statements than are kept there', async () => {
    const client = await open();
    const ask = async (n: number): Promise<void> => {
      const sql = `SELECT version + ${n} FROM patient WHERE aggregate_id = $1`;
      const answer = await client.run(m.parse(sql), m.bind(['p3']), m.execute(), m.sync());
      expect(answer).toEqual(['1', '2', `D:${n + 1}`, 'C:SELECT 1', 'Z:I']);
    };
    for (let n = 0; n < 600; n++) await ask(n);
    for (const n of [0, 599, 0]) await ask(n);
  });

  it('goes on when the read model was lost', async () => {
    const many = await Promise.all(Array.from({ length: 8 }, () => shared()));
    const { readModel } = server.server;
    const { pid } = readModel;
    process.kill(pid ?? 0, 'SIGQUIT');
    await expect.poll(() => readModel.pid !== null && readModel.pid !== pid, { timeout: 20_000 }).toBe(true);
    const [first] = many;
    await expect
      .poll(() => first?.run(...read('p0', '1', 'read'), m.sync()), { timeout: 20_000 })
      .toContain('C:SELECT 1');
    const answers = await Promise.all(
      many.map((client, n) => client.run(...read(`p${n}`, '1', 'read'), m.sync())),
    );
    expect(answers.map((answer) => answer.slice(-5))).toEqual(
      many.map((_, n) => ['2', ROW, `D:1|s${n}|6`, 'C:SELECT 1', 'Z:I']),
    );
  });
});
