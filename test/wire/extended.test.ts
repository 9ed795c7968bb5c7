import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { decodeDataRow } from '../../server/protocol/backend/row.js';
import { startTestServer, type TestServer } from '../harness.js';
import { m, RawClient } from './raw.js';

const INSERT = 'INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ($1, $2)';
let server: TestServer;
let raw: RawClient;
let next = 0;
let id = '';

beforeAll(async () => {
  server = await startTestServer();
  const client = await server.connect();
  await client.query(
    'CREATE AGGREGATE patient (born date, seen timestamptz, weight numeric(6,2), ref uuid, visits bigint, alive boolean, status text, EVENT patient_updated)',
  );
  await client.end();
});
beforeEach(async () => {
  id = `x-${++next}`;
  raw = await RawClient.ready(server.port, server.token);
});
afterEach(() => raw.close());
afterAll(() => server.destroy());

function append(status: string | null, target = id): Buffer[] {
  return [m.parse(INSERT), m.bind([target, status]), m.execute()];
}
function select(sql: string, parameters: string[] = []): Buffer[] {
  return [m.parse(sql), m.bind(parameters), m.execute()];
}
const current = (): Buffer[] => select('SELECT version, status FROM patient WHERE aggregate_id = $1', [id]);

describe('pipelines', () => {
  it('answers dialect and relayed statements in the order they were sent', async () => {
    const sent = [...select('SELECT 1'), ...append('a'), ...select('SELECT 2'), ...append('b'), ...current()];
    expect(await raw.run(...sent, m.sync())).toEqual([
      ...['1', '2', 'D:1', 'C:SELECT 1'],
      ...['1', '2', 'C:INSERT 0 1'],
      ...['1', '2', 'D:2', 'C:SELECT 1'],
      ...['1', '2', 'C:INSERT 0 1'],
      ...['1', '2', 'D:2|b', 'C:SELECT 1'],
      'Z:I',
    ]);
    expect(await raw.run(...current(), m.sync())).toEqual(['1', '2', 'D:2|b', 'C:SELECT 1', 'Z:I']);
  });

  it('keeps none of several appends before one Sync when the second fails', async () => {
    const bad = [
      m.parse(`${INSERT} EXPECT VERSION 7`),
      m.bind([id, 'b']),
      m.execute(),
      ...select('SELECT 1'),
    ];
    const answer = await raw.run(...append('a'), ...bad, m.sync());
    expect(answer.filter((a) => a.startsWith('E'))).toEqual(['E:40001']);
    expect(answer.at(-1)).toBe('Z:I');
    expect(answer).not.toContain('D:1');
    expect(await raw.run(...current(), m.sync())).toEqual(['1', '2', 'C:SELECT 0', 'Z:I']);
  });

  it('keeps nothing when a relayed statement behind the append fails', async () => {
    const answer = await raw.run(...append('a'), ...select('SELECT 1/0'), m.sync());
    expect(answer.slice(-2)).toEqual(['E:22012', 'Z:I']);
    expect(await raw.run(...current(), m.sync())).toEqual(['1', '2', 'C:SELECT 0', 'Z:I']);
  });

  it('skips to Sync after an error, a Query in between too, with one ReadyForQuery per Sync', async () => {
    raw.send(m.parse('SELEC 1'), m.bind(), m.query('SELECT 5'), ...append('a'), m.sync());
    raw.send(...select('SELECT 6'), m.sync());
    const first = await raw.run();
    expect(first).toEqual(['E:42601', 'Z:I']);
    expect(await raw.run()).toEqual(['1', '2', 'D:6', 'C:SELECT 1', 'Z:I']);
    expect(await raw.run(m.sync())).toEqual(['Z:I']);
    expect(raw.frames).toEqual([]);
    expect(await raw.run(...current(), m.sync())).toContain('C:SELECT 0');
  });

  it('an error of the server itself stays behind the relayed answers before it', async () => {
    const relayed = select('SELECT 1');
    const answers = ['1', '2', 'D:1', 'C:SELECT 1'];
    expect(await raw.run(...relayed, m.parse('SELEC 1'), m.sync())).toEqual([...answers, 'E:42601', 'Z:I']);
    expect(await raw.run(...relayed, m.execute(0, 'no'), m.sync())).toEqual([...answers, 'E:34000', 'Z:I']);
  });

  it('sends an error at once, before any Sync', async () => {
    raw.send(m.parse('SELEC 1'), m.describe());
    expect((await raw.until('E')).length).toBe(1);
    raw.send(m.parse('SELECT nothing'), m.flush());
    expect(await raw.run(m.sync())).toEqual(['Z:I']);
  });

  it('answers at Flush without a ReadyForQuery', async () => {
    raw.send(m.parse('SELECT 1'), m.bind(), m.execute(), m.flush());
    const frames = await raw.until('C');
    expect(frames.length).toBe(4);
    raw.send(...append('f'), m.flush());
    expect((await raw.until('C')).length).toBe(3);
    expect(raw.frames).toEqual([]);
    expect(await raw.run(m.sync())).toEqual(['Z:I']);
    expect(await raw.run(...current(), m.sync())).toContain('D:1|f');
  });
});

describe('Describe', () => {
  it('knows parameters and columns of a dialect statement before Bind', async () => {
    const sql =
      'INSERT INTO patient EVENTS patient_updated (aggregate_id, born, seen, weight, ref, visits, alive, metadata) ' +
      'VALUES ($1, $2, $3, $4, $5, $6, $7, $8) EXPECT VERSION $9 RETURNING version, event_id, recorded_at';
    expect(await raw.run(m.parse(sql, 's'), m.describe('s'), m.sync())).toEqual([
      '1',
      't:25,1082,1184,1700,2950,20,16,3802,20',
      'T:version=20,event_id=2950,recorded_at=1184',
      'Z:I',
    ]);
    expect(await raw.run(m.parse(INSERT, 'n'), m.describe('n'), m.sync())).toEqual([
      '1',
      't:25,25',
      'n',
      'Z:I',
    ]);
    expect(await raw.run(m.parse(INSERT, 'v', [1043]), m.describe('v'), m.sync())).toContain('t:1043,25');
  });

  it('knows those of AS OF, events and CALL statements', async () => {
    const asOf = 'SELECT weight, born, version FROM patient AS OF VERSION $1 WHERE aggregate_id = $2';
    expect(await raw.run(m.parse(asOf), m.describe(), m.sync())).toEqual([
      '1',
      't:20,25',
      'T:weight=1700,born=1082,version=20',
      'Z:I',
    ]);
    const time = 'SELECT status FROM patient AS OF TIMESTAMP $1 p';
    expect(await raw.run(m.parse(time), m.describe(), m.sync())).toEqual([
      '1',
      't:1184',
      'T:status=25',
      'Z:I',
    ]);
    const events = 'SELECT payload, event_id FROM patient_events WHERE version = $1';
    expect(await raw.run(m.parse(events), m.describe(), m.sync())).toEqual([
      '1',
      't:20',
      'T:payload=3802,event_id=2950',
      'Z:I',
    ]);
    const call = await raw.run(m.parse('CALL verify($1, $2)'), m.describe(), m.sync());
    expect(call.slice(0, 2)).toEqual(['1', 't:25,25']);
    expect(call[2]).toMatch(/^T:verified=16,/);
  });

  it('of a portal gives the formats asked for; NoData where there are no rows', async () => {
    const sql = `${INSERT} RETURNING version, aggregate_id`;
    const bind = m.bind([id, 'x'], { results: [1, 0] });
    expect(await raw.run(m.parse(sql), bind, m.describePortal(), m.execute(), m.sync())).toEqual([
      ...['1', '2', 'T:version=20b,aggregate_id=25'],
      `D:\0\0\0\0\0\0\0\x01|${id}`,
      ...['C:INSERT 0 1', 'Z:I'],
    ]);
    expect(await raw.run(m.parse('BEGIN'), m.describe(), m.sync())).toEqual(['1', 't:', 'n', 'Z:I']);
  });
});

describe('binary values', () => {
  const hex = (text: string): Buffer => Buffer.from(text, 'hex');
  // 2000-01-11, 2000-01-01 00:00:01, 1.5, a UUID, 7, true
  const wire = [
    hex('0000000a'),
    hex('00000000000f4240'),
    hex('00020000000000010001' + '1388'),
    hex('a0eebc999c0b4ef8bb6d6bb9bd380a11'),
    hex('0000000000000007'),
    hex('01'),
  ];
  const columns = 'born, seen, weight, ref, visits, alive';
  const sql = `INSERT INTO patient EVENTS patient_updated (aggregate_id, ${columns}) VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING version`;

  async function row(text: string, results: readonly (0 | 1)[], parameter = id): Promise<string[]> {
    raw.send(m.parse(text), m.bind([parameter], { results }), m.execute(), m.sync());
    const data = (await raw.until('Z')).find(({ type }) => type === 0x44);
    return decodeDataRow(data?.body ?? Buffer.alloc(2)).map((value) => value?.toString('hex') ?? 'NULL');
  }

  it('are read as parameters and given as results', async () => {
    wire[2] = hex('0002000000000001' + '00011388'); // ndigits 2, weight 0, sign 0, dscale 1: 1, 5000
    const bind = m.bind([Buffer.from(id), ...wire], { formats: [0, 1, 1, 1, 1, 1, 1], results: [1] });
    expect(await raw.run(m.parse(sql), bind, m.execute(), m.sync())).toContain('C:INSERT 0 1');
    const text = await raw.run(
      ...select(`SELECT ${columns} FROM patient WHERE aggregate_id = $1`, [id]),
      m.sync(),
    );
    expect(text).toContain(
      'D:2000-01-11|2000-01-01 00:00:01+00|1.50|a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|7|t',
    );
    // numeric(6,2) shows the scale 2
    const expected = wire.map((value) => value.toString('hex')).with(2, '0002000000000002' + '00011388');
    expect(await row(`SELECT ${columns} FROM patient WHERE aggregate_id = $1`, [1])).toEqual(expected);
    expect(
      await row(`SELECT ${columns} FROM patient AS OF VERSION 1 WHERE aggregate_id = $1`, [1, 1, 1, 1, 1, 1]),
    ).toEqual(expected);
    expect(
      await row(`SELECT visits, alive, visits FROM patient_history WHERE aggregate_id = $1`, [1, 0, 0]),
    ).toEqual([expected[4], '74', '37']);
  });

  it('of RETURNING', async () => {
    const returning = `${INSERT} RETURNING version, event_id, recorded_at, position`;
    raw.send(m.parse(returning), m.bind([id, 'x'], { results: [1] }), m.execute(), m.sync());
    const data = (await raw.until('Z')).find(({ type }) => type === 0x44);
    const [version, eventId, recordedAt, position] = decodeDataRow(data?.body ?? Buffer.alloc(2));
    expect(version?.readBigInt64BE()).toBe(1n);
    expect(eventId?.length).toBe(16);
    expect(position?.length).toBe(8);
    const millis = Number(recordedAt?.readBigInt64BE() ?? 0n) / 1000 + Date.UTC(2000, 0, 1);
    expect(Math.abs(Date.now() - millis)).toBeLessThan(10_000);
  });

  it('that do not fit are refused', async () => {
    const short = m.bind([Buffer.from(id), ...wire.with(4, hex('07'))], { formats: [0, 1, 1, 1, 1, 1, 1] });
    expect(await raw.run(m.parse(sql), short, m.execute(), m.sync())).toEqual(['1', 'E:22P03', 'Z:I']);
    const few = m.bind([id]);
    expect(await raw.run(m.parse(sql), few, m.execute(), m.sync())).toEqual(['1', 'E:08P01', 'Z:I']);
    const results = m.bind([id, 'x'], { results: [0, 0] });
    expect(await raw.run(m.parse(`${INSERT} RETURNING version`), results, m.sync())).toEqual([
      '1',
      'E:08P01',
      'Z:I',
    ]);
  });
});

describe('statements and portals', () => {
  it('ROLLBACK TO drops the portals made since the savepoint, and keeps those from before', async () => {
    await raw.run(m.query('BEGIN'));
    await raw.run(m.parse('SELECT n FROM generate_series(1, 3) n', 's'), m.sync());
    await raw.run(m.parse(INSERT, 'i'), m.sync());
    const bind = (portal: string): Buffer => m.bind([], { statement: 's', portal });
    const bindAppend = (portal: string): Buffer => m.bind([id, 'x'], { statement: 'i', portal });
    expect(await raw.run(bind('before'), m.execute(1, 'before'), m.sync())).toEqual(['2', 'D:1', 's', 'Z:T']);
    for (let i = 0; i < 2; i++) {
      await raw.run(m.query('SAVEPOINT a'));
      expect(await raw.run(bind('since'), bindAppend('append'), m.sync())).toEqual(['2', '2', 'Z:T']);
      expect(await raw.run(bind('since'), m.sync())).toEqual(['E:42P03', 'Z:E']);
      expect(await raw.run(m.query('ROLLBACK TO a'))).toEqual(['C:ROLLBACK', 'Z:T']);
    }
    expect(await raw.run(m.execute(0, 'since'), m.sync())).toEqual(['E:34000', 'Z:E']);
    await raw.run(m.query('ROLLBACK TO a'));
    expect(await raw.run(m.execute(0, 'before'), m.sync())).toEqual(['D:2', 'D:3', 'C:SELECT 2', 'Z:T']);
    await raw.run(m.query('COMMIT'));
  });

  it('a portal with a row limit is suspended and goes on', async () => {
    const sql = 'SELECT n FROM generate_series(1, 3) n';
    expect(await raw.run(m.parse(sql), m.bind(), m.execute(2), m.execute(2), m.sync(), m.execute(1))).toEqual(
      ['1', '2', 'D:1', 'D:2', 's', 'D:3', 'C:SELECT 1', 'Z:I'],
    );
    // The portal died at Sync.
    expect(await raw.run(m.sync())).toEqual(['E:34000', 'Z:I']);
    expect(
      await raw.run(
        m.parse('BEGIN'),
        m.bind(),
        m.execute(),
        m.parse(sql),
        m.bind([], { portal: 'p' }),
        m.sync(),
      ),
    ).toContain('Z:T');
    expect(await raw.run(m.execute(1, 'p'), m.sync())).toEqual(['D:1', 's', 'Z:T']);
    expect(await raw.run(m.execute(0, 'p'), m.sync())).toEqual(['D:2', 'D:3', 'C:SELECT 2', 'Z:T']);
    expect(await raw.run(m.closePortal('p'), m.execute(0, 'p'), m.sync())).toEqual(['3', 'E:34000', 'Z:E']);
  });

  it('an append with a row limit runs once, and knows its position when Sync is next', async () => {
    const insert = m.parse(
      'INSERT INTO patient EVENTS patient_updated (aggregate_id) VALUES ($1), ($1) RETURNING version, position',
    );
    const first = await raw.run(insert, m.bind([id]), m.execute(1), m.sync());
    expect(first).toEqual(['1', '2', expect.stringMatching(/^D:1\|\d+$/), 's', 'Z:I']);
    const pieces = await raw.run(insert, m.bind([id]), m.execute(1), m.execute(1), m.execute(1), m.sync());
    expect(pieces.slice(2)).toEqual([
      expect.stringMatching(/^D:3\|/),
      's',
      expect.stringMatching(/^D:4\|/),
      's',
      'C:INSERT 0 2',
      'Z:I',
    ]);
    expect(await raw.run(insert, m.bind([id]), m.execute(), m.execute(), m.sync())).toContain('E:55000');
    expect(
      await raw.run(...select('SELECT version FROM patient WHERE aggregate_id = $1', [id]), m.sync()),
    ).toContain('D:4');
  });

  it('several reads of engine rows in one transaction of the simple protocol', async () => {
    await raw.run(...append('s'), m.sync());
    const read = m.query(`SELECT status FROM patient AS OF VERSION 1 WHERE aggregate_id = '${id}'`);
    await raw.run(m.query('BEGIN'));
    for (let i = 0; i < 2; i++) expect(await raw.run(read)).toContain('D:s');
    expect(await raw.run(m.query('COMMIT'))).toContain('Z:I');
  });

  it('named statements live until Close, the unnamed until the next Parse', async () => {
    await raw.run(m.parse(INSERT, 'ins'), m.parse('SELECT $1::int + 1', 'sel'), m.sync());
    expect(await raw.run(m.parse(INSERT, 'ins'), m.sync())).toEqual(['E:42P05', 'Z:I']);
    expect(await raw.run(m.parse('SELECT 1', 'sel'), m.sync())).toEqual(['E:42P05', 'Z:I']);
    for (const status of ['a', 'b'])
      expect(await raw.run(m.bind([id, status], { statement: 'ins' }), m.execute(), m.sync())).toEqual([
        '2',
        'C:INSERT 0 1',
        'Z:I',
      ]);
    expect(await raw.run(m.bind(['4'], { statement: 'sel' }), m.execute(), m.sync())).toContain('D:5');
    expect(await raw.run(m.close('ins'), m.close('sel'), m.close('never'), m.sync())).toEqual([
      '3',
      '3',
      '3',
      'Z:I',
    ]);
    for (const statement of ['ins', 'sel'])
      expect(await raw.run(m.bind(['1', '2'], { statement }), m.sync())).toEqual(['E:26000', 'Z:I']);
    expect(await raw.run(m.parse(INSERT, 'ins'), m.sync())).toEqual(['1', 'Z:I']);
    expect(await raw.run(...current(), m.sync())).toContain('D:2|b');
  });

  it('empty queries', async () => {
    for (const text of ['', ';', '-- ping', '/* x */ ;'])
      expect(await raw.run(m.query(text))).toEqual(['I', 'Z:I']);
    expect(await raw.run(m.parse(''), m.bind(), m.execute(), m.sync())).toEqual(['1', '2', 'I', 'Z:I']);
  });

  it('several commands are refused in Parse and run in a Query', async () => {
    expect(await raw.run(m.parse('SELECT 1; SELECT 2'), m.sync())).toEqual(['E:42601', 'Z:I']);
    const insert = `INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('${id}', 'q') RETURNING version`;
    expect(await raw.run(m.query(`SELECT 1 AS a; ${insert}; SELECT 2 AS b`))).toEqual([
      ...['T:a=23', 'D:1', 'C:SELECT 1'],
      ...['T:version=20', 'D:1', 'C:INSERT 0 1'],
      ...['T:b=23', 'D:2', 'C:SELECT 1'],
      'Z:I',
    ]);
    const failed = await raw.run(m.query(`${insert}; SELECT 1/0; SELECT 3`));
    expect(failed.slice(-2)).toEqual(['E:22012', 'Z:I']);
    expect(await raw.run(...current(), m.sync())).toContain('D:1|q');
  });
});

describe('transactions', () => {
  it('a failed one answers 25P02 until its end, and COMMIT says ROLLBACK', async () => {
    expect(await raw.run(m.query('BEGIN'))).toEqual(['C:BEGIN', 'Z:T']);
    expect(await raw.run(...append('lost'), m.sync())).toEqual(['1', '2', 'C:INSERT 0 1', 'Z:T']);
    // PostgreSQL folds the constant while it plans, in Bind.
    expect(await raw.run(...select('SELECT 1/0'), m.sync())).toEqual(['1', 'E:22012', 'Z:E']);
    expect(await raw.run(m.parse('SELECT 1'), m.sync())).toEqual(['E:25P02', 'Z:E']);
    expect(await raw.run(...append('x'), m.sync())).toEqual(['E:25P02', 'Z:E']);
    expect(await raw.run(m.parse('COMMIT'), m.bind(), m.execute(), m.sync())).toEqual([
      '1',
      '2',
      'C:ROLLBACK',
      'Z:I',
    ]);
    expect(await raw.run(...current(), m.sync())).toContain('C:SELECT 0');
  });

  it('shows its own appends to statements prepared before them, and to no one else', async () => {
    await raw.run(m.parse('SELECT version, status FROM patient WHERE aggregate_id = $1', 'read'), m.sync());
    const read = [m.bind([id], { statement: 'read' }), m.execute()];
    const begin = [m.parse('BEGIN'), m.bind(), m.execute()];
    expect(
      await raw.run(...begin, ...read, ...append('a'), ...read, ...append('b'), ...read, m.sync()),
    ).toEqual([
      ...['1', '2', 'C:BEGIN', '2', 'C:SELECT 0'],
      ...['1', '2', 'C:INSERT 0 1', '2', 'D:1|a', 'C:SELECT 1'],
      ...['1', '2', 'C:INSERT 0 1', '2', 'D:2|b', 'C:SELECT 1'],
      'Z:T',
    ]);
    const other = await RawClient.ready(server.port, server.token);
    expect(await other.run(...current(), m.sync())).toContain('C:SELECT 0');
    expect(await raw.run(m.query('COMMIT'))).toEqual(['C:COMMIT', 'Z:I']);
    expect(await other.run(...current(), m.sync())).toContain('D:2|b');
    other.close();
  });
});
