-- prelude: clinic
-- VALUES may hold any expression, and the rows may come from a query over the current state.
INSERT INTO patient EVENTS patient_created (aggregate_id, first_name, birthdate) VALUES ('p-' || 40 + 2, upper('ada'), now()::date) RETURNING aggregate_id, version;
SELECT first_name, birthdate = current_date AS today FROM patient WHERE aggregate_id = 'p-42';
INSERT INTO patient EVENTS patient_created (aggregate_id, first_name, event_id) VALUES (gen_random_uuid(), 'Random', gen_random_uuid()) RETURNING version;
SELECT count(*) FROM patient WHERE first_name = 'Random' AND aggregate_id ~ '^[0-9a-f-]{36}$';
INSERT INTO patient EVENTS patient_updated (aggregate_id, weight) VALUES ('p-1', (SELECT 60 + 1.25));
SELECT weight FROM patient WHERE aggregate_id = 'p-1';
-- INSERT … SELECT from state.
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) SELECT aggregate_id, 'reviewed ' || first_name FROM patient WHERE last_name IS NOT NULL ORDER BY aggregate_id RETURNING aggregate_id, version;
SELECT aggregate_id, version, status FROM patient WHERE status LIKE 'reviewed%' ORDER BY 1;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) SELECT aggregate_id, status FROM patient AS OF VERSION 2 WHERE aggregate_id = 'p-1' EXPECT VERSION 5;
SELECT version, status FROM patient WHERE aggregate_id = 'p-1';
WITH old AS (SELECT aggregate_id FROM patient WHERE birthdate < '1900-01-01') INSERT INTO patient EVENTS patient_updated (aggregate_id, status) SELECT aggregate_id, 'old' FROM old RETURNING aggregate_id;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) SELECT 'p-1', 'x' WHERE false RETURNING version;
-- In a transaction it reads what the transaction has appended.
BEGIN;
INSERT INTO patient EVENTS patient_created (aggregate_id, first_name) VALUES ('p-50', 'Own');
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) SELECT aggregate_id, 'own: ' || first_name FROM patient WHERE aggregate_id = 'p-50' RETURNING version;
COMMIT;
SELECT version, status FROM patient WHERE aggregate_id = 'p-50';
-- What does not fit.
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) SELECT aggregate_id FROM patient;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) SELECT aggregate_id, version, status FROM patient;
INSERT INTO patient EVENTS patient_updated (aggregate_id, weight) SELECT aggregate_id, first_name FROM patient WHERE aggregate_id = 'p-1';
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', nothing());
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', DEFAULT);
