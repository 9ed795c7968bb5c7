-- prelude: clinic
-- What the engine will do, and around it PostgreSQL's own plan.
EXPLAIN (COSTS off) SELECT last_name FROM patient AS OF VERSION 2 WHERE aggregate_id = 'p-1' AND status = 'x';
EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off)
  SELECT p.last_name, c.version FROM patient AS OF POSITION 9 p JOIN patient c USING (aggregate_id)
  WHERE p.aggregate_id IN ('p-1', 'p-2', 'p-3') ORDER BY 1;
EXPLAIN (COSTS off) SELECT count(*) FROM patient_history h WHERE h.aggregate_id = 'p-1' AND version > 1;
EXPLAIN (COSTS off) SELECT * FROM eventful.events WHERE position BETWEEN 4 AND 1000 AND event_type = 'patient_updated';
EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) SELECT * FROM patient_events WHERE aggregate_id = 'p-1' AND version = 2;
EXPLAIN (VERBOSE, COSTS off) SELECT aggregate_type FROM eventful.aggregates LIMIT 1;
EXPLAIN (COSTS off, FORMAT json) SELECT last_name FROM patient AS OF VERSION 2 p WHERE aggregate_id = 'p-1';
EXPLAIN (COSTS off, FORMAT yaml) SELECT last_name FROM patient AS OF VERSION 2 p WHERE aggregate_id = 'p-1' AND status = 'x';
EXPLAIN (COSTS off, FORMAT xml) SELECT last_name FROM patient AS OF VERSION 2 p WHERE aggregate_id = 'p-1' AND p.status < 'x';
-- A relayed statement: as PostgreSQL shows it.
EXPLAIN (COSTS off) SELECT last_name FROM patient WHERE status = 'x';
-- An append is checked, not done.
EXPLAIN INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'x'), ('p-1', 'y'), ('p-7', 'z');
EXPLAIN INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'x') EXPECT VERSION 2;
EXPLAIN INSERT INTO patient EVENTS patient_updated (aggregate_id, weight) VALUES ('p-1', 'heavy');
EXPLAIN (COSTS off) INSERT INTO patient EVENTS patient_updated (aggregate_id, status)
  SELECT aggregate_id, 'seen' FROM patient AS OF VERSION 1 WHERE last_name > 'L';
SELECT aggregate_id, version FROM patient ORDER BY 1;
-- ANALYZE does it, as in PostgreSQL.
EXPLAIN (ANALYZE, SUMMARY off) INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'x') EXPECT EXISTS RETURNING version;
EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) INSERT INTO patient EVENTS patient_updated (aggregate_id, status)
  SELECT aggregate_id, 'seen' FROM patient AS OF VERSION 1 WHERE last_name > 'L';
EXPLAIN (ANALYZE, SUMMARY off, FORMAT json) INSERT INTO patient EVENTS (aggregate_id, event_type, payload, event_id)
  VALUES ('p-9', 'patient_created', '{"first_name":"Grace"}', '7c9e6679-7425-40de-944b-e07fc1f90ae7') ON CONFLICT (event_id) DO NOTHING;
EXPLAIN (ANALYZE, SUMMARY off) INSERT INTO patient EVENTS (aggregate_id, event_type, payload, event_id)
  VALUES ('p-9', 'patient_created', '{"first_name":"Grace"}', '7c9e6679-7425-40de-944b-e07fc1f90ae7') ON CONFLICT (event_id) DO NOTHING;
EXPLAIN (ANALYZE) INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'x') EXPECT VERSION 1;
SELECT aggregate_id, version FROM patient ORDER BY 1;
-- In a transaction: its own appends, and nothing of an EXPLAIN.
BEGIN;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-2', 'own');
EXPLAIN INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-2', 'x') RETURNING version;
EXPLAIN (COSTS off) SELECT last_name FROM patient c WHERE status = 'own';
ROLLBACK;
-- Procedures.
EXPLAIN CALL verify('patient');
EXPLAIN (FORMAT json) CALL prove('patient', 'p-1', version => 1);
EXPLAIN (ANALYZE, SUMMARY off) CALL verify();
-- What EXPLAIN does not take.
EXPLAIN (NONSENSE) CALL verify();
EXPLAIN (FORMAT csv) CALL verify();
EXPLAIN (ANALYZE maybe) CALL verify();
EXPLAIN CREATE AGGREGATE x (a text);
EXPLAIN COPY patient EVENTS patient_updated (aggregate_id) FROM STDIN;
BEGIN READ ONLY;
EXPLAIN INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'x');
EXPLAIN ANALYZE INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'x');
ROLLBACK;
