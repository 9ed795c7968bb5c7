import { beforeAll, describe, expect, it } from 'vitest';
import { prepareParser } from './parse.js';
import { failure, marked } from './testing.js';

beforeAll(prepareParser);

describe('hints show the statement to write', () => {
  it.each([
    [
      "UPDATE patient SET status = 'x' WHERE aggregate_id='p-1'",
      "INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'x')",
    ],
    [
      'UPDATE public.patient AS p SET birthdate = $1 WHERE p.aggregate_id = $2 AND true',
      'INSERT INTO patient EVENTS patient_created (aggregate_id, birthdate) VALUES ($2, $1)',
    ],
    [
      'UPDATE patient SET status = upper(status)',
      'INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES (…, …)',
    ],
    ["UPDATE patient SET status = 'a', birthdate = NULL", '<event_type> (aggregate_id, status, birthdate)'],
    [
      "DELETE FROM patient WHERE aggregate_id = 'p-1'",
      "INSERT INTO patient EVENTS <event_type> (aggregate_id) VALUES ('p-1')",
    ],
    [
      "INSERT INTO patient (aggregate_id, status) VALUES ('p', 'it''s')",
      "INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p', 'it''s')",
    ],
    ['INSERT INTO patient VALUES (1)', 'EVENTS'],
    ['TRUNCATE patient', 'INSERT INTO patient EVENTS'],
    [
      'MERGE INTO patient p USING note n ON p.aggregate_id = n.aggregate_id WHEN MATCHED THEN DELETE',
      'INSERT INTO patient EVENTS',
    ],
    ['COPY patient FROM STDIN', 'INSERT INTO patient EVENTS'],
    ['SELECT * FROM patient FOR UPDATE', 'EXPECT VERSION'],
    ['CREATE TABLE x (a int)', 'CREATE AGGREGATE'],
    ['DROP TABLE patient', 'Nothing is ever dropped'],
  ])('%s', (sql, hint) => {
    const error = failure(sql);
    expect(error.sqlstate).toBe('0A000');
    expect(error.hint).toContain(hint);
  });
});

describe('refused', () => {
  it.each([
    'WITH x AS (DELETE FROM patient RETURNING *) SELECT * FROM x',
    'SELECT * FROM (WITH x AS (UPDATE patient SET status = 1 RETURNING *) SELECT * FROM x) y',
    'WITH x AS (INSERT INTO patient EVENTS patient_updated (aggregate_id) VALUES (1) RETURNING *) SELECT * FROM x',
    'WITH x AS (SELECT 1) DELETE FROM patient',
    'EXPLAIN DELETE FROM patient',
    'PREPARE p AS DELETE FROM patient',
    'PREPARE p AS INSERT INTO patient EVENTS patient_updated (aggregate_id) VALUES ($1)',
    'DECLARE c CURSOR FOR SELECT * FROM patient FOR UPDATE',
    'COPY (DELETE FROM patient RETURNING *) TO STDOUT',
    "COPY patient TO '/tmp/x'",
    "COPY patient TO PROGRAM 'cat'",
    'COPY patient EVENTS patient_created (aggregate_id) FROM STDIN (FORMAT binary)',
    "COPY patient EVENTS patient_created (aggregate_id) FROM '/etc/passwd'",
    'COPY patient EVENTS patient_created (aggregate_id) TO STDOUT',
    'SELECT * INTO x FROM patient',
    'SELECT * FROM (SELECT * FROM patient FOR SHARE) x',
    'SELECT 1 UNION (SELECT 2 FROM patient FOR NO KEY UPDATE)',
    'CREATE INDEX ON patient (status)',
    'CREATE OR REPLACE VIEW public.v AS SELECT 1',
    'CREATE MATERIALIZED VIEW public.v AS SELECT 1',
    'CREATE TEMP TABLE t AS SELECT 1',
    'CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END',
    'CREATE EXTENSION dblink',
    'CREATE ROLE x SUPERUSER',
    'CREATE OR REPLACE AGGREGATE x',
    'ALTER AGGREGATE patient LOCK',
    'ALTER SYSTEM SET x = 1',
    'ALTER ROLE x RENAME TO y',
    'DROP AGGREGATE patient',
    'DROP OWNED BY x',
    'DO $$ BEGIN END $$',
    'GRANT SELECT ON patient TO x',
    'REVOKE ALL ON patient FROM x',
    'NOTIFY patient',
    'VACUUM',
    'ANALYZE patient',
    'REINDEX TABLE patient',
    'CLUSTER',
    'CHECKPOINT',
    "LOAD 'x'",
    'REFRESH MATERIALIZED VIEW CONCURRENTLY v',
    'LOCK TABLE patient',
    "PREPARE TRANSACTION 'x'",
    "COMMIT PREPARED 'x'",
    "SECURITY LABEL ON TABLE patient IS 'x'",
    "COMMENT ON TABLE patient IS 'x'",
    'IMPORT FOREIGN SCHEMA a FROM SERVER b INTO c',
    'REASSIGN OWNED BY a TO b',
    'SET CONSTRAINTS ALL DEFERRED',
    'SET standard_conforming_strings = off',
    "SELECT set_config('standard_conforming_strings', 'off', false)",
    'SELECT 1; DELETE FROM patient',
  ])('%s', (sql) => {
    const error = failure(sql);
    expect(error.sqlstate).toBe('0A000');
    expect(error.hint ?? '').not.toBe('');
  });

  it.each([
    'SET ROLE postgres',
    'SET LOCAL ROLE postgres',
    'SET "role" = postgres',
    'SET SESSION AUTHORIZATION postgres',
    "SELECT set_config('role', 'postgres', false)",
    "SELECT * FROM patient WHERE pg_catalog.set_config('Session_Authorization', x, true) = ''",
  ])('another identity: %s', (sql) => expect(failure(sql).sqlstate).toBe('42501'));

  it.each([
    ["SELECT 'é'; UPDATE §patient SET status = 1"],
    ["SELECT 'é'; SELECT * FROM patient §FOR UPDATE"],
    ["SELECT 'é'; §CREATE TABLE x ()"],
    ['WITH x AS (DELETE FROM §patient) SELECT 1'],
  ])('points at %s', (text) => {
    const { sql, position } = marked(text);
    expect(failure(sql).position).toBe(position);
  });
});
