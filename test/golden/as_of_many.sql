-- prelude: clinic
-- Looking back over many aggregates: a table of the past in the read model answers, made by the first such query.
INSERT INTO patient EVENTS patient_created (aggregate_id, last_name)
  SELECT 'm-' || lpad(g::text, 4, '0'), 'name ' || g FROM generate_series(1, 1500) AS g;
SELECT max(position) AS middle FROM eventful.events \gset
INSERT INTO patient EVENTS patient_updated (aggregate_id, status)
  SELECT 'm-' || lpad(g::text, 4, '0'), 'closed' FROM generate_series(1, 500) AS g;
EXPLAIN (COSTS off) SELECT status FROM patient AS OF POSITION 0;
SELECT status, count(*) FROM patient AS OF POSITION :middle GROUP BY status ORDER BY status;
SELECT status, count(*) FROM patient AS OF TIMESTAMP 'infinity' GROUP BY status ORDER BY status;
SELECT count(*), min(version), max(version) FROM patient AS OF VERSION 2;
SELECT aggregate_id, version, archived, first_name, last_name, status FROM patient AS OF POSITION :middle WHERE last_name = 'name 7';
-- The plan is PostgreSQL's; it says which versions are read.
EXPLAIN (COSTS off) SELECT status FROM patient AS OF POSITION 1000 p WHERE last_name = 'name 7';
EXPLAIN (COSTS off, FORMAT yaml) SELECT status FROM patient AS OF VERSION 2;
-- What comes later is added when a query needs it.
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('m-1500', 'late'), ('m-1500', 'later');
SELECT version, status FROM patient AS OF TIMESTAMP 'infinity' WHERE status LIKE 'late%';
SELECT status, count(*) FROM patient AS OF POSITION :middle GROUP BY status ORDER BY status;
-- Of few aggregates, asked for by their ids, the engine folds the events.
EXPLAIN (COSTS off) SELECT status FROM patient AS OF POSITION 1000 WHERE aggregate_id IN ('m-0001', 'm-0002');
SELECT aggregate_id, version, status FROM patient AS OF POSITION :middle WHERE aggregate_id IN ('m-0001', 'm-1500') ORDER BY 1;
-- As it does where the transaction's snapshot may be older than the table.
BEGIN ISOLATION LEVEL REPEATABLE READ;
EXPLAIN (COSTS off) SELECT status FROM patient AS OF POSITION 0;
SELECT status, count(*) FROM patient AS OF POSITION :middle GROUP BY status ORDER BY status;
COMMIT;
