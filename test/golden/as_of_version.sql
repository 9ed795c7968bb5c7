-- prelude: clinic
-- AS OF VERSION n: every aggregate as it was at that version; one that never got so far has no row.
SELECT aggregate_id, version, last_name, status FROM patient AS OF VERSION 1 WHERE aggregate_id = 'p-1';
SELECT aggregate_id, version, last_name, status FROM patient AS OF VERSION 2 WHERE aggregate_id = 'p-1';
SELECT aggregate_id, version, last_name, status FROM patient AS OF VERSION 3 WHERE aggregate_id = 'p-1';
SELECT aggregate_id, version, last_name, status FROM patient AS OF VERSION 99 WHERE aggregate_id = 'p-1';
SELECT aggregate_id, version, last_name FROM patient AS OF VERSION 0 WHERE aggregate_id = 'p-1';
SELECT aggregate_id, version, last_name FROM patient AS OF VERSION 2 ORDER BY aggregate_id;
SELECT p.aggregate_id, p.last_name FROM patient AS OF VERSION 1 p WHERE p.last_name LIKE 'K%';
SELECT p.aggregate_id FROM patient AS OF VERSION 1 AS p (aggregate_id) ORDER BY 1;
SELECT patient.aggregate_id FROM public.patient AS OF VERSION '1' ORDER BY 1;
SELECT birthdate, pg_typeof(birthdate), extract(year FROM birthdate) AS year FROM patient AS OF VERSION 1 WHERE aggregate_id IN ('p-1');
-- Uncommitted appends do not belong to the past.
BEGIN;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'new');
SELECT version, status FROM patient AS OF VERSION 99 WHERE aggregate_id = 'p-1';
ROLLBACK;
-- What is no version.
SELECT * FROM patient AS OF VERSION -1;
SELECT * FROM patient AS OF VERSION 'x';
SELECT * FROM patient AS OF VERSION;
SELECT * FROM patient AS OF VERSION 1.5;
SELECT * FROM patient AS OF YESTERDAY;
SELECT * FROM patient_events AS OF VERSION 1;
SELECT * FROM nobody AS OF VERSION 1;
SELECT * FROM pg_class AS OF VERSION 1;
