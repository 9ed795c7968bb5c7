-- prelude: clinic
-- Whatever would change or delete is refused with 0A000 and a hint that shows the event to append, however well hidden.
UPDATE patient SET status = 'dead' WHERE aggregate_id = 'p-1';
UPDATE patient SET last_name = $1, status = lower('X') WHERE birthdate < '1900-01-01';
DELETE FROM patient WHERE aggregate_id = 'p-1';
TRUNCATE patient;
MERGE INTO patient p USING patient q ON p.aggregate_id = q.aggregate_id WHEN MATCHED THEN DELETE;
INSERT INTO patient (aggregate_id, first_name) VALUES ('p-8', 'Eve');
INSERT INTO patient VALUES ('p-8');
COPY patient FROM STDIN;
COPY patient TO '/tmp/x';
COPY patient TO PROGRAM 'cat';
SELECT * FROM patient FOR UPDATE;
SELECT * FROM patient AS OF VERSION 1 FOR SHARE;
SELECT 1 INTO x;
CREATE TABLE x AS SELECT 1;
-- DDL.
CREATE TABLE x (a int);
CREATE TEMP TABLE x (a int);
CREATE VIEW public.x AS SELECT 1;
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE ROLE r;
CREATE EXTENSION dblink;
ALTER TABLE patient ADD COLUMN x text;
DROP TABLE patient;
DROP AGGREGATE patient;
DROP SCHEMA public CASCADE;
GRANT ALL ON patient TO public;
VACUUM;
-- Hidden.
WITH d AS (DELETE FROM patient RETURNING *) SELECT * FROM d;
WITH u AS (UPDATE patient SET status = 'x' RETURNING *) SELECT * FROM u;
WITH i AS (INSERT INTO patient EVENTS patient_updated (aggregate_id) VALUES ('p-1') RETURNING *) SELECT * FROM i;
DO $$ BEGIN DELETE FROM patient; END $$;
SELECT 1\; DELETE FROM patient\; SELECT 2;
EXPLAIN ANALYZE DELETE FROM patient;
EXPLAIN DELETE FROM patient;
PREPARE d AS DELETE FROM patient;
DECLARE c CURSOR FOR DELETE FROM patient;
SELECT query_to_xml('DELETE FROM patient', true, true, '');
SELECT query_to_xml('UPDATE patient SET status = ''x''', true, true, '');
SELECT lo_create(0);
SELECT pg_notify('patient', 'forged');
NOTIFY patient, 'forged';
SELECT set_config('role', 'postgres', false);
SELECT set_config('session_authorization', 'postgres', false);
SET ROLE postgres;
SET SESSION AUTHORIZATION postgres;
SET transaction_read_only = off;
SET standard_conforming_strings = off;
SELECT pg_read_file('/etc/passwd');
SELECT pg_terminate_backend(1);
SELECT pg_reload_conf();
SELECT nextval('x');
LOCK TABLE patient;
-- Nothing of it has changed anything.
SELECT aggregate_id, version, status FROM patient ORDER BY 1;
SELECT current_user = session_user AS same_user;
