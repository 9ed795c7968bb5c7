/** Looking back over many aggregates: the tables of the past answer what the engine's own fold answers. */
import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestServer, type TestServer, type TestServerOptions } from '../harness.js';

const TYPES = { status: 'text', ward: 'integer', weight: 'numeric(6,2)', seen: 'timestamp with time zone' };
const OPTIONS: TestServerOptions = { historyFrom: 2 };
const IDS = Array.from({ length: 12 }, (_, i) => `p-${i}`);

let server: TestServer;
let client: pg.Client;

type Row = Record<string, unknown>;

async function rows(text: string, values: readonly unknown[] = [], by = client): Promise<Row[]> {
  return (await by.query<Row>(text, [...values])).rows;
}

async function plan(statement: string, by = client): Promise<string> {
  return (await rows(`EXPLAIN ${statement}`, [], by)).map((row) => row['QUERY PLAN']).join('\n');
}

/** The same question twice: over all aggregates, and by their ids, which only the engine answers. */
async function bothWays(asOf: string, where = 'true', by = client): Promise<{ table: Row[]; engine: Row[] }> {
  const from = `SELECT * FROM thing AS OF ${asOf}`;
  return {
    table: await rows(`${from} WHERE ${where} ORDER BY aggregate_id`, [], by),
    engine: (
      await Promise.all(IDS.map((id) => rows(`${from} WHERE aggregate_id = '${id}' AND ${where}`, [], by)))
    )
      .flat()
      .sort((a, b) => (String(a['aggregate_id']) < String(b['aggregate_id']) ? -1 : 1)),
  };
}

const change = fc.record(
  {
    status: fc.option(fc.constantFrom('open', 'a\tb\\n', '', "it's")),
    ward: fc.option(fc.integer({ min: -5, max: 5 })),
    weight: fc.option(fc.constantFrom('1.5', '70', '0.00')),
    seen: fc.option(fc.constantFrom('2024-02-29 12:00:00+02', '1999-12-31')),
  },
  { requiredKeys: [] },
);
const appends = fc.array(fc.tuple(fc.constantFrom(...IDS), change), { minLength: 1, maxLength: 12 });

async function append(changes: readonly (readonly [string, Row])[]): Promise<void> {
  for (const [id, fields] of changes) {
    const names = Object.keys(fields);
    const list = ['aggregate_id', ...names].join(', ');
    const marks = ['$1', ...names.map((_, i) => `$${i + 2}`)].join(', ');
    await client.query(`INSERT INTO thing EVENTS changed (${list}) VALUES (${marks})`, [
      id,
      ...Object.values(fields),
    ]);
  }
}

async function start(options: TestServerOptions): Promise<void> {
  server = await startTestServer({ ...OPTIONS, ...options });
  client = await server.connect();
}

async function restart(options: TestServerOptions = {}): Promise<void> {
  await client.end();
  await server.stop();
  await start({ reopen: server, ...options });
}

async function tablesMade(): Promise<number> {
  const found = await server.server.readModel.query(
    `SELECT count(*)::int AS n FROM pg_class WHERE relkind = 'p' AND relnamespace = to_regnamespace('eventful_history')`,
  );
  return Number(found.rows[0]?.['n']);
}

describe('tables of the past', () => {
  beforeAll(async () => {
    await start({});
    const fields = Object.entries(TYPES).map(([name, type]) => `${name} ${type}`);
    await client.query(
      `CREATE AGGREGATE thing (${fields.join(', ')}, EVENT changed) WITH (open = on, snapshot_threshold = 5)`,
    );
  });
  afterAll(async () => {
    await client.end();
    await server.destroy();
  });

  it('answer as the engine folds, at any position, version and time, over restarts and new fields', async () => {
    const places: string[] = [];
    let rounds = 0;
    await fc.assert(
      fc.asyncProperty(
        appends,
        fc.array(fc.nat(), { minLength: 3, maxLength: 3 }),
        async (changes, picks) => {
          await append(changes);
          rounds++;
          if (rounds === 4)
            await append([
              ['p-3', { flags: 'new' }],
              ['p-99', { flags: 'new' }],
            ]);
          if (rounds === 6) await restart();
          const [{ now, last } = {}] = await rows(
            'SELECT clock_timestamp()::text AS now, (SELECT max(position) FROM eventful.events)::int AS last',
          );
          places.push(`TIMESTAMP '${String(now)}'`, `POSITION ${String(last)}`);
          const some = picks.map((pick) => places[pick % places.length] ?? '');
          for (const place of [
            ...some,
            `VERSION ${1 + ((picks[0] ?? 0) % 4)}`,
            `POSITION ${(picks[1] ?? 0) % Number(last)}`,
          ]) {
            const { table, engine } = await bothWays(place, `aggregate_id <> 'p-99'`);
            expect(table, place).toEqual(engine);
          }
        },
      ),
      { numRuns: 12, endOnFailure: true },
    );
    expect(rounds).toBeGreaterThan(6);
    expect(await tablesMade()).toBe(1);
    const shown = await plan(`SELECT * FROM thing AS OF POSITION 9 t`);
    expect(shown).toMatch(/Scan on thing AS OF POSITION 9 t, latest versions/);
    expect(shown).not.toMatch(/Engine Scan|history:/);
    expect(await plan(`SELECT * FROM thing AS OF POSITION 9 WHERE aggregate_id = 'p-1'`)).toContain(
      'Engine Scan',
    );
    const [named] = await rows(
      `SELECT count(*)::int AS n FROM thing AS OF POSITION 1000000 WHERE flags = 'new'`,
    );
    expect(named).toEqual({ n: 2 });
  });

  it('show a limited token what it may read, and nothing else', async () => {
    const token = await server.tokenFor(['read:thing:p-1*', 'read:thing:p-3']);
    const limited = await server.connect(token);
    const { table, engine } = await bothWays('POSITION 100000', 'true', limited);
    expect(await plan('SELECT * FROM thing AS OF POSITION 100000', limited)).toContain('latest versions');
    expect(table.map((row) => row['aggregate_id'])).toEqual(
      ['p-1', 'p-10', 'p-11', 'p-3'].filter((id) => engine.some((row) => row['aggregate_id'] === id)),
    );
    expect(table).toEqual(engine);
    expect(table.length).toBeGreaterThan(1);
    await limited.end();
    const stranger = await server.connect(await server.tokenFor(['read:other:*']));
    await expect(stranger.query('SELECT * FROM thing AS OF POSITION 5')).rejects.toMatchObject({
      code: '42501',
    });
    const [{ name } = {}] = (
      await server.server.readModel
        .query(`SELECT relation::text AS name FROM (SELECT oid::regclass AS relation FROM pg_class
        WHERE relkind = 'p' AND relnamespace = to_regnamespace('eventful_history')) AS r`)
    ).rows;
    await expect(stranger.query(`SELECT * FROM ${String(name)}`)).rejects.toMatchObject({ code: '42501' });
    await stranger.end();
  });

  it('are read by cursors, COPY, prepared statements, joins and INSERT … SELECT alike', async () => {
    const count = async (text: string, values: unknown[] = []): Promise<number> =>
      Number((await rows(text, values))[0]?.['n']);
    const expected = (await bothWays('POSITION 12')).engine.length;
    expect(expected).toBeGreaterThan(1);
    expect(await count('SELECT count(*)::int AS n FROM thing AS OF POSITION $1', [12])).toBe(expected);
    expect(
      await count(
        'SELECT count(*)::int AS n FROM thing AS OF POSITION 12 a JOIN thing AS OF POSITION 12 b USING (aggregate_id)',
      ),
    ).toBe(expected);
    await client.query('BEGIN');
    await client.query(
      `INSERT INTO thing EVENTS changed (aggregate_id, status) VALUES ('p-1', 'own'), ('own', 'own')`,
    );
    await client.query('DECLARE c CURSOR FOR SELECT * FROM thing AS OF POSITION 12');
    expect(await rows('FETCH ALL FROM c')).toHaveLength(expected);
    // Current state shows the transaction its own appends, the past does not.
    expect(
      await count(
        `SELECT count(*)::int AS n FROM thing JOIN thing AS OF POSITION 999999 p USING (aggregate_id) WHERE p.status = 'own'`,
      ),
    ).toBe(0);
    expect(await count(`SELECT count(*)::int AS n FROM thing c WHERE status = 'own'`)).toBe(2);
    await client.query('ROLLBACK');
    await client.query(
      `INSERT INTO thing EVENTS changed (aggregate_id, status) SELECT 'copy-' || aggregate_id, 'c' FROM thing AS OF POSITION $1`,
      [12],
    );
    expect(await count(`SELECT count(*)::int AS n FROM thing WHERE status = 'c'`)).toBe(expected);
  });

  it('describe their columns as the engine’s rows are described', async () => {
    const table = await client.query('SELECT * FROM thing AS OF VERSION 1');
    const engine = await client.query(`SELECT * FROM thing AS OF VERSION 1 WHERE aggregate_id = 'p-1'`);
    expect(table.fields).toEqual(engine.fields);
  });

  it('are not for a transaction whose snapshot may be older than they are', async () => {
    const before = Number(
      (await rows('SELECT count(*)::int AS n FROM thing AS OF POSITION 999999'))[0]?.['n'],
    );
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
    await client.query('SELECT count(*) FROM thing');
    const other = await server.connect();
    await other.query(`INSERT INTO thing EVENTS changed (aggregate_id) VALUES ('late')`);
    await other.end();
    const text = 'SELECT count(*)::int AS n FROM thing AS OF POSITION 999999';
    expect((await rows(text))[0]?.['n']).toBe(before + 1);
    expect(await plan(text)).toMatch(/Engine Scan[^]*History: none, the transaction is above READ COMMITTED/);
    await client.query('COMMIT');
  });

  it('go on from where they were after a restart, and are made anew where PostgreSQL has lost them', async () => {
    const text = 'SELECT * FROM thing AS OF POSITION 20 ORDER BY aggregate_id';
    const before = await rows(text);
    await restart();
    expect(await plan(text)).toContain('latest versions');
    expect(await rows(text)).toEqual(before);
    process.kill(server.server.readModel.pid ?? 0, 'SIGQUIT');
    await client.end();
    const deadline = Date.now() + 20_000;
    for (;;) {
      client = await server.connect();
      const found = await rows(text).catch(() => null);
      if (found !== null) {
        expect(found).toEqual(before);
        break;
      }
      await client.end();
      if (Date.now() > deadline) throw new Error('the read model did not come back');
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    expect(await rows(text)).toEqual(before);
    expect(await plan(text)).toContain('latest versions');
    expect(await tablesMade()).toBe(1);
  });

  it('are made while appends go on, and hold all of them', async () => {
    await client.query('CREATE AGGREGATE many (status text, EVENT noted)');
    const note = (from: number, to: number, status: string): string =>
      `INSERT INTO many EVENTS noted (aggregate_id, status) SELECT 'm-' || g, '${status}' FROM generate_series(${from}, ${to}) AS g`;
    await client.query(note(1, 3000, 'one'));
    await client.query(note(1, 3000, 'two'));
    const [{ middle } = {}] = await rows('SELECT max(position)::int - 3000 AS middle FROM eventful.events');
    const writer = await server.connect();
    let going = true;
    const writing = (async (): Promise<number> => {
      let written = 0;
      for (; going || written < 200; written++)
        await writer.query(note(written + 1, written + 1, 'meanwhile'));
      return written;
    })();
    const grouped = async (asOf: string): Promise<Row[]> =>
      rows(`SELECT status, count(*)::int AS n FROM many AS OF ${asOf} GROUP BY status ORDER BY status`);
    const readers = await Promise.all(
      [0, 1, 2].map(async () => {
        const reader = await server.connect();
        const found = await rows(
          `SELECT status, count(*)::int AS n FROM many AS OF POSITION ${String(middle)} GROUP BY status`,
          [],
          reader,
        );
        await reader.end();
        return found;
      }),
    );
    going = false;
    const written = await writing;
    await writer.end();
    for (const found of readers) expect(found).toEqual([{ status: 'one', n: 3000 }]);
    expect(await grouped("TIMESTAMP 'infinity'")).toEqual([
      { status: 'meanwhile', n: written },
      { status: 'two', n: 3000 - written },
    ]);
    expect(await plan('SELECT * FROM many AS OF POSITION 5')).toContain('latest versions');
    expect(await tablesMade()).toBe(2);
  });

  it('are not made where they are not allowed the memory', async () => {
    const text = 'SELECT count(*)::int AS n FROM thing AS OF POSITION 20';
    const before = await rows(text);
    await restart({ historyBytes: 1024 });
    expect(await rows(text)).toEqual(before);
    expect(await plan(text)).toMatch(/History: none, it would take \d+ MB, and read_model.history_mb is 1/);
    await restart({ historyBytes: 0 });
    expect(await rows(text)).toEqual(before);
    expect(await plan(text)).not.toContain('History');
    expect(await tablesMade()).toBe(0);
  });
});
