import { beforeAll, describe, expect, it } from 'vitest';
import { prepareParser } from './parse.js';
import { failure, marked, parseKind } from './testing.js';

beforeAll(prepareParser);

describe('CREATE VIEW', () => {
  it('keeps the query, where it stands, and what it reads and calls', () => {
    const sql = `/* ä */ CREATE OR REPLACE VIEW views.names (id, "Full name") WITH (security_invoker = true) AS
      WITH p AS (SELECT * FROM public.patient) SELECT p.aggregate_id, upper(p.last_name) FROM p
      JOIN other o USING (aggregate_id) WHERE EXISTS (SELECT 1 FROM views.third WHERE lower(x) = 'a') -- end`;
    const view = parseKind(sql, 'createView');
    expect(view).toMatchObject({
      name: 'names',
      materialized: false,
      orReplace: true,
      columns: ['id', 'Full name'],
      types: ['patient'],
      views: [{ name: 'other' }, { name: 'third' }],
      functions: ['upper', 'lower'],
    });
    expect(view.query).toMatch(/^WITH p AS[^]*= 'a'\)$/);
    expect([...sql].slice(view.queryOffset, view.queryOffset + 4).join('')).toBe('WITH');
    expect([...sql].slice((view.views[1]?.position ?? 0) - 1).join('')).toMatch(/^views\.third/);
  });

  it.each([
    ['CREATE MATERIALIZED VIEW m AS SELECT 1 AS data', 'SELECT 1 AS data', true],
    ['CREATE MATERIALIZED VIEW m (with_data) AS TABLE patient WITH DATA', 'TABLE patient', true],
    [
      "CREATE MATERIALIZED VIEW IF NOT EXISTS m AS VALUES ('no data') WITH NO DATA;",
      "VALUES ('no data')",
      false,
    ],
    ['CREATE MATERIALIZED VIEW m AS SELECT first_name AS no, last_name data FROM patient', null, true],
  ])('%s', (sql, query, populate) => {
    const view = parseKind(sql, 'createView');
    expect(view).toMatchObject({ name: 'm', materialized: true, populate });
    expect(view.query).toBe(query ?? sql.slice(sql.indexOf('SELECT')));
  });

  it.each([
    ['CREATE VIEW §public.v AS SELECT 1', '0A000'],
    ['CREATE VIEW §other.views.v AS SELECT 1', '0A000'],
    ['CREATE VIEW §pg_v AS SELECT 1', '42939'],
    ['CREATE VIEW v AS SELECT §$1', '42P02'],
    ['CREATE VIEW v AS SELECT * FROM §pg_class', '0A000'],
    ['CREATE VIEW v AS SELECT * FROM §pg_catalog.pg_class', '0A000'],
    ['CREATE VIEW v AS SELECT (SELECT count(*) FROM §information_schema.tables)', '0A000'],
    ['CREATE VIEW v AS SELECT * FROM §patient_history', '0A000'],
    ['CREATE VIEW v AS SELECT * FROM §events.patient_created', '0A000'],
    ['CREATE VIEW v AS SELECT * FROM patient, §eventful.events', '0A000'],
    ['CREATE VIEW v AS SELECT * FROM §patient AS OF VERSION 3', '0A000'],
    ['CREATE VIEW v AS SELECT * FROM patient §FOR UPDATE', '0A000'],
    ['CREATE VIEW v AS DELETE FROM patient', '42601'],
    ['CREATE VIEW v AS WITH d AS (DELETE FROM §patient RETURNING *) SELECT * FROM d', '0A000'],
    ['CREATE VIEW v WITH (§security_barrier) AS SELECT 1', '0A000'],
    ['CREATE VIEW v WITH (§security_invoker = false) AS SELECT 1', '0A000'],
    ['CREATE VIEW v AS SELECT 1 WITH LOCAL CHECK OPTION', '0A000'],
    ['CREATE TEMP VIEW v AS SELECT 1', '0A000'],
    ['CREATE RECURSIVE VIEW v (n) AS SELECT 1', '0A000'],
    ['§CREATE MATERIALIZED VIEW v TABLESPACE fast AS SELECT 1', '0A000'],
    ['CREATE MATERIALIZED VIEW v AS EXECUTE x', '42601'],
    ['CREATE OR REPLACE MATERIALIZED VIEW v AS SELECT 1', '42601'],
    ['CREATE VIEW v', '42601'],
    [`CREATE VIEW v AS §SELECT '${'x'.repeat(65_536)}'`, '54000'],
  ])('refuses %s', (text, sqlstate) => {
    const { sql, position } = marked(text);
    const error = failure(sql);
    expect(error.sqlstate).toBe(sqlstate);
    if (text.includes('§')) expect(error.position).toBe(position);
  });
});

describe('REFRESH and DROP', () => {
  it('name views of schema views', () => {
    expect(parseKind('REFRESH MATERIALIZED VIEW m', 'refreshView')).toMatchObject({
      name: 'm',
      withData: true,
    });
    expect(parseKind('REFRESH MATERIALIZED VIEW views.m WITH NO DATA', 'refreshView').withData).toBe(false);
    expect(parseKind('DROP VIEW IF EXISTS a, views."B" CASCADE', 'dropView')).toEqual({
      kind: 'dropView',
      names: ['a', 'B'],
      materialized: false,
      ifExists: true,
      cascade: true,
    });
    expect(parseKind('DROP MATERIALIZED VIEW m', 'dropView')).toMatchObject({
      materialized: true,
      cascade: false,
    });
  });

  it.each([
    'REFRESH MATERIALIZED VIEW CONCURRENTLY m',
    'REFRESH MATERIALIZED VIEW public.m',
    'DROP VIEW public.patient_events',
    'DROP VIEW eventful.events',
    'ALTER VIEW v RENAME TO w',
    'ALTER MATERIALIZED VIEW m RENAME TO w',
    'CREATE INDEX ON views.m (a)',
    'DROP TABLE views.m',
    'DROP SCHEMA views',
    'CREATE TABLE views.t (a int)',
    'TRUNCATE views.m',
  ])('0A000: %s', (sql) => {
    expect(failure(sql).sqlstate).toBe('0A000');
  });
});
