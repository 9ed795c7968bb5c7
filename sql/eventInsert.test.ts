import { beforeAll, describe, expect, it } from 'vitest';
import { prepareParser } from './parse.js';
import { failure, marked, parse, parseKind } from './testing.js';

beforeAll(prepareParser);

describe('INSERT INTO events.name', () => {
  it.each([
    [
      'INSERT INTO events.patient_created (aggregate_id, first_name) VALUES ($1, $2)',
      '(aggregate_id, first_name) VALUES ($1, $2)',
    ],
    [
      `INSERT INTO "eventful"."events"."patient_created" AS t ("aggregate_id", "first_name") SELECT aggregate_id, 'x' FROM patient
       EXPECT EXISTS ON CONFLICT (event_id) DO NOTHING RETURNING t.version AS v, event_id`,
      `(aggregate_id, first_name) SELECT aggregate_id, 'x' FROM patient
       EXPECT EXISTS ON CONFLICT (event_id) DO NOTHING RETURNING version AS v, event_id`,
    ],
    [
      'WITH n AS (SELECT 1) INSERT INTO events.patient_created (aggregate_id, first_name) SELECT * FROM n, n m EXPECT NONE',
      null,
    ],
  ])('means INSERT INTO aggregate EVENTS name: %s', (sql, rest) => {
    const dialect =
      rest === null
        ? sql.replace('events.patient_created', 'patient EVENTS patient_created')
        : `INSERT INTO patient EVENTS patient_created ${rest}`;
    const [own, same] = [parseKind(sql, 'append'), parseKind(dialect, 'append')];
    // The query's text stands at another place; everything else is the same.
    expect({ ...own, source: own.source.kind }).toEqual({ ...same, source: same.source.kind });
    if (own.source.kind === 'values') expect(own.source).toEqual(same.source);
    else if (same.source.kind === 'query')
      expect(own.source.read.sql.split(/\s+/)).toEqual(same.source.read.sql.split(/\s+/));
  });

  it('takes its columns in the order of the relation where no list is given', () => {
    const columns = (sql: string): readonly string[] => parseKind(sql, 'append').columns;
    const all = ['aggregate_id', 'last_name', 'status', 'event_id', 'metadata', 'expected_version'];
    expect(columns("INSERT INTO events.patient_updated VALUES ('p', 'x')")).toEqual(all.slice(0, 2));
    expect(columns("INSERT INTO events.patient_updated SELECT 'p', 'x', 'y'")).toEqual(all.slice(0, 3));
    expect(columns("INSERT INTO events.patient_updated (SELECT 'p', 'x', 'y')")).toEqual(all.slice(0, 3));
    expect(columns('INSERT INTO events.patient_updated SELECT * FROM patient')).toEqual(all);
    expect(parseKind('INSERT INTO events.patient_updated TABLE patient', 'append').rowsMayBeShort).toBe(true);
    expect(parseKind("INSERT INTO events.note_note_written VALUES ('n')", 'append').columns).toEqual([
      'aggregate_id',
    ]);
  });

  it('takes DEFAULT beside constants and parameters', () => {
    const sql = "INSERT INTO events.patient_updated (aggregate_id, status) VALUES ($1, DEFAULT), ('p', NULL)";
    expect(parseKind(sql, 'append').source).toMatchObject({
      rows: [
        [{ kind: 'parameter' }, { kind: 'default' }],
        [{ kind: 'literal' }, { kind: 'literal', value: null }],
      ],
    });
  });

  it('RETURNING * gives every column of the relation, fields with their types', () => {
    const { returning } = parseKind("INSERT INTO events.patient_created VALUES ('p') RETURNING *", 'append');
    expect(returning.map(({ label }) => label)).toEqual(
      `aggregate_id first_name last_name birthdate event_id metadata expected_version version position recorded_at actor
       event_hash`.split(/\s+/),
    );
    expect(returning[3]?.column).toEqual({ name: 'birthdate', type: 'date' });
  });

  it('knows the aggregates made earlier in the same text', () => {
    const [, insert] = parse(
      "CREATE AGGREGATE toy (EVENT toy_made); INSERT INTO events.toy_made VALUES ('t')",
    );
    expect(insert).toMatchObject({ kind: 'append', aggregateType: 'toy', eventType: 'toy_made' });
  });

  it.each([
    ["INSERT INTO §events.patient_create VALUES ('p')", '42P01'],
    // An event of two aggregates stands under neither's name alone.
    ["CREATE AGGREGATE a (EVENT patient_created); INSERT INTO §events.patient_created VALUES ('p')", '42P09'],
    ["INSERT INTO §db.events.patient_created VALUES ('p')", '0A000'],
    ["INSERT INTO events.patient_created (aggregate_id, §status) VALUES ('p', 'x')", '42703'],
    ["INSERT INTO events.patient_created (aggregate_id, §version) VALUES ('p', 1)", '428C9'],
    ["INSERT INTO events.patient_created (§first_name) VALUES ('p')", '42601'],
    ["INSERT INTO events.patient_updated VALUES ('p', 1, 2, 3, 4, 5, §6)", '42601'],
    ["INSERT INTO events.patient_updated (aggregate_id, status) VALUES (lower('P'), §DEFAULT)", '0A000'],
    ['INSERT INTO §events.patient_updated DEFAULT VALUES', '0A000'],
    ["INSERT INTO events.patient_updated VALUES ('p') §ON CONFLICT DO UPDATE SET status = 'x'", '0A000'],
    ["INSERT INTO events.patient_updated VALUES ('p') RETURNING §version + 1", '0A000'],
    ["INSERT INTO events.patient_updated VALUES ('p') RETURNING §first_name", '42703'],
    ["WITH i AS (INSERT INTO §events.patient_updated VALUES ('p') RETURNING *) SELECT * FROM i", '0A000'],
    ["UPDATE §events.patient_updated SET status = 'x'", '0A000'],
    ['DELETE FROM §events.patient_updated', '0A000'],
    ['SELECT * FROM §events.patient_create', '42P01'],
  ])('%s is %s', (text, sqlstate) => {
    const { sql, position } = marked(text);
    const error = failure(sql);
    expect(error.sqlstate).toBe(sqlstate);
    if (sqlstate !== '42601' || text.includes('§6')) expect(error.position).toBe(position);
  });

  it('says how to name an event that two aggregates have', () => {
    const two = 'CREATE AGGREGATE cat (EVENT fed); CREATE AGGREGATE dog (EVENT fed);';
    expect(failure(`${two} SELECT * FROM events.fed`).hint).toBe(
      'Write events.cat_fed or events.dog_fed or INSERT INTO cat EVENTS fed or INSERT INTO dog EVENTS fed.',
    );
    expect(parse(`${two} INSERT INTO events.dog_fed VALUES ('d')`)[2]).toMatchObject({
      aggregateType: 'dog',
    });
  });
});

describe('COPY events.name', () => {
  it('means COPY aggregate EVENTS name', () => {
    const own = parseKind(
      'COPY events.patient_created (aggregate_id, first_name) FROM STDIN WITH (FORMAT csv)',
      'copy',
    );
    const same =
      'COPY patient EVENTS patient_created (aggregate_id, first_name) FROM STDIN WITH (FORMAT csv)';
    expect(own).toEqual(parseKind(same, 'copy'));
    expect(parseKind('COPY events.note_note_written FROM STDIN', 'copy').columns).toEqual([
      'aggregate_id',
      'event_id',
      'metadata',
      'expected_version',
    ]);
  });

  it('TO reads the relation', () => {
    expect(parseKind('COPY events.note_note_written TO STDOUT', 'read').engineRelations).toHaveLength(1);
    expect(parseKind("COPY (SELECT 'a from b') TO STDOUT", 'read').form).toBe('copy');
  });
});

describe('reading events.name', () => {
  it('takes the conditions that the engine can apply', () => {
    const sql =
      'SELECT * FROM events.patient_created e WHERE e.aggregate_id = $1 AND e.position > 5 AND first_name = $2';
    expect(parseKind(sql, 'read').engineRelations).toMatchObject([
      {
        source: { kind: 'event', aggregateType: 'patient', eventType: 'patient_created' },
        conditions: [{ column: 'aggregate_id' }, { column: 'position' }],
      },
    ]);
  });
});
