-- prelude: clinic
-- A transaction sees its own appends, others see them after COMMIT; ROLLBACK and savepoints discard.
BEGIN;
INSERT INTO patient EVENTS patient_created (aggregate_id, first_name) VALUES ('p-7', 'Katherine') RETURNING version;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'readmitted') RETURNING version;
SELECT aggregate_id, version, first_name, status FROM patient ORDER BY aggregate_id;
SELECT count(*) AS appointments FROM appointment;
COMMIT;
SELECT aggregate_id, version, first_name, status FROM patient ORDER BY aggregate_id;
-- ROLLBACK.
BEGIN;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'gone');
SELECT version, status FROM patient WHERE aggregate_id = 'p-1';
ROLLBACK;
SELECT version, status FROM patient WHERE aggregate_id = 'p-1';
-- Savepoints.
BEGIN;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-2', 'kept');
SAVEPOINT s;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-2', 'dropped');
SELECT version, status FROM patient WHERE aggregate_id = 'p-2';
ROLLBACK TO s;
SELECT version, status FROM patient WHERE aggregate_id = 'p-2';
RELEASE s;
INSERT INTO patient EVENTS patient_updated (aggregate_id, weight) VALUES ('p-2', 80) EXPECT VERSION 2 RETURNING version;
COMMIT;
SELECT version, status, weight FROM patient WHERE aggregate_id = 'p-2';
-- An error fails the transaction; only its end is accepted, and COMMIT rolls back.
BEGIN;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'lost');
INSERT INTO patient EVENTS patient_updated (aggregate_id, statsu) VALUES ('p-1', 'x');
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'x');
SELECT 1;
COMMIT;
SELECT version, status FROM patient WHERE aggregate_id = 'p-1';
-- A savepoint saves what came before it from an error.
BEGIN;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'saved');
SAVEPOINT s;
SELECT 1/0;
ROLLBACK TO SAVEPOINT s;
COMMIT;
SELECT version, status FROM patient WHERE aggregate_id = 'p-1';
-- Warnings and errors as PostgreSQL's.
COMMIT;
ROLLBACK;
SAVEPOINT s;
BEGIN;
BEGIN;
ROLLBACK TO nowhere;
ROLLBACK;
-- Several statements in one message are one transaction.
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'one')\; SELECT 1/0;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'one')\; INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'two') RETURNING version;
SELECT version, status FROM patient WHERE aggregate_id = 'p-1';
-- COMMIT AND CHAIN, and a read-only transaction.
BEGIN;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'chained');
COMMIT AND CHAIN;
ROLLBACK;
SELECT version, status FROM patient WHERE aggregate_id = 'p-1';
BEGIN READ ONLY;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'read only');
ROLLBACK;
SELECT version, status FROM patient WHERE aggregate_id = 'p-1';
