/**
 * The Sepsis log (15,214 events of 1,050 patients) over the wire: every state at every version against a fold written
 * here, and no plaintext in the data directory. Reader and model are this test's own.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../harness.js';
import { asText, callVerify, grep } from './support.js';

type Payload = Record<string, string>;
interface Loaded {
  readonly id: string;
  readonly type: string;
  readonly payload: Payload;
}

const snake = (text: string): string =>
  text
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replaceAll(/[^A-Za-z0-9]+/g, '_')
    .toLowerCase();

const TYPES: Readonly<Record<string, string>> = {
  complete_timestamp: 'timestamp',
  variant_index: 'integer',
  age: 'integer',
  crp: 'numeric',
  lactic_acid: 'numeric',
  leucocytes: 'numeric',
};
const TEXTS = new Set(['variant', 'diagnose', 'lifecycle_transition', 'org_group']);
const typeOf = (field: string): string => TYPES[field] ?? (TEXTS.has(field) ? 'text' : 'boolean');

/** As PostgreSQL prints a value of the field's type. */
function printed(field: string, value: string): string {
  if (typeOf(field) === 'boolean') return value === 'true' ? 't' : 'f';
  if (typeOf(field) === 'timestamp') return value.replace(/\.000$/, '').replace(/(\.\d*?)0+$/, '$1');
  return value;
}

function readCsv(): { fields: string[]; events: Loaded[] } {
  const text = readFileSync(new URL('../../examples/sepsis/sepsis.csv', import.meta.url), 'utf8');
  const [head = '', ...lines] = text.replace(/^\uFEFF/, '').split(/\r?\n/);
  const columns = head.split(';').map(snake);
  const events = lines
    .filter((line) => line !== '')
    .map((line) => {
      const cells = line.split(';');
      if (cells.length !== columns.length) throw new Error(`a line of ${cells.length} cells`);
      const payload: Payload = {};
      columns.forEach((column, i) => {
        const cell = cells[i] ?? '';
        if (i < 2 || cell === '') return;
        payload[column] = column === 'complete_timestamp' ? cell.replaceAll('/', '-') : cell;
      });
      return { id: `case-${cells[0]}`, type: snake(cells[1] ?? ''), payload };
    });
  return { fields: columns.slice(2), events };
}

const { fields, events } = readCsv();
const MARKERS = ['ZEBRA-MARKER-FIELD', 'ZEBRA-MARKER-METADATA', 'ZEBRA-MARKER-ID'];
const BATCH = 500;
const HALF = 7500;

/** id → its events in order; the fold of the first n. */
const byPatient = new Map<string, Loaded[]>();
for (const event of events) byPatient.set(event.id, [...(byPatient.get(event.id) ?? []), event]);
const folds = new Map<string, Payload[]>();
for (const [id, all] of byPatient) {
  const states: Payload[] = [{}];
  for (const { payload } of all) {
    const state = { ...states.at(-1) };
    for (const [field, value] of Object.entries(payload)) state[field] = printed(field, value);
    states.push(state);
  }
  folds.set(id, states);
}
const fold = (id: string, n: number): Payload => folds.get(id)?.[n] ?? {};

let server: TestServer;
let client: pg.Client;
/** The recorded time of the last event of the first half. */
let halfTime: string;
const atHalf = new Map<string, number>();
for (const { id } of events.slice(0, HALF)) atHalf.set(id, (atHalf.get(id) ?? 0) + 1);

beforeAll(async () => {
  server = await startTestServer();
  client = await server.connect(server.token, asText);
  const eventTypes = [...new Set(events.map((event) => event.type))];
  const declared = [...fields.map((f) => `${f} ${typeOf(f)}`), ...eventTypes.map((e) => `EVENT ${e}`)];
  await client.query(`CREATE AGGREGATE patient (${declared.join(', ')})`);
  for (let from = 0; from < events.length; from += BATCH) {
    const batch = events.slice(from, from + BATCH);
    const rows = batch.map((_, i) => `($${3 * i + 1}, $${3 * i + 2}, $${3 * i + 3})`).join(', ');
    const { rows: returned } = await client.query<{ recorded_at: string }>(
      `INSERT INTO patient EVENTS (aggregate_id, event_type, payload) VALUES ${rows} RETURNING recorded_at`,
      batch.flatMap(({ id, type, payload }) => [id, type, JSON.stringify(payload)]),
    );
    if (from + BATCH === HALF) halfTime = returned.at(-1)?.recorded_at ?? '';
  }
}, 180_000);
afterAll(() => server?.destroy());

const count = async (sql: string): Promise<Record<string, string>> =>
  (await client.query<Record<string, string>>(sql)).rows[0] ?? {};

describe('the Sepsis log', () => {
  test('is all there', async () => {
    expect(await count('SELECT count(*) AS n, sum(version) AS v FROM patient')).toEqual({
      n: '1050',
      v: '15214',
    });
    expect(await count('SELECT count(*) AS n FROM patient_events')).toEqual({ n: '15214' });
    expect(await count('SELECT count(*) AS n FROM patient_history')).toEqual({ n: '15214' });
  });

  test('every patient at every version is the fold of its first events', async () => {
    const longest = Math.max(...[...byPatient.values()].map((e) => e.length));
    let compared = 0;
    for (let n = 1; n <= longest; n++) {
      const { rows } = await client.query<Record<string, string | null>>(
        `SELECT * FROM patient AS OF VERSION ${n}`,
      );
      const expected = [...byPatient].filter(([, all]) => all.length >= n);
      expect(rows.length).toBe(expected.length);
      for (const row of rows) {
        const id = row['aggregate_id'] ?? '';
        const state = fold(id, n);
        // Compared by hand: one expect per cell would take most of the time.
        const wrong = fields.filter((field) => row[field] !== (state[field] ?? null));
        if (wrong.length > 0 || row['version'] !== String(n))
          expect(row).toMatchObject({ ...state, aggregate_id: id, version: String(n) });
        compared++;
      }
    }
    expect(compared).toBe(15214);
  }, 120_000);

  test('the current state is the fold of all, and groups as it should', async () => {
    const { rows } = await client.query<Record<string, string | null>>('SELECT * FROM patient');
    for (const row of rows) {
      const id = row['aggregate_id'] ?? '';
      const all = byPatient.get(id)?.length ?? 0;
      const state = fold(id, all);
      expect(row['version']).toBe(String(all));
      expect(fields.filter((field) => row[field] !== (state[field] ?? null))).toEqual([]);
    }
    const groups = await client.query<{ diagnose: string | null; n: string; crp: string | null }>(
      'SELECT diagnose, count(*) AS n, max(crp) AS crp FROM patient GROUP BY diagnose',
    );
    const expected = new Map<string, { n: number; crp: number }>();
    for (const [id, all] of byPatient) {
      const { diagnose = '', crp } = fold(id, all.length);
      const group = expected.get(diagnose) ?? { n: 0, crp: -1 };
      expected.set(diagnose, { n: group.n + 1, crp: Math.max(group.crp, Number(crp ?? -1)) });
    }
    const found = groups.rows.map(
      (g) => [g.diagnose ?? '', { n: Number(g.n), crp: Number(g.crp ?? -1) }] as const,
    );
    expect(new Map(found)).toEqual(expected);
  });

  test('state joins with its own past', async () => {
    const { rows } = await client.query<{
      aggregate_id: string;
      now: string;
      before: string;
      crp: string | null;
    }>(
      `SELECT n.aggregate_id, n.version AS now, b.version AS before, b.crp
         FROM patient n JOIN patient AS OF TIMESTAMP '${halfTime}' b USING (aggregate_id)`,
    );
    expect(rows.length).toBe(atHalf.size);
    for (const row of rows) {
      const before = atHalf.get(row.aggregate_id) ?? 0;
      expect([row.now, row.before]).toEqual([
        String(byPatient.get(row.aggregate_id)?.length),
        String(before),
      ]);
      expect(row.crp).toBe(fold(row.aggregate_id, before)['crp'] ?? null);
    }
  });

  test('verifies', async () => {
    expect(await callVerify(client)).toMatchObject({ verified: 't', size: '15216' });
  });
});

test('no plaintext on disk, while the server runs and after it stopped', async () => {
  const metadata = JSON.stringify({ note: 'ZEBRA-MARKER-METADATA' });
  await client.query(
    "INSERT INTO patient EVENTS (aggregate_id, event_type, payload, metadata) VALUES ('ZEBRA-MARKER-ID', 'crp', $1, $2)",
    [JSON.stringify({ diagnose: 'ZEBRA-MARKER-FIELD' }), metadata],
  );
  const names = [
    ...fields.filter((f) => f.length >= 6),
    ...new Set(events.map((e) => e.type).filter((t) => t.length >= 6)),
  ];
  // Every patient's id begins with the same letters, so that one needle stands for all of them.
  const needles = [...MARKERS, 'case-', ...names, server.token, 'tester'];
  expect(grep(server.directory, needles)).toEqual([]);
  await client.end();
  await server.stop();
  expect(grep(server.directory, needles)).toEqual([]);

  // The same search does find them where they are.
  const control = mkdtempSync(join(tmpdir(), 'grep-'));
  mkdirSync(join(control, 'deep'));
  const noise = Buffer.alloc(100_000, 0xee);
  writeFileSync(
    join(control, 'deep', 'file'),
    Buffer.concat([noise, Buffer.from(needles.join('\0')), noise]),
  );
  expect(grep(control, needles)).toHaveLength(needles.length);
  rmSync(control, { recursive: true });
});
