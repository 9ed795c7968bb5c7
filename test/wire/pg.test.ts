import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../harness.js';

const UPDATE = 'INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ($1, $2)';
const TYPES = `b boolean, i2 smallint, i4 integer, i8 bigint, n numeric(8,3), f4 real, f8 double precision, d date,
  tm time, ts timestamp, tz timestamptz, u uuid, j json, jb jsonb, v varchar(10), t text`;
let server: TestServer;
let client: pg.Client;
let next = 0;
let id = '';

beforeAll(async () => {
  server = await startTestServer();
  client = await server.connect();
  await client.query(
    `CREATE AGGREGATE patient (first_name text, status text, weight numeric(5,2),
      EVENT patient_created (first_name), EVENT patient_updated (status, weight))`,
  );
  await client.query(`CREATE AGGREGATE typed (${TYPES}, EVENT set)`);
});
beforeEach(() => {
  id = `p-${++next}-${randomUUID().slice(0, 8)}`;
});
afterAll(async () => {
  await client.end();
  await server.destroy();
});

async function version(of = id): Promise<string | undefined> {
  const { rows } = await client.query('SELECT version FROM patient WHERE aggregate_id = $1', [of]);
  return (rows[0] as { version: string } | undefined)?.version;
}

describe('appends', () => {
  it('takes parameters and gives typed RETURNING columns', async () => {
    const result = await client.query(
      `${UPDATE} RETURNING version, position, event_id, event_hash, recorded_at`,
      [id, "it's"],
    );
    const row = result.rows[0];
    expect(result.command).toBe('INSERT');
    expect(result.rowCount).toBe(1);
    expect(result.fields.map(({ dataTypeID }) => dataTypeID)).toEqual([20, 20, 2950, 25, 1184]);
    expect(row.version).toBe('1');
    expect(row.event_hash).toMatch(/^[0-9a-f]{64}$/);
    expect(Math.abs(row.recorded_at - Date.now())).toBeLessThan(10_000);
    const { rows } = await client.query('SELECT * FROM patient_events WHERE aggregate_id = $1', [id]);
    expect(rows[0]).toMatchObject({
      ...row,
      payload: { status: "it's" },
      actor: 'user:tester',
      aggregate_type: 'patient',
    });
  });

  it('takes every type of field as a parameter', async () => {
    const names = TYPES.split(',').flatMap((part, i, all) =>
      // numeric(8,3) holds a comma of its own.
      all[i - 1]?.endsWith('(8') ? [] : [part.trim().split(' ')[0] ?? ''],
    );
    const values: unknown[] = [
      ...[true, -7, 2147483647, '9007199254740993', '12345.678', 1.5, 1e-300],
      ...['1999-12-31', '23:59:59.5', '2001-02-03 04:05:06', new Date('2001-02-03T04:05:06.789Z')],
      ...[randomUUID(), JSON.stringify({ a: [1] }), { b: null }, 'ten chars!', 'zwölf 漢 🙂'],
    ];
    const list = names.map((_, i) => `$${i + 2}`).join(', ');
    await client.query(
      `INSERT INTO typed EVENTS set (aggregate_id, ${names.join(', ')}) VALUES ($1, ${list})`,
      [id, ...values],
    );
    for (const from of ['typed', 'typed AS OF VERSION 1']) {
      const { rows } = await client.query(
        `SELECT *, d::text AS d, ts::text AS ts FROM ${from} WHERE aggregate_id = $1`,
        [id],
      );
      expect(rows[0]).toMatchObject({
        ...Object.fromEntries(names.map((name, i) => [name, values[i]])),
        ...{ j: { a: [1] }, d: '1999-12-31', ts: '2001-02-03 04:05:06' },
      });
    }
    const nulls = names.map(() => null);
    await client.query(
      `INSERT INTO typed EVENTS set (aggregate_id, ${names.join(', ')}) VALUES ($1, ${list})`,
      [id, ...nulls],
    );
    const { rows } = await client.query('SELECT * FROM typed WHERE aggregate_id = $1', [id]);
    const row = rows[0] as Record<string, unknown>;
    expect(names.map((name) => row[name])).toEqual(nulls);
  });

  it('runs a named statement again and again', async () => {
    const insert = { name: 'insert', text: `${UPDATE} EXPECT VERSION $3 RETURNING version` };
    const select = { name: 'select', text: 'SELECT version, status FROM patient WHERE aggregate_id = $1' };
    for (let n = 0; n < 12; n++) {
      const appended = await client.query({ ...insert, values: [id, `s${n}`, n] });
      expect(appended.rows).toEqual([{ version: String(n + 1) }]);
      const { rows } = await client.query({ ...select, values: [id] });
      expect(rows).toEqual([{ version: String(n + 1), status: `s${n}` }]);
    }
  });

  it('looks back with parameters', async () => {
    const positions: string[] = [];
    const times: Date[] = [];
    for (const status of ['a', 'b', 'c']) {
      const { rows } = await client.query(`${UPDATE} RETURNING position`, [id, status]);
      positions.push(rows[0].position as string);
      await new Promise((resolve) => setTimeout(resolve, 15));
      times.push(new Date());
      await new Promise((resolve) => setTimeout(resolve, 15));
    }
    const look = async (kind: string, at: unknown): Promise<unknown> => {
      const sql = `SELECT status FROM patient AS OF ${kind} $1 WHERE aggregate_id = $2`;
      const { rows } = await client.query(sql, [at, id]);
      return (rows[0] as { status: string } | undefined)?.status;
    };
    for (const [i, status] of ['a', 'b', 'c'].entries()) {
      expect(await look('VERSION', i + 1)).toBe(status);
      expect(await look('POSITION', positions[i])).toBe(status);
      expect(await look('TIMESTAMP', times[i])).toBe(status);
    }
    expect(await look('POSITION', Number(positions[0]) - 1)).toBeUndefined();
    await expect(look('VERSION', null)).rejects.toMatchObject({ code: '22023' });
  });

  it('an idempotent append gives the first result again', async () => {
    const sql = `INSERT INTO patient EVENTS patient_updated (aggregate_id, status, event_id) VALUES ($1, $2, $3)
      ON CONFLICT (event_id) DO NOTHING RETURNING version, position, event_hash, recorded_at`;
    const eventId = randomUUID();
    const first = await client.query(sql, [id, 'once', eventId]);
    await client.query(UPDATE, [id, 'other']);
    const again = await client.query(sql, [id, 'once', eventId]);
    expect(again.rows).toEqual(first.rows);
    expect([first.rowCount, again.rowCount]).toEqual([1, 0]);
    expect(await version()).toBe('2');
    const both = await Promise.all([1, 2, 3, 4].map(() => server.connect()));
    const racing = randomUUID();
    const answers = await Promise.all(both.map((c) => c.query(sql, [id, 'race', racing])));
    for (const { rows } of answers) expect(rows).toEqual(answers[0]?.rows);
    expect(answers.map((a) => a.rowCount).sort()).toEqual([0, 0, 0, 1]);
    expect(await version()).toBe('3');
    await Promise.all(both.map((c) => c.end()));
  });

  it('transactions commit or roll back as one', async () => {
    await client.query('BEGIN');
    await client.query(UPDATE, [id, 'a']);
    await client.query(UPDATE, [`${id}-2`, 'b']);
    expect(await version()).toBe('1');
    await client.query('ROLLBACK');
    expect([await version(), await version(`${id}-2`)]).toEqual([undefined, undefined]);
    await client.query('BEGIN');
    await client.query(UPDATE, [id, 'a']);
    await client.query(UPDATE, [`${id}-2`, 'b']);
    await client.query('COMMIT');
    expect([await version(), await version(`${id}-2`)]).toEqual(['1', '1']);
  });
});

describe('errors', () => {
  it.each([
    [
      'a wrong field',
      '42703',
      `INSERT INTO patient EVENTS patient_updated (aggregate_id, x) VALUES ('e', 1)`,
    ],
    ['a wrong event', '42704', `INSERT INTO patient EVENTS patient_x (aggregate_id) VALUES ('e')`],
    ['a wrong aggregate', '42P01', `INSERT INTO patienT_x EVENTS y (aggregate_id) VALUES ('e')`],
    [
      'a wrong type',
      '22P02',
      `INSERT INTO patient EVENTS patient_updated (aggregate_id, weight) VALUES ('e', 'x')`,
    ],
    ['a value too large', '22003', `INSERT INTO typed EVENTS set (aggregate_id, i2) VALUES ('e', 99999)`],
    ['no id', '23502', `INSERT INTO patient EVENTS patient_updated (aggregate_id) VALUES (NULL)`],
    ['UPDATE', '0A000', `UPDATE patient SET status = 'x'`],
  ])('%s is %s and the session goes on', async (_name, code, sql) => {
    await expect(client.query(sql)).rejects.toMatchObject({ code, severity: 'ERROR' });
    await expect(client.query({ text: sql, values: [] })).rejects.toMatchObject({ code });
    expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    expect(await version('e')).toBeUndefined();
  });

  it('a syntax error has its position', async () => {
    const sql = "INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('é', 'x') EXPCT 5";
    await expect(client.query(sql)).rejects.toMatchObject({
      code: '42601',
      position: String(sql.indexOf('EXPCT') + 1),
    });
  });

  it('a failed expectation is 40001 with both numbers', async () => {
    await client.query(UPDATE, [id, 'a']);
    await expect(client.query(`${UPDATE} EXPECT VERSION $3`, [id, 'b', 7])).rejects.toMatchObject({
      code: '40001',
      detail: expect.stringMatching(/\b7\b.*\b1\b/) as string,
    });
    expect(await version()).toBe('1');
  });

  it('an event_id used twice is 23505', async () => {
    const sql =
      'INSERT INTO patient EVENTS patient_updated (aggregate_id, status, event_id) VALUES ($1, $2, $3)';
    const eventId = randomUUID();
    await client.query(sql, [id, 'a', eventId]);
    await expect(client.query(sql, [id, 'a', eventId])).rejects.toMatchObject({ code: '23505' });
    await expect(
      client.query(`${sql} ON CONFLICT (event_id) DO NOTHING`, [id, 'b', eventId]),
    ).rejects.toMatchObject({ code: '23505' });
    expect(await version()).toBe('1');
  });
});

describe('concurrency', () => {
  it('one writer wins each version, positions have no gaps', async () => {
    const clients = await Promise.all(Array.from({ length: 8 }, () => server.connect()));
    const first = await client.query('SELECT max(position) AS position FROM eventful.events');
    const details: string[] = [];
    const states: string[] = [];
    const winners: string[] = [];
    for (let round = 0; round < 10; round++) {
      const results = await Promise.allSettled(
        clients.map((c, i) => c.query(`${UPDATE} EXPECT VERSION $3 RETURNING version`, [id, `w${i}`, round])),
      );
      for (const result of results) {
        if (result.status === 'fulfilled') winners.push(result.value.rows[0].version as string);
        else {
          const { code, detail } = result.reason as { code: string; detail: string };
          states.push(code);
          details.push(detail);
          expect(detail).toMatch(new RegExp(`expected version ${round}, actual version ${round + 1}\\b`));
        }
      }
    }
    expect(winners).toEqual(Array.from({ length: 10 }, (_, i) => String(i + 1)));
    expect([states.length, new Set(states)]).toEqual([70, new Set(['40001'])]);
    expect(await version()).toBe('10');
    await Promise.all(
      clients.flatMap((c, i) => [0, 1, 2, 3, 4].map((n) => c.query(UPDATE, [`${id}-${i}`, `${n}`]))),
    );
    const { rows } = await client.query(
      'SELECT count(*)::int AS n, max(position) - $1::bigint AS span, count(DISTINCT position)::int AS different FROM eventful.events WHERE position > $1',
      [first.rows[0].position],
    );
    expect(rows[0]).toEqual({ n: 50, span: '50', different: 50 });
    await Promise.all(clients.map((c) => c.end()));
  });
});

it('CALL verify tells how many checkpoints it held against the store', async () => {
  const count = async (): Promise<number> =>
    Number((await client.query<{ checkpoints: string }>('CALL verify()')).rows[0]?.checkpoints);
  await client.query('CALL checkpoint()');
  const before = await count();
  expect(before).toBeGreaterThan(0);
  const { rows } = await client.query('SELECT count(*)::int AS n FROM eventful.checkpoints');
  // A timer may have made one in between.
  expect([before, before + 1]).toContain((rows[0] as { n: number }).n);
  await client.query(UPDATE, ['checked', 'x']);
  await client.query('CALL checkpoint()');
  expect(await count()).toBeGreaterThan(before);
});
