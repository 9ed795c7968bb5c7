import fc from 'fast-check';
import { parseSync } from 'libpg-query';
import { beforeAll, describe, expect, it } from 'vitest';
import { DatabaseError } from '../engine/errors.js';
import { StatementCache } from './cache.js';
import { relationColumns, stateColumns } from './columns.js';
import type { ResultColumn } from './columns.js';
import { parseStatements, prepareParser } from './parse.js';
import { catalogueOf } from './catalogue.js';
import { rewriteRead } from './rewrite.js';
import type { EngineRelation, ReadStatement, StateReference } from './statement.js';
import { SCHEMA, parse, parseKind } from './testing.js';

beforeAll(prepareParser);

const columns = (relation: EngineRelation | StateReference): readonly ResultColumn[] =>
  'source' in relation ? relationColumns(relation, SCHEMA) : stateColumns(relation.aggregateType, SCHEMA);
const short = (): readonly ResultColumn[] => [{ name: 'aggregate_id', type: 'text' }];

function rewrite(sql: string, state = false, shown = short): string {
  const read = parseKind(sql, 'read');
  const replace = {
    engine: (index: number) => (read.form === 'copy' ? `[{"a":"it's"}]` : read.parameterCount + index + 1),
    ...(state ? { state: (index: number) => 50 + index } : {}),
  };
  return rewriteRead(read, replace, shown).sql;
}

const rows = (source: string): string =>
  `(SELECT * FROM json_to_recordset(${source}::json) AS "t"("aggregate_id" text))`;
const overlaid = (source: string): string =>
  `(SELECT "aggregate_id" FROM public."patient" WHERE "aggregate_id" <> ALL (ARRAY(SELECT "k"."aggregate_id" ` +
  `FROM json_to_recordset(${source}::json) AS "k"("aggregate_id" text))) UNION ALL SELECT "aggregate_id" FROM ` +
  `json_to_recordset(${source}::json) AS "t"("aggregate_id" text))`;

describe('rewriting', () => {
  it.each([
    ['SELECT * FROM patient', 'SELECT * FROM patient'],
    [
      'SELECT * FROM patient_events WHERE a = $1',
      `SELECT * FROM ${rows('$2')} AS "patient_events" WHERE a = $1`,
    ],
    ['SELECT * FROM patient AS OF VERSION 3 p', `SELECT * FROM ${rows('$1')} p`],
    ['SELECT * FROM patient AS OF VERSION 3 AS p(c1)', `SELECT * FROM ${rows('$1')} AS p(c1)`],
    [
      "SELECT 'é' FROM patient AS OF TIMESTAMP 'é', note n",
      `SELECT 'é' FROM ${rows('$1')} AS "patient", note n`,
    ],
    [
      'SELECT patient_events.* FROM ONLY (patient_events)',
      `SELECT patient_events.* FROM ${rows('$1')} AS "patient_events"`,
    ],
    ['TABLE patient_events', `SELECT * FROM ${rows('$1')} AS "patient_events"`],
    [
      'SELECT "public"."patient_events"."aggregate_id", db.public.patient_events.* FROM public.patient_events',
      `SELECT "patient_events"."aggregate_id", patient_events.* FROM ${rows('$1')} AS "patient_events"`,
    ],
    [
      'COPY patient_events TO STDOUT',
      `COPY (SELECT * FROM ${rows(`'[{"a":"it''s"}]'`)} AS "patient_events") TO STDOUT`,
    ],
    [
      'COPY patient_events (aggregate_id) TO STDOUT (FORMAT csv)',
      `COPY (SELECT "aggregate_id" FROM ${rows(`'[{"a":"it''s"}]'`)} AS "patient_events") TO STDOUT (FORMAT csv)`,
    ],
  ])('%s', (sql, expected) => expect(rewrite(sql)).toBe(expected));

  it.each([
    ['SELECT * FROM patient', `SELECT * FROM ${overlaid('$50')} AS "patient"`],
    ['TABLE ONLY patient', `SELECT * FROM ${overlaid('$50')} AS "patient"`],
    [
      'SELECT public.patient.status FROM public.patient',
      `SELECT patient.status FROM ${overlaid('$50')} AS "patient"`,
    ],
    [
      'SELECT public.patient.a FROM patient AS x, public.patient',
      `SELECT patient.a FROM ${overlaid('$50')} AS x, ${overlaid('$51')} AS "patient"`,
    ],
  ])('overlays uncommitted state: %s', (sql, expected) => expect(rewrite(sql, true)).toBe(expected));

  it('maps positions back to the text of the client', () => {
    const sql = "SELECT 1; SELECT 'é' FROM patient AS OF VERSION 3 JOIN patient_events e ON bad";
    const read = parse(sql)[1] as ReadStatement;
    const rewritten = rewriteRead(read, { engine: (index) => index + 1 }, short);
    const at = (text: string, word: string): number => [...text.slice(0, text.indexOf(word))].length + 1;
    for (const word of ["'é'", ' JOIN', ' e ON', 'bad']) {
      expect(rewritten.map(at(rewritten.sql, word))).toBe(at(sql, word));
    }
    expect(rewritten.map(at(rewritten.sql, 'json_to_recordset'))).toBe(at(sql, 'patient AS OF'));
    expect(
      rewriteRead(parse('SELECT 1; SELECT x')[1] as ReadStatement, { engine: () => 1 }, short).map(9),
    ).toBe(18);
  });

  it('quotes a literal so that it reads the same under any setting', () => {
    const read = parseKind('COPY patient_events TO STDOUT', 'read');
    const { sql } = rewriteRead(read, { engine: () => `["\\'"]` }, short);
    expect(sql).toContain(`E'["\\\\''"]'::json`);
  });

  it.each([
    'SELECT * FROM patient AS OF VERSION 1 a LEFT JOIN LATERAL (SELECT * FROM patient_history h WHERE h.aggregate_id = a.aggregate_id) x ON true',
    'WITH p AS (TABLE patient_events) SELECT p.*, note FROM p, note, "Größe_events" AS g(a, b)',
    'SELECT (SELECT count(*) FROM eventful.events) FROM ONLY patient, eventful.fields f UNION TABLE patient_events',
    'DECLARE c CURSOR FOR SELECT * FROM patient_events, patient',
    'EXPLAIN (COSTS off) SELECT * FROM patient_history AS h JOIN patient USING (aggregate_id)',
    'COPY (SELECT * FROM patient AS OF POSITION 1) TO STDOUT',
    'SELECT * FROM eventful.tokens t NATURAL JOIN eventful.checkpoints, eventful.aggregates, eventful.event_types',
  ])('gives valid SQL with all columns: %s', (sql) => {
    expect(() => parseSync(rewrite(sql, true, columns as never))).not.toThrow();
  });
});

const item = fc.constantFrom(
  ...[
    'patient',
    'patient AS OF VERSION 7',
    "public.patient AS OF TIMESTAMP '2026-01-01é'",
    'ONLY patient_events',
    'note *',
  ],
  ...[
    'eventful.events',
    '"Größe_history"',
    '(TABLE patient_events)',
    '(SELECT public.patient.* FROM public.patient)',
    'pg_class',
  ],
);
const from = fc.tuple(item, fc.constantFrom('a', 'AS "é"', 'AS b(c, d)')).map((parts) => parts.join(' '));
const query = fc
  .tuple(
    fc.array(from, { minLength: 1, maxLength: 4 }),
    fc.constantFrom(', ', ' CROSS JOIN ', ' NATURAL LEFT JOIN '),
  )
  .map(([items, separator]) => `SELECT 'é', $1 FROM ${items.join(separator)} WHERE x = '€' -- ende`);

describe('properties', () => {
  it('changes nothing outside the replaced ranges, and stays valid', () => {
    fc.assert(
      fc.property(query, (sql) => {
        const read = parseKind(sql, 'read');
        const marker = '\u0001';
        const places = [...read.engineRelations, ...read.stateReferences].sort((a, b) => a.start - b.start);
        const holes = [...places, ...places.flatMap(({ frame }) => frame.qualifiers)].sort(
          (a, b) => a.start - b.start,
        );
        const bytes = Buffer.from(sql);
        let at = 0;
        const kept = holes.map(({ start, end }) => {
          const text = bytes.subarray(at, start).toString();
          at = end;
          return text;
        });
        kept.push(bytes.subarray(at).toString());
        const rewritten = rewriteRead(read, { engine: () => marker, state: () => marker }, short).sql;
        let from = 0;
        for (const text of kept) {
          const found = rewritten.indexOf(text, from);
          expect(found).toBeGreaterThanOrEqual(from);
          from = found + text.length;
        }
        expect(rewritten.endsWith(kept.at(-1) ?? '')).toBe(true);
        expect(() => parseSync(rewritten)).not.toThrow();
      }),
      { numRuns: 300 },
    );
  });

  const word = fc.constantFrom(
    ...`SELECT FROM patient patient_events AS OF VERSION TIMESTAMP POSITION INSERT INTO EVENTS patient_updated aggregate_id
    status VALUES EXPECT ANY NONE EXISTS ON CONFLICT ( ) , ; 1 'é' $1 * . = WITH x CREATE AGGREGATE EVENT text COMMENT IS NULL
    DELETE UPDATE SET TABLE ONLY COPY TO STDOUT CALL verify RETURNING DO NOTHING FOR UNION JOIN :: - "é" E'\\' U&"\\0061"
    BEGIN COMMIT SHOW PREPARE DECLARE CURSOR EXPLAIN IN CASE WHEN END [ ] event_id`.split(/\s+/),
  );

  it('parsing throws nothing but DatabaseError', () => {
    fc.assert(
      fc.property(fc.array(word, { maxLength: 25 }), (words) => {
        const sql = words.join(' ');
        try {
          for (const statement of parse(sql)) {
            if (statement.kind === 'read')
              rewriteRead(statement, { engine: () => 1, state: () => 2 }, columns);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(DatabaseError);
          const position = (error as DatabaseError).position ?? 1;
          expect(position).toBeGreaterThanOrEqual(1);
          expect(position).toBeLessThanOrEqual([...sql].length + 1);
        }
      }),
      { numRuns: 3000 },
    );
  });

  it('parsing a damaged statement throws nothing but DatabaseError', () => {
    const seeds = [
      "INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('é', $1) EXPECT VERSION 3 ON CONFLICT (event_id) DO NOTHING RETURNING *",
      "SELECT * FROM patient AS OF TIMESTAMP '2026-01-01'::timestamptz p JOIN ONLY (patient_events) e ON p.aggregate_id = e.aggregate_id",
      'CREATE AGGREGATE a (x numeric(3,2), y timestamp with time zone, EVENT e (x, y)) WITH (open = on, snapshot_threshold = 5)',
      'COPY patient_events (aggregate_id) TO STDOUT; CALL verify(a => 1); COMMENT ON AGGREGATE patient IS NULL',
    ];
    fc.assert(
      fc.property(
        fc.constantFrom(...seeds),
        fc.nat(170),
        fc.nat(12),
        fc.string({ maxLength: 3 }),
        (seed, at, cut, add) => {
          try {
            parse(seed.slice(0, at) + add + seed.slice(at + cut));
          } catch (error) {
            expect(error).toBeInstanceOf(DatabaseError);
          }
        },
      ),
      { numRuns: 3000 },
    );
  });
});

describe('StatementCache', () => {
  it('gives the same statements until the schema changes', () => {
    const cache = new StatementCache();
    const first = cache.get('SELECT * FROM patient', SCHEMA);
    expect(cache.get('SELECT * FROM patient', SCHEMA)).toBe(first);
    const other = { revision: 2, aggregates: new Map(), views: new Map() };
    expect(cache.get('SELECT * FROM patient', other)).not.toBe(first);
    expect(cache.size).toBe(1);
  });

  it('is bounded in entries and bytes, oldest first', () => {
    const cache = new StatementCache({ entries: 2, bytes: 100, textBytes: 60 });
    const one = cache.get('SELECT 1', SCHEMA);
    cache.get('SELECT 2', SCHEMA);
    expect(cache.get('SELECT 1', SCHEMA)).toBe(one);
    cache.get('SELECT 3', SCHEMA);
    expect(cache.size).toBe(2);
    expect(cache.get('SELECT 1', SCHEMA)).toBe(one);
    cache.get(`SELECT '${'x'.repeat(45)}'`, SCHEMA);
    cache.get(`SELECT '${'y'.repeat(45)}'`, SCHEMA);
    expect(cache.size).toBe(1);
    cache.get(`SELECT '${'x'.repeat(100)}'`, SCHEMA);
    expect(cache.size).toBe(1);
  });

  it('parses a bulk append in reasonable time', () => {
    const values = Array.from({ length: 5000 }, (_, index) => `('id-${index}', 'é')`).join(',');
    const sql = `INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ${values}`;
    const [statement] = parseStatements(sql, catalogueOf(SCHEMA));
    expect(
      statement?.kind === 'append' && statement.source.kind === 'values' && statement.source.rows.length,
    ).toBe(5000);
  });
});
