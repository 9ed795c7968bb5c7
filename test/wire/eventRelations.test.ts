/** Schema `events` as drivers and object mappers use it: the INSERTs they are known to send, and what they ask the catalogue. */
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../harness.js';
import { m, RawClient } from './raw.js';

let server: TestServer;
let client: pg.Client;
let next = 0;
let id = '';

beforeAll(async () => {
  server = await startTestServer();
  client = await server.connect();
  await client.query(
    `CREATE AGGREGATE patient (name text, born date, weight numeric(6,2), alive boolean, about jsonb, seen timestamptz,
      EVENT patient_created (name, born, weight, alive, about), EVENT patient_seen (seen))`,
  );
});
beforeEach(() => (id = `x-${++next}`));
afterAll(async () => {
  await client.end();
  await server.destroy();
});

interface Row {
  readonly [column: string]: unknown;
}
const rowsOf = async (text: string, values: unknown[] = []): Promise<Row[]> =>
  (await client.query<Row>(text, values)).rows;
const state = async (of = id): Promise<Row | undefined> =>
  (
    await rowsOf('SELECT version, name, born::text, weight, alive FROM patient WHERE aggregate_id = $1', [of])
  )[0];

describe('INSERTs of object mappers', () => {
  it.each([
    [
      'Hibernate and JDBC',
      'insert into events.patient_created (name,alive,aggregate_id) values ($2,$3,$1)',
      ['Ada', true],
      0,
    ],
    [
      'Django',
      `INSERT INTO "events"."patient_created" ("aggregate_id", "name", "alive") VALUES ($1, $2, $3)
       RETURNING "events"."patient_created"."event_id"`,
      ['Ada', true],
      1,
    ],
    [
      'Drizzle, which writes DEFAULT for what it was not given',
      `insert into "events"."patient_created" ("aggregate_id", "name", "born", "alive", "event_id", "metadata")
       values ($1, $2, default, $3, default, default) returning "aggregate_id", "name", "born", "event_id", "version"`,
      ['Ada', true],
      1,
    ],
    [
      'TypeORM',
      `INSERT INTO "events"."patient_created"("event_id", "aggregate_id", "name", "alive") VALUES (DEFAULT, $1, $2, $3) RETURNING "event_id"`,
      ['Ada', true],
      1,
    ],
    [
      'Prisma',
      `INSERT INTO "eventful"."events"."patient_created" ("aggregate_id","name","alive") VALUES ($1,$2,$3)
       RETURNING "events"."patient_created"."event_id", "events"."patient_created"."name"`,
      ['Ada', true],
      1,
    ],
    [
      'SQLAlchemy, of many rows at once',
      `INSERT INTO events.patient_created (aggregate_id, name, alive) SELECT p0::TEXT, p1::TEXT, p2::BOOLEAN
       FROM (VALUES ($1, $2, $3::BOOLEAN, 0)) AS imp_sen(p0, p1, p2, sen_counter) ORDER BY sen_counter
       RETURNING events.patient_created.version, events.patient_created.event_id, events.patient_created.event_id AS event_id__1`,
      ['Ada', true],
      1,
    ],
  ] as const)('%s', async (_, sql, values, returned) => {
    const { rows, rowCount, command } = await client.query<Row>(sql, [id, ...values]);
    expect({ rows: rows.length, rowCount, command }).toEqual({
      rows: returned,
      rowCount: 1,
      command: 'INSERT',
    });
    expect(await state()).toEqual({ version: '1', name: 'Ada', born: null, weight: null, alive: true });
    const [event] = await rowsOf(
      'SELECT event_type, payload, event_id FROM patient_events WHERE aggregate_id = $1',
      [id],
    );
    expect(event).toMatchObject({ event_type: 'patient_created', payload: { name: 'Ada' } });
    // What was left out, or was DEFAULT, is not in the event at all.
    expect(Object.keys(event?.['payload'] as object).sort()).toEqual(['alive', 'name']);
    for (const row of rows.filter((r) => 'event_id' in r)) expect(row['event_id']).toBe(event?.['event_id']);
  });

  it('DEFAULT leaves a field as it is, NULL clears it', async () => {
    const sql = 'INSERT INTO events.patient_created (aggregate_id, name, weight) VALUES ($1, $2, 70.5)';
    await client.query(sql, [id, 'Ada']);
    await client.query(
      'INSERT INTO events.patient_created (aggregate_id, name, weight) VALUES ($1, DEFAULT, NULL)',
      [id],
    );
    expect(await state()).toMatchObject({ version: '2', name: 'Ada', weight: null });
  });

  it('what RETURNING gives of fields is typed, in text and in binary', async () => {
    const raw = await RawClient.ready(server.port, server.token);
    const sql = `INSERT INTO events.patient_created VALUES ($1, $2, $3, $4, $5, $6, DEFAULT, '{"a":1}') RETURNING *`;
    const values = [id, 'Ada', '1815-12-10', '61.50', 'yes', '{"b": [1, 2]}'];
    expect(await raw.run(m.parse(sql), m.describe(), m.sync())).toEqual([
      '1',
      't:25,25,1082,1700,16,3802',
      'T:aggregate_id=25,name=25,born=1082,weight=1700,alive=16,about=3802,event_id=2950,metadata=3802,' +
        'expected_version=20,version=20,position=20,recorded_at=1184,actor=25,event_hash=25',
      'Z:I',
    ]);
    const [, , data] = await raw.run(m.parse(sql), m.bind(values), m.execute(), m.sync());
    expect(data).toMatch(
      new RegExp(
        `^D:${id}\\|Ada\\|1815-12-10\\|61\\.50\\|t\\|\\{"b": \\[1, 2\\]\\}\\|[0-9a-f-]{36}\\|\\{"a":1\\}\\|NULL\\|1\\|\\d+\\|`,
      ),
    );
    const binary = await client.query<Row>({
      text: 'INSERT INTO events.patient_created (aggregate_id, born, alive) VALUES ($1, $2, $3) RETURNING alive, version',
      values: [id, '2000-02-29', 'off'],
      binary: true,
    } as pg.QueryConfig);
    expect(binary.rows[0]).toMatchObject({ alive: false });
    raw.close();
  });

  it('a named prepared statement is used again and again', async () => {
    const query = {
      name: 'seen',
      text: 'INSERT INTO events.patient_seen (aggregate_id, seen, expected_version) VALUES ($1, $2, $3) RETURNING version',
    };
    for (let version = 0; version < 3; version++) {
      const { rows } = await client.query<Row>({ ...query, values: [id, new Date(), version] });
      expect(rows).toEqual([{ version: String(version + 1) }]);
    }
    await expect(client.query({ ...query, values: [id, new Date(), 1] })).rejects.toMatchObject({
      code: '40001',
    });
  });

  it('in a transaction, the event_id that RETURNING shows is the one that is committed', async () => {
    await client.query('BEGIN');
    const sql = 'INSERT INTO events.patient_created (aggregate_id, name) VALUES ($1, $2) RETURNING event_id';
    const [shown] = await rowsOf(sql, [id, 'Ada']);
    await client.query('COMMIT');
    expect(await rowsOf('SELECT event_id FROM events.patient_created WHERE aggregate_id = $1', [id])).toEqual(
      [shown],
    );
  });

  it('is refused where INSERT … EVENTS is: grants, write limits, read-only transactions', async () => {
    const limited = await server.connect(await server.tokenFor(['append:patient:y-*'], { limit: 1n }));
    const insert = (of: string): Promise<unknown> =>
      limited.query('INSERT INTO events.patient_created (aggregate_id, name) VALUES ($1, $2)', [of, 'Ada']);
    await expect(insert('z-1')).rejects.toMatchObject({ code: '42501' });
    await insert('y-1');
    await expect(insert('y-2')).rejects.toMatchObject({ code: '53400' });
    await expect(limited.query('SELECT * FROM events.patient_created')).rejects.toMatchObject({
      code: '42501',
    });
    await limited.query('BEGIN READ ONLY');
    await expect(insert('y-3')).rejects.toMatchObject({ code: '25006' });
    await limited.query('ROLLBACK');
    await limited.end();
  });
});

describe('COPY', () => {
  async function copy(sql: string, data: string): Promise<void> {
    const raw = await RawClient.ready(server.port, server.token);
    const frame = (type: string, body: Buffer): Buffer => {
      const head = Buffer.alloc(5);
      head.write(type, 0);
      head.writeUInt32BE(4 + body.length, 1);
      return Buffer.concat([head, body]);
    };
    const answer = await raw.run(m.query(sql), frame('d', Buffer.from(data)), frame('c', Buffer.alloc(0)));
    raw.close();
    expect(answer.at(-2)).toMatch(/^C:COPY \d/);
  }

  it('takes text and csv, with a column list or all that can be given', async () => {
    await copy('COPY events.patient_created (aggregate_id, name, alive) FROM STDIN', `${id}\tAda\\tB\tt\n`);
    expect(await state()).toMatchObject({ version: '1', name: 'Ada\tB', alive: true });
    await copy(
      'COPY "events"."patient_created" FROM STDIN WITH (FORMAT csv)',
      `${id},"Ada, B",1815-12-10,,f,"{""a"":1}",,"{""why"":""copy""}",1\n`,
    );
    expect(await state()).toEqual({
      version: '2',
      name: 'Ada, B',
      born: '1815-12-10',
      weight: null,
      alive: false,
    });
    const [last] = await rowsOf(
      'SELECT metadata, about FROM events.patient_created WHERE aggregate_id = $1 AND version = 2',
      [id],
    );
    expect(last).toEqual({ metadata: { why: 'copy' }, about: { a: 1 } });
  });
});

describe('the catalogue', () => {
  it('lists each relation with columns, types, key and comment, also to a token that may only append', async () => {
    const appender = await server.connect(await server.tokenFor(['append:patient:*']));
    for (const reader of [client, appender]) {
      const { rows: tables } = await reader.query<Row>(
        `SELECT table_name, table_type, is_insertable_into FROM information_schema.tables WHERE table_schema = 'events' ORDER BY 1`,
      );
      expect(tables).toEqual(
        ['patient_created', 'patient_seen'].map((name) => ({
          table_name: name,
          table_type: 'BASE TABLE',
          is_insertable_into: 'YES',
        })),
      );
      const { rows: columns } = await reader.query<Row>(
        `SELECT column_name, data_type, numeric_precision, is_nullable, is_generated FROM information_schema.columns
         WHERE table_schema = 'events' AND table_name = 'patient_created' ORDER BY ordinal_position`,
      );
      expect(columns.map((c) => Object.values(c).join(' '))).toEqual([
        'aggregate_id text  NO NEVER',
        'name text  YES NEVER',
        'born date  YES NEVER',
        'weight numeric 6 YES NEVER',
        'alive boolean  YES NEVER',
        'about jsonb  YES NEVER',
        'event_id uuid  NO NEVER',
        'metadata jsonb  YES NEVER',
        'expected_version bigint 64 YES NEVER',
        'version bigint 64 YES ALWAYS',
        'position bigint 64 YES ALWAYS',
        'recorded_at timestamp with time zone  YES ALWAYS',
        'actor text  YES ALWAYS',
        'event_hash text  YES ALWAYS',
      ]);
    }
    await appender.end();
    const [described] = await rowsOf(
      `SELECT obj_description(c.oid) AS about, array_agg(a.attname::text) AS key FROM pg_class c
       JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
       WHERE c.oid = 'events.patient_created'::regclass GROUP BY c.oid`,
    );
    expect(described).toEqual({
      about: expect.stringContaining('Event patient_created of aggregate patient'),
      key: ['event_id'],
    });
  });

  it('follows the schema: a field an open aggregate meets is a column from then on', async () => {
    await client.query('CREATE AGGREGATE note (EVENT note_written)');
    const columns = async (): Promise<string[]> =>
      (
        await rowsOf(
          `SELECT column_name FROM information_schema.columns WHERE table_schema = 'events' AND table_name = 'note_written' ORDER BY ordinal_position`,
        )
      ).map((row) => String(row['column_name']));
    expect((await columns()).slice(0, 2)).toEqual(['aggregate_id', 'event_id']);
    await client.query("INSERT INTO events.note_written (aggregate_id, said) VALUES ('n', 'hello')");
    expect((await columns()).slice(0, 3)).toEqual(['aggregate_id', 'said', 'event_id']);
    expect(await rowsOf('SELECT said, version FROM events.note_written')).toEqual([
      { said: 'hello', version: '1' },
    ]);
  });

  it('gives the rows of a token’s own aggregates, and is joined like any table', async () => {
    await client.query(
      "INSERT INTO events.patient_created (aggregate_id, name) VALUES ('own-1', 'A'), ('not-1', 'B')",
    );
    const reader = await server.connect(await server.tokenFor(['read:patient:own-*']));
    const { rows } = await reader.query(
      'SELECT c.name, p.version FROM events.patient_created c JOIN patient p USING (aggregate_id) WHERE c.name = ANY ($1)',
      [['A', 'B']],
    );
    expect(rows).toEqual([{ name: 'A', version: '1' }]);
    await reader.end();
  });
});

describe('views through a driver', () => {
  it('are made, filled, read and dropped in the extended protocol', async () => {
    const raw = await RawClient.ready(server.port, server.token);
    const run = (sql: string): Promise<string[]> =>
      raw.run(m.parse(sql), m.describe(), m.bind(), m.execute(), m.sync());
    expect(await run('CREATE VIEW mine AS SELECT 1 AS a')).toEqual([
      '1',
      't:',
      'n',
      '2',
      'C:CREATE VIEW',
      'Z:I',
    ]);
    expect(await run('CREATE MATERIALIZED VIEW kept AS TABLE mine')).toContain('C:CREATE MATERIALIZED VIEW');
    expect(await run('REFRESH MATERIALIZED VIEW kept')).toContain('C:REFRESH MATERIALIZED VIEW');
    expect(await run('SELECT * FROM kept')).toContain('D:1');
    expect(await run('DROP VIEW mine')).toEqual(['1', 't:', 'n', '2', 'E:2BP01', 'Z:I']);
    expect(await run('DROP VIEW mine CASCADE')).toEqual([
      '1',
      't:',
      'n',
      '2',
      'N:00000',
      'C:DROP VIEW',
      'Z:I',
    ]);
    expect(await run('SELECT * FROM kept')).toContain('E:42P01');
    raw.close();
  });
});
