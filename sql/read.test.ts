import { beforeAll, describe, expect, it } from 'vitest';
import { prepareParser } from './parse.js';
import type { ReadStatement } from './statement.js';
import { failure, marked, parse, parseKind, parseOne } from './testing.js';

beforeAll(prepareParser);

const read = (sql: string): ReadStatement => parseKind(sql, 'read');

/** The relations of a read, each with the text it takes up. */
function relations(sql: string) {
  const { engineRelations, stateReferences } = read(sql);
  const bytes = Buffer.from(sql);
  const text = ({ start, end }: { start: number; end: number }) => bytes.subarray(start, end).toString();
  return { engine: engineRelations.map(text), state: stateReferences.map(text) };
}

const conditions = (sql: string) => read(sql).engineRelations[0]?.conditions;

describe('what clients send', () => {
  it.each([
    `SELECT n.nspname as "Schema", c.relname as "Name", CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' END as "Type"
     FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r','p','') AND n.nspname !~ '^pg_toast' AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 1,2;`,
    `SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relname OPERATOR(pg_catalog.~) '^(patient)$' COLLATE pg_catalog.default AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 2, 3`,
    `SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true)
     FROM pg_catalog.pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef), a.attnotnull
     FROM pg_catalog.pg_attribute a WHERE a.attrelid = '16384' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`,
    `SELECT result.TABLE_CAT, (result.KEYS).n AS KEY_SEQ FROM (SELECT current_database() AS TABLE_CAT, information_schema._pg_expandarray(i.indkey) AS KEYS
     FROM pg_catalog.pg_index i) result WHERE result.A_ATTNUM = (result.KEYS).x`,
    'SELECT "public"."patient"."aggregate_id" FROM "public"."patient" WHERE 1=1 LIMIT $1 OFFSET $2',
    'select version()',
    'SELECT t.typname FROM pg_type t JOIN LATERAL unnest(ARRAY[1]) WITH ORDINALITY u(x, n) ON true',
    "SELECT set_config('bytea_output','hex',false) FROM pg_catalog.pg_settings WHERE name = 'bytea_output'",
    'VALUES (1), (2)',
    'TABLE patient',
    'WITH RECURSIVE r AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT * FROM r',
    'EXPLAIN (ANALYZE, FORMAT json) SELECT * FROM patient',
    'DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT * FROM patient_events',
    'FETCH FORWARD 100 FROM c',
    'MOVE ALL IN c',
    'COPY (SELECT * FROM patient) TO STDOUT WITH (FORMAT csv, HEADER)',
    'COPY patient (aggregate_id, status) TO STDOUT',
    'PREPARE p (text) AS SELECT * FROM patient WHERE aggregate_id = $1',
    "EXECUTE p('x')",
    'SELECT x AS of FROM patient',
    'SELECT a AS of, b FROM t AS of (a, b)',
    'SELECT version, position, timestamp FROM t',
  ])('%s', (sql) => expect(parseOne(sql).kind).toBe('read'));

  it.each([
    [
      'SET search_path TO public, "$user"',
      { tag: 'set', setting: 'search_path', value: 'public, $user', local: false },
    ],
    ['SET LOCAL TimeZone = DEFAULT', { tag: 'set', setting: 'timezone', value: null, local: true }],
    [
      "SET eventful.read_consistency = 'eventual'",
      { setting: 'eventful.read_consistency', value: 'eventual' },
    ],
    ['SET TRANSACTION ISOLATION LEVEL SERIALIZABLE', { tag: 'set', setting: 'transaction' }],
    ['SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE', { tag: 'set' }],
    ['SHOW TRANSACTION ISOLATION LEVEL', { tag: 'show', setting: 'transaction_isolation' }],
    ['SHOW ALL', { tag: 'show', setting: null }],
    ['RESET ALL', { tag: 'reset', setting: null }],
    ['RESET timezone', { tag: 'reset', setting: 'timezone' }],
    ['DISCARD ALL', { tag: 'discard', target: 'all' }],
    ['DEALLOCATE PREPARE "S_1"', { tag: 'deallocate', target: 'S_1' }],
    ['DEALLOCATE ALL', { tag: 'deallocate', target: null }],
    ['LISTEN patient', { tag: 'listen', target: 'patient' }],
    ['UNLISTEN *', { tag: 'unlisten', target: null }],
    ['CLOSE c', { tag: 'close', target: 'c' }],
    ['LOCK TABLE patient IN ACCESS SHARE MODE', { tag: 'other' }],
    ['SET ROLE NONE', { tag: 'set', setting: 'role' }],
    ['SET SESSION AUTHORIZATION DEFAULT', { tag: 'set' }],
  ])('%s', (sql, expected) => expect(parseKind(sql, 'session')).toMatchObject({ ...expected, sql }));

  it.each([
    ['BEGIN', 'begin'],
    ['START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE', 'begin'],
    ['END', 'commit'],
    ['COMMIT AND CHAIN', 'commit'],
    ['ABORT', 'rollback'],
    ['SAVEPOINT "S"', 'savepoint'],
    ['RELEASE a', 'release'],
    ['ROLLBACK TO SAVEPOINT a', 'rollbackTo'],
  ])('%s', (sql, action) => expect(parseKind(sql, 'transaction')).toMatchObject({ action, sql }));

  it('takes several statements at once', () => {
    const kinds = parse(
      "BEGIN; SELECT 'é;'; INSERT INTO note EVENTS note_written (aggregate_id) VALUES (1); COMMIT;",
    );
    expect(kinds.map(({ kind }) => kind)).toEqual(['transaction', 'read', 'append', 'transaction']);
    expect(kinds[1]).toMatchObject({ sql: " SELECT 'é;'", offset: 6 });
    expect(kinds[3]).toMatchObject({ sql: ' COMMIT' });
  });

  it('points into the whole text', () => {
    const { sql, position } = marked("SELECT 'é€😀'; SELECT 1 FROM §WHERE");
    expect(failure(sql)).toMatchObject({
      sqlstate: '42601',
      message: 'syntax error at or near "WHERE"',
      position,
    });
    const second = marked("SELECT * FROM patient AS OF TIMESTAMP 'é' WHERE §)");
    expect(failure(second.sql)).toMatchObject({
      message: 'syntax error at or near ")"',
      position: second.position,
    });
  });
});

describe('relations', () => {
  it.each<[string, string[], string[]]>([
    ['SELECT * FROM patient', [], ['patient']],
    ['SELECT * FROM patient AS OF VERSION 10 WHERE x', ['patient AS OF VERSION 10'], []],
    [
      `SELECT 'é' FROM patient AS OF TIMESTAMP '2026-01-01' p JOIN "note" AS OF TIMESTAMP $1::timestamptz AS n ON true`,
      ["patient AS OF TIMESTAMP '2026-01-01'", '"note" AS OF TIMESTAMP $1::timestamptz'],
      [],
    ],
    [
      'SELECT (SELECT count(*) FROM public.patient AS OF POSITION $1) FROM note',
      ['public.patient AS OF POSITION $1'],
      ['note'],
    ],
    ['SELECT * FROM db.public.patient_events e', ['db.public.patient_events'], []],
    [
      'SELECT * FROM eventful.events, eventful.tokens, eventful.unknown',
      ['eventful.events', 'eventful.tokens'],
      [],
    ],
    [
      'SELECT * FROM ONLY patient_history, ONLY (patient), patient *',
      ['ONLY patient_history'],
      ['ONLY (patient)', 'patient *'],
    ],
    ['TABLE patient_events UNION TABLE note_events', ['TABLE patient_events', 'TABLE note_events'], []],
    [
      'WITH patient AS (SELECT * FROM patient) SELECT * FROM patient, public.patient',
      [],
      ['patient', 'public.patient'],
    ],
    ['WITH RECURSIVE patient AS (SELECT * FROM patient) SELECT * FROM patient', [], []],
    ['WITH a AS (SELECT 1), patient_events AS (SELECT * FROM a) SELECT * FROM patient_events', [], []],
    ['SELECT * FROM (WITH patient AS (SELECT 1) SELECT * FROM patient) x, patient', [], ['patient']],
    ['SELECT * FROM other.patient, pg_catalog.patient_events, x_events', [], []],
    ['SELECT * FROM "Größe_events", Größe', ['"Größe_events"'], []],
    [
      'SELECT 1 WHERE EXISTS (SELECT FROM patient_events) ORDER BY (SELECT 1 FROM patient)',
      ['patient_events'],
      ['patient'],
    ],
    ['COPY patient (aggregate_id) TO STDOUT', [], ['patient (aggregate_id)']],
    ['COPY patient AS OF VERSION 3 TO STDOUT', ['patient AS OF VERSION 3'], []],
    ['DECLARE c CURSOR FOR SELECT * FROM patient_events', ['patient_events'], []],
    ['EXPLAIN SELECT * FROM patient_events', ['patient_events'], []],
    ['SELECT * FROM patient TABLESAMPLE system (10)', [], []],
    ['SELECT * FROM LATERAL (SELECT * FROM patient_events) x, f(1)', ['patient_events'], []],
  ])('%s', (sql, engine, state) => expect(relations(sql)).toEqual({ engine, state }));

  it('gives the implicit alias only where there is none', () => {
    expect(read('SELECT * FROM patient_events').engineRelations[0]?.implicitAlias).toBe('patient_events');
    expect(read('SELECT * FROM patient AS OF VERSION 1 p').engineRelations[0]?.implicitAlias).toBeNull();
  });

  it('counts parameters and types those that only AS OF has', () => {
    const sql = `SELECT $2 FROM patient AS OF VERSION $1, note AS OF TIMESTAMP $3, note AS OF POSITION $2 WHERE a = $9`;
    const statement = read(sql);
    expect(statement.parameterCount).toBe(9);
    expect([...statement.asOfParameterTypes]).toEqual([
      [1, 20],
      [3, 1184],
    ]);
  });

  it.each([
    [
      'SELECT * FROM patient_events §AS OF VERSION 1'.replace('§', ''),
      '42809',
      '"patient_events" is not an aggregate',
    ],
    ['WITH c AS (SELECT 1) SELECT * FROM c AS OF VERSION 1', '42809', '"c" is not an aggregate'],
    ['SELECT * FROM pg_class AS OF VERSION 1', '42809', '"pg_class" is not an aggregate'],
    ['SELECT * FROM f(1) AS OF VERSION 1', '42809', 'AS OF cannot be applied to a subquery or function'],
    ['SELECT * FROM patiet AS OF VERSION 1', '42P01', 'aggregate "patiet" does not exist'],
    ['SELECT * FROM patient p AS OF VERSION 1', '42601', 'AS OF does not follow the name of an aggregate'],
    ['SELECT * FROM patient AS OF VERSION x', '42601', 'syntax error at or near "x"'],
    ['SELECT * FROM patient AS OF VERSION', '42601', 'syntax error at end of input'],
    ['SELECT * FROM patient AS OF VERSION -1', '22023', 'version in AS OF must not be negative'],
    [
      'SELECT * FROM patient AS OF POSITION 9223372036854775808',
      '22003',
      'position in AS OF is out of range',
    ],
    ['SELECT * FROM patient AS OF TIMESTAMP 5', '42601', 'syntax error at or near "5"'],
    [
      'SELECT * FROM patient AS OF VERSION 1 TABLESAMPLE system (1)',
      '0A000',
      'TABLESAMPLE of events, history or past state is not supported',
    ],
    [
      'PREPARE p AS SELECT * FROM patient_events',
      '0A000',
      'PREPARE of a query on events, history or past state is not supported',
    ],
  ])('%s', (sql, sqlstate, message) => expect(failure(sql)).toMatchObject({ sqlstate, message }));
});

describe('conditions', () => {
  const id = (operator: string, values: unknown[], array = false) => ({
    column: 'aggregate_id',
    operator,
    values,
    array,
  });
  const literal = (value: string) => ({ kind: 'literal', value });

  it.each<[string, unknown]>([
    ["aggregate_id = 'a'", [id('=', [literal('a')])]],
    ["'a' = patient_events.aggregate_id::text", []],
    ["'a'::varchar = patient_events.aggregate_id", [id('=', [literal('a')])]],
    ["aggregate_id IN ('a', $1) AND true", [id('in', [literal('a'), { kind: 'parameter', number: 1 }])]],
    ['aggregate_id = ANY ($1::text[])', [id('in', [{ kind: 'parameter', number: 1 }], true)]],
    ["aggregate_id = ANY ('{a,b}')", [id('in', [literal('{a,b}')], true)]],
    ["aggregate_id = ANY (ARRAY['a','b'])", [id('in', [literal('a'), literal('b')])]],
    ["aggregate_id > 'a'", []],
    ["aggregate_id = 'a' OR version = 1", []],
    ["NOT aggregate_id = 'a'", []],
    ["aggregate_id NOT IN ('a')", []],
    ["aggregate_id = ALL ('{a}')", []],
    ['version = 1.5', []],
    ["recorded_at >= 'yesterday'", []],
    ["recorded_at >= '2026-01-01 10:00'::date", []],
    ["e.aggregate_id = 'a'", []],
    ['version + 1 = 2', []],
  ])('%s', (where, expected) => {
    expect(conditions(`SELECT * FROM patient_events WHERE ${where}`)).toEqual(expected);
  });

  it('reads ranges from either side', () => {
    const found = conditions(`SELECT * FROM patient_events WHERE 5 < position AND position BETWEEN 7 AND $2
      AND (version <= 3 AND recorded_at >= DATE '2026-01-01')`);
    expect(found?.map(({ column, operator }) => `${column} ${operator}`)).toEqual([
      'position >',
      'position >=',
      'position <=',
      'version <=',
      'recorded_at >=',
    ]);
  });

  it('needs a qualified name under joins and respects what hides it', () => {
    const join = (tail: string) =>
      conditions(`SELECT * FROM note n LEFT JOIN patient AS OF VERSION 1 p ON true ${tail}`);
    expect(join("WHERE p.aggregate_id = 'a'")).toHaveLength(1);
    expect(join("WHERE aggregate_id = 'a'")).toEqual([]);
    expect(join("WHERE n.aggregate_id = 'a'")).toEqual([]);
    const hidden = "SELECT * FROM (patient_events e JOIN note n ON true) AS j WHERE e.aggregate_id = 'a'";
    expect(conditions(hidden)).toEqual([]);
    expect(conditions("SELECT * FROM patient_events AS e(aggregate_id) WHERE aggregate_id = 'a'")).toEqual(
      [],
    );
    expect(conditions("SELECT * FROM (SELECT * FROM patient_events) x WHERE aggregate_id = 'a'")).toEqual([]);
  });
});

describe('a look-up of one aggregate', () => {
  it.each([
    'SELECT * FROM patient WHERE aggregate_id = $1',
    "SELECT upper, age + 1 AS next FROM patient p WHERE 'a' = p.aggregate_id AND version > $1 LIMIT 1",
    "SELECT (note->>'x')::int, CASE WHEN a IS NULL THEN 0 ELSE 1 END FROM public.patient WHERE aggregate_id = $1 ORDER BY 1",
    'SELECT COALESCE(a, $2::text), GREATEST(1, b), c BETWEEN 1 AND 2 FROM patient WHERE (aggregate_id = $1 AND NOT d) AND e IN (1, $3)',
  ])('%s', (sql) => expect(read(sql).isLookup).toBe(true));

  it.each([
    'SELECT * FROM patient',
    'SELECT * FROM patient WHERE version = 1',
    'SELECT * FROM patient WHERE aggregate_id = $1 OR true',
    'SELECT * FROM patient WHERE aggregate_id > $1',
    'SELECT * FROM patient WHERE NOT (aggregate_id = $1)',
    'SELECT * FROM patient, note WHERE aggregate_id = $1',
    'SELECT * FROM patient AS OF VERSION 1 WHERE aggregate_id = $1',
    'SELECT * FROM patient_events WHERE aggregate_id = $1',
    'SELECT pg_sleep(1) FROM patient WHERE aggregate_id = $1',
    'SELECT current_user FROM patient WHERE aggregate_id = $1',
    'SELECT (SELECT 1) FROM patient WHERE aggregate_id = $1',
    'SELECT count(*) FROM patient WHERE aggregate_id = $1',
    "SELECT status ~ '(a+)+b' FROM patient WHERE aggregate_id = $1",
    "SELECT 'x'::regclass FROM patient WHERE aggregate_id = $1",
    'SELECT DISTINCT status FROM patient WHERE aggregate_id = $1',
    'SELECT status FROM patient WHERE aggregate_id = $1 UNION SELECT status FROM patient',
    'SELECT 1 OPERATOR(pg_catalog.+) 1 FROM patient WHERE aggregate_id = $1',
    'EXPLAIN SELECT * FROM patient WHERE aggregate_id = $1',
  ])('not %s', (sql) => expect(read(sql).isLookup).toBe(false));
});
