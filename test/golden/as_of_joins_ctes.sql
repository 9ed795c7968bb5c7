-- prelude: clinic
-- AS OF stands behind any table reference: joins, subqueries, CTEs, set operations, with aliases.
SELECT now_.aggregate_id, old.last_name AS was, now_.last_name AS is
  FROM patient now_ JOIN patient AS OF VERSION 1 old USING (aggregate_id) ORDER BY 1;
SELECT p.first_name, a.reason, a.starts_at
  FROM patient AS OF VERSION 2 p JOIN appointment AS OF VERSION 1 AS a ON a.patient_id = p.aggregate_id;
SELECT v1.status AS v1, v2.status AS v2, v3.status AS v3
  FROM patient AS OF VERSION 1 v1, patient AS OF VERSION 2 v2, patient AS OF VERSION 3 v3
  WHERE v1.aggregate_id = 'p-1' AND v2.aggregate_id = v1.aggregate_id AND v3.aggregate_id = v1.aggregate_id;
WITH past AS (SELECT * FROM patient AS OF VERSION 1), changed AS (
  SELECT aggregate_id FROM past EXCEPT SELECT aggregate_id FROM patient WHERE version = 1)
SELECT * FROM changed;
SELECT aggregate_id FROM patient p WHERE EXISTS (SELECT FROM patient AS OF VERSION 1 o WHERE o.aggregate_id = p.aggregate_id AND o.last_name <> p.last_name);
SELECT (SELECT status FROM patient AS OF VERSION 2 WHERE aggregate_id = 'p-1') AS scalar;
SELECT p.aggregate_id, l.n FROM patient p LEFT JOIN LATERAL (SELECT count(*) AS n FROM patient_events e WHERE e.aggregate_id = p.aggregate_id) l ON true ORDER BY 1;
SELECT aggregate_id, version FROM patient AS OF VERSION 1 UNION ALL SELECT aggregate_id, version FROM appointment AS OF VERSION 2 ORDER BY 1, 2;
SELECT version, count(*) FROM patient AS OF VERSION 2 GROUP BY version HAVING count(*) > 0 ORDER BY version;
-- A CTE or an alias of the same name hides the aggregate.
WITH patient AS (SELECT 1 AS one) SELECT * FROM patient;
WITH patient AS (SELECT 1 AS one) SELECT * FROM patient AS OF VERSION 1;
-- Positions of errors are those of the client's own text.
SELECT nothing FROM patient AS OF VERSION 1 p JOIN appointment AS OF VERSION 1 a ON a.patient_id = p.aggregate_id;
SELECT p.aggregate_id FROM patient AS OF VERSION 1 p WHERE p.wrong = 1;
-- EXPLAIN, cursors, COPY.
EXPLAIN (COSTS off) SELECT 1;
BEGIN;
DECLARE c CURSOR FOR SELECT aggregate_id, version FROM patient AS OF VERSION 1 ORDER BY 1;
FETCH 1 FROM c;
FETCH ALL FROM c;
CLOSE c;
COMMIT;
COPY (SELECT aggregate_id, version FROM patient AS OF VERSION 1 ORDER BY 1) TO STDOUT WITH (FORMAT csv, HEADER);
PREPARE past AS SELECT aggregate_id, version FROM patient AS OF VERSION 1 WHERE aggregate_id = $1;
EXECUTE past('p-1');
