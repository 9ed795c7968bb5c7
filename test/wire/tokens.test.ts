import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../harness.js';

const UPDATE = 'INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ($1, $2)';
let server: TestServer;
let admin: pg.Client;

beforeAll(async () => {
  server = await startTestServer();
  admin = await server.connect();
  await admin.query('CREATE AGGREGATE patient (status text, EVENT patient_updated)');
  await admin.query('CREATE AGGREGATE secret (status text, EVENT kept)');
  for (const id of ['p-1', 'p-10', 'p-11', 'q-1']) await admin.query(UPDATE, [id, 'seen']);
  await admin.query("INSERT INTO secret EVENTS kept (aggregate_id, status) VALUES ('p-1', 'x')");
});
afterAll(async () => {
  await admin.end();
  await server.destroy();
});

async function withToken<T>(grants: string[], run: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = await server.connect(await server.tokenFor(grants));
  try {
    return await run(client);
  } finally {
    await client.end();
  }
}

describe('read grants', () => {
  const everywhere = [
    'SELECT aggregate_id FROM patient',
    'SELECT aggregate_id FROM patient AS OF VERSION 1',
    'SELECT aggregate_id FROM patient AS OF POSITION 1000',
    'SELECT aggregate_id FROM patient_events',
    'SELECT aggregate_id FROM patient_history',
    "SELECT aggregate_id FROM eventful.events WHERE aggregate_type = 'patient'",
  ];

  it.each([
    ['read:patient:p-1', ['p-1']],
    ['read:patient:p-1*', ['p-1', 'p-10', 'p-11']],
    ['read:patient', ['p-1', 'p-10', 'p-11', 'q-1']],
    ['read:*:p-10', ['p-10']],
  ])('%s sees exactly that, everywhere', async (grant, expected) => {
    await withToken([grant], async (client) => {
      for (const sql of everywhere) {
        const { rows } = await client.query(sql);
        expect(rows.map((row) => row.aggregate_id as string).sort(), sql).toEqual(expected);
      }
    });
  });

  it('other types and ids are denied with 42501', async () => {
    await withToken(['read:patient:p-1', 'append:patient:p-1'], async (client) => {
      for (const sql of [
        'SELECT * FROM secret',
        'SELECT * FROM secret AS OF VERSION 1',
        'SELECT * FROM secret_events',
        "CALL prove('patient', 'p-10', 1)",
        "CALL verify('patient', 'p-10')",
        "CALL verify('patient')",
        'CALL verify()',
        'SELECT * FROM eventful.tokens',
        'CREATE AGGREGATE mine (EVENT e)',
        "COMMENT ON AGGREGATE patient IS 'x'",
        "CALL token_generate('user', 'me', 'admin')",
        "CALL token_revoke('00000000-0000-4000-8000-000000000000')",
      ])
        await expect(client.query(sql), sql).rejects.toMatchObject({ code: '42501' });
      const counts = await client.query('SELECT aggregate_type, aggregates FROM eventful.aggregates');
      expect(counts.rows).toEqual([{ aggregate_type: 'patient', aggregates: null }]);
      expect((await client.query("CALL prove('patient', 'p-1', 1)")).rows).toHaveLength(1);
      // Its own appends in a transaction, and nothing of the others.
      await client.query('BEGIN');
      await client.query(UPDATE, ['p-1', 'mine']);
      const { rows } = await client.query('SELECT aggregate_id, status FROM patient');
      expect(rows).toEqual([{ aggregate_id: 'p-1', status: 'mine' }]);
      await client.query('ROLLBACK');
    });
  });
});

describe('append grants', () => {
  it('are exact, and reading is not among them', async () => {
    await withToken(['append:patient:a-*', 'append:patient:b'], async (client) => {
      await client.query(UPDATE, ['a-1', 'x']);
      await client.query(UPDATE, ['b', 'x']);
      for (const id of ['b-1', 'a', 'p-1'])
        await expect(client.query(UPDATE, [id, 'x'])).rejects.toMatchObject({ code: '42501' });
      const mixed = "INSERT INTO patient EVENTS patient_updated (aggregate_id) VALUES ('a-1'), ('p-1')";
      await expect(client.query(mixed)).rejects.toMatchObject({ code: '42501' });
      await expect(client.query('SELECT * FROM patient_events')).rejects.toMatchObject({ code: '42501' });
      const copied =
        'INSERT INTO patient EVENTS patient_updated (aggregate_id, status) SELECT $1, status FROM secret';
      await expect(client.query(copied, ['a-1'])).rejects.toMatchObject({ code: '42501' });
    });
    const { rows } = await admin.query(
      "SELECT aggregate_id, version FROM patient WHERE aggregate_id ~ '^[ab]' ORDER BY 1",
    );
    expect(rows).toEqual([
      { aggregate_id: 'a-1', version: '1' },
      { aggregate_id: 'b', version: '1' },
    ]);
  });
});

describe('write limits', () => {
  it('are counted exactly, also by several connections at once', async () => {
    const token = await server.tokenFor(['append:patient'], { limit: 10n });
    const clients = await Promise.all([1, 2, 3, 4].map(() => server.connect(token)));
    const results = await Promise.allSettled(
      clients.flatMap((client, c) =>
        [0, 1, 2, 3, 4].map((n) => client.query(UPDATE, [`limit-${c}`, `${n}`])),
      ),
    );
    const refused = results.filter((result) => result.status === 'rejected');
    expect(results.length - refused.length).toBe(10);
    expect(new Set(refused.map(({ reason }) => (reason as { code: string }).code))).toEqual(
      new Set(['53400']),
    );
    const { rows } = await admin.query(
      "SELECT count(*)::int AS n FROM patient_events WHERE aggregate_id LIKE 'limit-%'",
    );
    expect(rows).toEqual([{ n: 10 }]);
    await Promise.all(clients.map((client) => client.end()));
  });

  it('a statement that would pass the limit writes nothing, and failures are not counted', async () => {
    const client = await server.connect(
      await server.tokenFor(['append:patient', 'read:patient'], { limit: 2n }),
    );
    const insert = (rows: string): Promise<unknown> =>
      client.query(`INSERT INTO patient EVENTS patient_updated (aggregate_id) VALUES ${rows}`);
    await expect(insert("('l'), ('l'), ('l')")).rejects.toMatchObject({ code: '53400' });
    await expect(client.query(`${UPDATE} EXPECT VERSION 9`, ['l', 'x'])).rejects.toMatchObject({
      code: '40001',
    });
    await insert("('l'), ('l')");
    await expect(insert("('l')")).rejects.toMatchObject({ code: '53400' });
    expect((await client.query("SELECT version FROM patient WHERE aggregate_id = 'l'")).rows).toEqual([
      { version: '2' },
    ]);
    await client.end();
  });
});

describe('tokens', () => {
  it('wrong ones are 28P01 at connect', async () => {
    const good = await server.tokenFor(['admin']);
    for (const wrong of ['nonsense', '', `${good.slice(0, -4)}AAAA`, `${good}x`])
      await expect(server.connect(wrong), wrong.slice(-6)).rejects.toMatchObject({ code: '28P01' });
  });

  it('a revoked one is refused at the next statement and at connect', async () => {
    const { rows } = await admin.query("CALL token_generate('user', 'revoked', 'read:patient')");
    const { token, token_id: tokenId } = rows[0] as { token: string; token_id: string };
    const client = await server.connect(token);
    expect((await client.query('SELECT 1 AS one')).rows).toHaveLength(1);
    await admin.query('CALL token_revoke($1)', [tokenId]);
    await expect(client.query('SELECT 1')).rejects.toMatchObject({ code: '28P01' });
    await expect(client.query('SELECT $1::int', [1])).rejects.toMatchObject({ code: '28P01' });
    await expect(server.connect(token)).rejects.toMatchObject({ code: '28P01' });
    await client.end();
  });

  it('an expired one is refused', async () => {
    const token = await server.tokenFor(['read:patient'], { seconds: 2 });
    const client = await server.connect(token);
    expect((await client.query('SELECT 1 AS one')).rows).toHaveLength(1);
    await new Promise((resolve) => setTimeout(resolve, 3100));
    await expect(client.query('SELECT 1')).rejects.toMatchObject({ code: '28P01' });
    await expect(server.connect(token)).rejects.toMatchObject({ code: '28P01' });
    await client.end();
  });
});
