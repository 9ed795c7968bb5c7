import { beforeAll, describe, expect, it } from 'vitest';
import { prepareParser } from './parse.js';
import { RETURNING_COLUMNS } from './statement.js';
import { failure, marked, parse, parseKind } from './testing.js';

beforeAll(prepareParser);

const literal = (value: string | null) => ({ kind: 'literal', value });
const parameter = (number: number) => ({ kind: 'parameter', number });

describe('CREATE AGGREGATE', () => {
  it('reads fields, events and options', () => {
    const sql = `CREATE AGGREGATE IF NOT EXISTS public."Order" (
      id uuid, total numeric(10,2), paid bool, at timestamptz, due timestamp with time zone, n int, label varchar(20),
      free, event text, "Odd Name" double precision, big int8, t time without time zone, d decimal(5),
      EVENT created (id, total), EVENT "paid-up", EVENT nothing ()
    ) WITH (snapshot_threshold = 50, open = on);`;
    const { definition, ifNotExists } = parseKind(sql, 'createAggregate');
    expect(ifNotExists).toBe(true);
    expect(definition).toEqual({
      type: 'Order',
      fields: [
        { name: 'id', type: 'uuid' },
        { name: 'total', type: 'numeric(10,2)' },
        { name: 'paid', type: 'boolean' },
        { name: 'at', type: 'timestamp with time zone' },
        { name: 'due', type: 'timestamp with time zone' },
        { name: 'n', type: 'integer' },
        { name: 'label', type: 'character varying(20)' },
        { name: 'free', type: 'text' },
        { name: 'Odd Name', type: 'double precision' },
        { name: 'big', type: 'bigint' },
        { name: 't', type: 'time without time zone' },
        { name: 'd', type: 'numeric(5,0)' },
      ],
      events: [
        { name: 'text', fields: null },
        { name: 'created', fields: ['id', 'total'] },
        { name: 'paid-up', fields: null },
        { name: 'nothing', fields: [] },
      ],
      open: true,
      snapshotThreshold: 50,
      comment: null,
    });
  });

  it('is open without fields and closed with them', () => {
    expect(parseKind('create aggregate a', 'createAggregate').definition).toMatchObject({
      open: true,
      fields: [],
      snapshotThreshold: 25,
    });
    expect(parseKind('create aggregate a (event x, event y)', 'createAggregate').definition.open).toBe(true);
    expect(parseKind('create aggregate a (x)', 'createAggregate').definition.open).toBe(false);
    expect(parseKind("create aggregate a with (open = 'off')", 'createAggregate').definition.open).toBe(
      false,
    );
  });

  it('is known to what follows in the same text', () => {
    const [, append] = parse(
      "CREATE AGGREGATE a (x, EVENT e); INSERT INTO a EVENTS e (aggregate_id, x) VALUES ('1', 2)",
    );
    expect(append).toMatchObject({ kind: 'append', aggregateType: 'a', eventType: 'e' });
  });

  it.each([
    ['CREATE AGGREGATE §', '42601', 'syntax error at end of input'],
    ['CREATE AGGREGATE §; SELECT 1', '42601', 'syntax error at or near ";"'],
    ["SELECT 'é'; CREATE AGGREGATE a (é text, §select text)", '42601', 'syntax error at or near "select"'],
    ['CREATE AGGREGATE a (x §money)', '42704', 'type "money" does not exist'],
    ['CREATE AGGREGATE a (x §text[])', '42704', 'type "text[]" does not exist'],
    ['CREATE AGGREGATE a (x §time with time zone)', '42704', 'type "time with time zone" does not exist'],
    ['CREATE AGGREGATE a (x §text(3))', '42601', 'type modifier is not allowed for type "text"'],
    ['CREATE AGGREGATE a (x, §x)', '42701', 'field "x" specified more than once'],
    ['CREATE AGGREGATE a (x, EVENT e (x, §x))', '42701', 'field "x" specified more than once'],
    ['CREATE AGGREGATE a (x, EVENT e, EVENT §e)', '42710', 'event "e" specified more than once'],
    ['CREATE AGGREGATE a (status, EVENT e (§statu))', '42703', 'field "statu" of event "e" does not exist'],
    ['CREATE AGGREGATE a (§aggregate_id text)', '42939', 'field name "aggregate_id" is reserved'],
    ['CREATE AGGREGATE a (§"__proto__" text)', '42939', 'field name "__proto__" is reserved'],
    ['CREATE AGGREGATE a (§xmin)', '42939', 'field name "xmin" is reserved'],
    [
      'CREATE AGGREGATE §patient_events',
      '42P07',
      'aggregate name "patient_events" collides with aggregate "patient"',
    ],
    [
      'CREATE AGGREGATE a WITH (snapshot_threshold = §0)',
      '22023',
      'value 0 out of bounds for option "snapshot_threshold"',
    ],
    ['CREATE AGGREGATE a WITH (§size = 1)', '22023', 'unrecognized parameter "size"'],
    ['CREATE AGGREGATE a WITH (open = §maybe)', '42601', 'syntax error at or near "maybe"'],
    ['CREATE AGGREGATE §other.a', '3F000', 'schema "other" cannot hold aggregates'],
    ['CREATE AGGREGATE a (x) §y', '42601', 'syntax error at or near "y"'],
    [`CREATE AGGREGATE §${'a'.repeat(64)}`, '42622', `name "${'a'.repeat(64)}" is longer than 63 bytes`],
  ])('%s', (text, sqlstate, message) => {
    const { sql, position } = marked(text);
    expect(failure(sql)).toMatchObject({ sqlstate, message, position });
  });

  it('has limits', () => {
    const fields = (count: number) => Array.from({ length: count }, (_, index) => `f${index}`).join(',');
    expect(() => parse(`CREATE AGGREGATE a (${fields(1000)})`)).not.toThrow();
    expect(failure(`CREATE AGGREGATE a (${fields(1001)})`)).toMatchObject({ sqlstate: '54000' });
  });
});

describe('COMMENT ON AGGREGATE', () => {
  it('reads text and NULL', () => {
    expect(parseKind("COMMENT ON AGGREGATE patient IS E'a\\nb'\n'c'", 'comment').comment).toBe('a\nbc');
    expect(parseKind('COMMENT ON AGGREGATE public.patient IS NULL', 'comment').comment).toBeNull();
  });
  it.each([
    ['COMMENT ON AGGREGATE §patiet IS NULL', '42P01', 'aggregate "patiet" does not exist'],
    ['COMMENT ON AGGREGATE patient IS §5', '42601', 'syntax error at or near "5"'],
    ['COMMENT ON AGGREGATE patient§(int) IS NULL', '42601', 'syntax error at or near "("'],
  ])('%s', (text, sqlstate, message) => {
    const { sql, position } = marked(text);
    expect(failure(sql)).toMatchObject({ sqlstate, message, position });
  });
});

describe('INSERT … EVENTS', () => {
  it('reads constants and parameters as text', () => {
    const sql = `INSERT INTO patient EVENTS patient_created (aggregate_id, first_name, last_name, birthdate)
      VALUES ($1, 'O''Hara', 1.50, DATE '2020-01-01'), ('p', NULL, -5, $2::date), (E'\\n', true, 0x1F, '2020-01-01'::date)
      EXPECT VERSION 3 ON CONFLICT (event_id) DO NOTHING RETURNING version AS v, "patient".event_id`;
    expect(parseKind(sql, 'append')).toEqual({
      kind: 'append',
      aggregateType: 'patient',
      eventType: 'patient_created',
      columns: ['aggregate_id', 'first_name', 'last_name', 'birthdate'],
      rowsMayBeShort: false,
      source: {
        kind: 'values',
        rows: [
          [parameter(1), literal("O'Hara"), literal('1.50'), literal('2020-01-01')],
          [literal('p'), literal(null), literal('-5'), parameter(2)],
          [literal('\n'), literal('true'), literal('31'), literal('2020-01-01')],
        ],
      },
      expected: { kind: 'version', version: 3n },
      ignoreDuplicate: true,
      returning: [
        { column: 'version', label: 'v' },
        { column: 'event_id', label: 'event_id' },
      ],
    });
  });

  const base = "INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p', 's')";
  it.each([
    ['', { kind: 'any' }],
    ['EXPECT ANY', { kind: 'any' }],
    ['EXPECT EXISTS RETURNING *', { kind: 'exists' }],
    ['EXPECT NONE', { kind: 'version', version: 0n }],
    [
      'ON CONFLICT DO NOTHING EXPECT VERSION 9223372036854775807',
      { kind: 'version', version: 2n ** 63n - 1n },
    ],
    ['EXPECT VERSION $7', { kind: 'operand', version: parameter(7) }],
  ])('%s', (tail, expected) => expect(parseKind(`${base} ${tail}`, 'append').expected).toEqual(expected));

  it('returns every column for *', () => {
    expect(parseKind(`${base} RETURNING *`, 'append').returning.map(({ column }) => column)).toEqual([
      ...RETURNING_COLUMNS,
    ]);
  });

  it('takes the event type from each row', () => {
    const sql = `insert into public.patient events (aggregate_id, event_type, payload, event_id, metadata, expected_version)
      values ('p-1', 'patient_updated', '{"status":"x"}'::jsonb, $1, '{}', 9)`;
    expect(parseKind(sql, 'append')).toMatchObject({ eventType: null, source: { kind: 'values' } });
  });

  it('takes any field for an open aggregate', () => {
    const sql = `INSERT INTO note EVENTS note_written (aggregate_id, anything, "Größe") VALUES (1, 2, 3)`;
    expect(parseKind(sql, 'append').columns).toEqual(['aggregate_id', 'anything', 'Größe']);
  });

  it.each([
    ["VALUES (upper('a'), 1.5::int)"],
    ['SELECT aggregate_id, status FROM patient AS OF VERSION 3 JOIN note USING (aggregate_id)'],
    ['WITH x AS (SELECT 1) SELECT a, b FROM x'],
    ["VALUES ('a', 'b') ORDER BY 1"],
    ['TABLE patient_events'],
    ['SELECT e.*, f.expect version FROM a JOIN b expect ON conflict = 1'],
    ["(SELECT 'a', 'b' FROM patient_events)"],
  ])('relays the query %s', (query) => {
    const sql = `INSERT INTO patient EVENTS patient_updated (aggregate_id, status) ${query} EXPECT ANY ON CONFLICT (event_id) DO NOTHING RETURNING version`;
    const { source } = parseKind(`SELECT 'é'; ${sql}`.slice(12), 'append');
    if (source.kind !== 'query') throw new Error('not a query');
    expect(source.read.sql.trim()).toBe(query);
    expect(source.read.sql.length).toBe(sql.length);
  });

  it('keeps a WITH in front', () => {
    const sql = `WITH x AS (SELECT 1) INSERT INTO patient EVENTS patient_updated (aggregate_id, status) SELECT 'a', 'b' FROM x`;
    const { source } = parseKind(sql, 'append');
    expect(source.kind === 'query' && source.read.sql.replace(/ +/g, ' ')).toBe(
      "WITH x AS (SELECT 1) SELECT 'a', 'b' FROM x",
    );
  });

  it.each([
    [
      "INSERT INTO §patiet EVENTS x (aggregate_id) VALUES ('p')",
      '42P01',
      'aggregate "patiet" does not exist',
    ],
    [
      "INSERT INTO patient EVENTS §patient_update (aggregate_id) VALUES ('p')",
      '42704',
      'event "patient_update" of aggregate "patient" does not exist',
    ],
    [
      "/* é */ INSERT INTO patient EVENTS patient_updated (aggregate_id, §statos) VALUES ('p', 1)",
      '42703',
      'column "statos" of relation "patient" does not exist',
    ],
    [
      "INSERT INTO patient EVENTS patient_updated (aggregate_id, §birthdate) VALUES ('p', 1)",
      '42703',
      'event "patient_updated" has no field "birthdate"',
    ],
    [
      'INSERT INTO patient EVENTS patient_updated (§status) VALUES (1)',
      '42601',
      'column "aggregate_id" is missing',
    ],
    ["INSERT INTO patient EVENTS (§aggregate_id) VALUES ('p')", '42601', 'the event type is missing'],
    [
      "INSERT INTO patient EVENTS patient_updated (aggregate_id, §event_type) VALUES ('p', 'x')",
      '42601',
      'the event type is given twice',
    ],
    [
      "INSERT INTO patient EVENTS patient_updated (aggregate_id, §expected_version) VALUES ('p', 1) EXPECT ANY",
      '42601',
      'the expected version is given twice',
    ],
    [
      "INSERT INTO patient EVENTS patient_updated (aggregate_id, §version) VALUES ('p', 1)",
      '428C9',
      'column "version" is set by the server',
    ],
    [
      "INSERT INTO note EVENTS note_written (aggregate_id, §valid_from) VALUES ('p', 1)",
      '42939',
      'field name "valid_from" is reserved',
    ],
    [
      "INSERT INTO patient EVENTS patient_updated (aggregate_id, status, §status) VALUES ('p', 1, 2)",
      '42701',
      'column "status" specified more than once',
    ],
    [
      "INSERT INTO patient EVENTS patient_updated §VALUES ('p', 1)",
      '42601',
      'syntax error at or near "VALUES"',
    ],
    [
      'INSERT INTO patient EVENTS patient_updated (aggregate_id, status) §',
      '42601',
      'syntax error at end of input',
    ],
    [
      "INSERT INTO patient EVENTS patient_updated (aggregate_id) VALUES ('p', §2)",
      '42601',
      'INSERT has more expressions than target columns',
    ],
    [
      "INSERT INTO patient EVENTS patient_updated (aggregate_id, §status) VALUES ('p')",
      '42601',
      'INSERT has more target columns than expressions',
    ],
    [
      'INSERT INTO patient EVENTS patient_updated (aggregate_id, §status) SELECT 1',
      '42601',
      'INSERT has more target columns than expressions',
    ],
    [
      "INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p', 1), (§'q')",
      '42601',
      'VALUES lists must all be the same length',
    ],
    [
      "INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p', §DEFAULT)",
      '0A000',
      'DEFAULT in INSERT … EVENTS is not supported',
    ],
    [
      "INSERT INTO patient EVENTS patient_updated (aggregate_id) VALUES ('é') EXPECT VERSION §x",
      '42601',
      'syntax error at or near "x"',
    ],
    [
      "INSERT INTO patient EVENTS patient_updated (aggregate_id) VALUES ('é') EXPECT §SOME",
      '42601',
      'syntax error at or near "SOME"',
    ],
    [
      "INSERT INTO patient EVENTS patient_updated (aggregate_id) VALUES ('é') EXPECT VERSION §",
      '42601',
      'syntax error at end of input',
    ],
    [
      "INSERT INTO patient EVENTS patient_updated (aggregate_id) VALUES ('é') EXPECT ANY §EXPECT ANY",
      '42601',
      'syntax error at or near "EXPECT"',
    ],
    [
      "INSERT INTO patient EVENTS patient_updated (aggregate_id) VALUES ('é') RETURNING §status",
      '42703',
      'column "status" does not exist',
    ],
    [
      "INSERT INTO patient EVENTS patient_updated (aggregate_id) VALUES ('é') RETURNING §version + 1",
      '0A000',
      'an expression in RETURNING is not supported',
    ],
    [
      "INSERT INTO patient EVENTS patient_updated (aggregate_id) VALUES ('é') §ON CONFLICT (event_id) DO UPDATE SET a = 1",
      '0A000',
      'this ON CONFLICT clause is not supported',
    ],
    [
      "INSERT INTO patient EVENTS patient_updated (aggregate_id) VALUES ('é'§",
      '42601',
      'syntax error at end of input',
    ],
    [
      'INSERT INTO patient EVENTS patient_updated (aggregate_id) WITH x AS (DELETE FROM §patient RETURNING *) SELECT a FROM x',
      '0A000',
      'DELETE is not supported',
    ],
    [
      'WITH x AS (§INSERT INTO patient EVENTS patient_updated (aggregate_id) SELECT 1) INSERT INTO patient EVENTS patient_updated (aggregate_id) SELECT 1',
      '0A000',
      'INSERT … EVENTS inside another statement is not supported',
    ],
  ])('%s', (text, sqlstate, message) => {
    const { sql, position } = marked(text);
    expect(failure(sql)).toMatchObject({ sqlstate, message, position });
  });

  it('hints at the nearest name', () => {
    expect(failure("INSERT INTO patiet EVENTS x (aggregate_id) VALUES ('p')").hint).toContain('"patient"');
    expect(
      failure("INSERT INTO patient EVENTS patient_updated (aggregate_id, statos) VALUES ('p',1)").hint,
    ).toContain('"status"');
    expect(
      failure("INSERT INTO patient EVENTS patient_updated (aggregate_id, birthdate) VALUES ('p',1)").hint,
    ).toContain('patient_created');
  });
});

describe('CALL', () => {
  it('reads constants, parameters, arrays and names', () => {
    expect(parseKind("CALL verify('patient', $1)", 'call')).toEqual({
      kind: 'call',
      procedure: 'verify',
      args: [literal('patient'), parameter(1)],
      names: [null, null],
    });
    expect(
      parseKind(
        "CALL token_generate('user', identifier_id => 'u', grants => ARRAY['a','b\"'], write_limit => 5)",
        'call',
      ),
    ).toMatchObject({
      args: [literal('user'), literal('u'), literal('{"a","b\\""}'), literal('5')],
      names: [null, 'identifier_id', 'grants', 'write_limit'],
    });
  });
  it.each([
    ["CALL §verfy('patient')", '42883', 'procedure verfy does not exist'],
    ["CALL §verify('a','b','c')", '42883', 'procedure verify does not take 3 arguments'],
    ["CALL §verify(upper('a'))", '0A000', 'an expression as argument of CALL is not supported'],
    ['CALL §pg_catalog.verify()', '42883', 'procedure pg_catalog.verify does not exist'],
  ])('%s', (text, sqlstate, message) => {
    const { sql, position } = marked(text);
    expect(failure(sql)).toMatchObject({ sqlstate, message, position });
  });
});
