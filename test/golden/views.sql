-- prelude: clinic
-- Views of the users' own live in schema views, which the search path holds; they show what their reader may see.

CREATE VIEW admitted AS SELECT * FROM patient WHERE status IS NOT NULL;
SELECT aggregate_id, status FROM admitted;
SELECT count(*) FROM views.admitted;
\d+ admitted
CREATE OR REPLACE VIEW views.names (id, full_name) AS SELECT aggregate_id, first_name || ' ' || last_name FROM patient;
SELECT * FROM names ORDER BY id;
CREATE VIEW busy AS SELECT n.full_name, count(*) FROM names n JOIN appointment a ON a.patient_id = n.id GROUP BY 1;
SELECT * FROM busy;
CREATE MATERIALIZED VIEW per_status AS SELECT status, count(*) AS n FROM patient GROUP BY status ORDER BY 1;
SELECT * FROM per_status ORDER BY 1;
INSERT INTO events.patient_created VALUES ('p-9', 'Eve');
SELECT * FROM per_status ORDER BY 1;
REFRESH MATERIALIZED VIEW per_status;
SELECT * FROM per_status ORDER BY 1;
DROP VIEW names;
DROP VIEW names CASCADE;
SELECT * FROM busy;
\dv
\dm
DROP VIEW per_status;
DROP MATERIALIZED VIEW IF EXISTS per_status, nothing;
\dm
-- Refused: what a view may not hold, and everything that is no view.
CREATE VIEW v AS SELECT nothing FROM patient;
CREATE VIEW ünï AS SELECT 'ä', nothing FROM patient;
CREATE VIEW v AS SELECT pg_sleep(1) FROM patient;
CREATE VIEW v AS SELECT * FROM pg_class;
CREATE VIEW v AS SELECT * FROM nothing;
CREATE VIEW v AS SELECT * FROM eventful.events;
CREATE VIEW v AS SELECT * FROM patient_events;
CREATE VIEW v AS SELECT * FROM events.patient_created;
CREATE VIEW v AS SELECT * FROM patient AS OF VERSION 1;
CREATE VIEW v AS SELECT $1;
CREATE VIEW patient AS SELECT 1 AS a;
CREATE VIEW patient_events AS SELECT 1 AS a;
CREATE VIEW public.v AS SELECT 1 AS a;
CREATE TEMP VIEW v AS SELECT 1 AS a;
CREATE RECURSIVE VIEW v (n) AS SELECT 1;
CREATE VIEW v WITH (security_barrier) AS SELECT 1 AS a;
CREATE VIEW v AS SELECT 1 AS a WITH CHECK OPTION;
CREATE MATERIALIZED VIEW v WITH (fillfactor = 70) AS SELECT 1 AS a;
CREATE VIEW v AS SELECT 1 AS a; 
CREATE VIEW v AS SELECT 1 AS a; 
CREATE OR REPLACE VIEW v AS SELECT 'x' AS a; 
CREATE OR REPLACE VIEW v AS SELECT 1 AS a, 2 AS b; 
CREATE OR REPLACE VIEW v AS SELECT a, a AS b FROM v; 
REFRESH MATERIALIZED VIEW v;
REFRESH MATERIALIZED VIEW CONCURRENTLY v;
CREATE AGGREGATE v (x text, EVENT e);
INSERT INTO v VALUES (1);
UPDATE admitted SET status = 'x';
DROP VIEW public.patient_events;
BEGIN;
CREATE AGGREGATE toy (name text, EVENT toy_made);
CREATE VIEW toys AS SELECT name FROM toy;
CREATE MATERIALIZED VIEW toy_names AS SELECT * FROM toys;
INSERT INTO events.toy_made VALUES ('t-1', 'train');
COMMIT;
SELECT * FROM toys;
SELECT * FROM toy_names;
BEGIN; REFRESH MATERIALIZED VIEW toy_names; ROLLBACK;
CREATE MATERIALIZED VIEW bad AS SELECT 1 / (version - version) AS a FROM patient;
SELECT * FROM bad;
REFRESH MATERIALIZED VIEW bad;
CREATE MATERIALIZED VIEW later AS SELECT 1 AS a WITH NO DATA;
SELECT * FROM later;
REFRESH MATERIALIZED VIEW later;
SELECT * FROM later;
REFRESH MATERIALIZED VIEW later WITH NO DATA;
-- A new field changes no view: the star was written out when the view was made.
CREATE AGGREGATE parcel (EVENT parcel_sent);
INSERT INTO events.parcel_sent (aggregate_id, weight) VALUES ('x-1', '5');
CREATE VIEW parcels AS SELECT * FROM parcel;
CREATE MATERIALIZED VIEW parcel_list AS TABLE parcels;
INSERT INTO events.parcel_sent (aggregate_id, weight, colour) VALUES ('x-2', '7', 'red');
SELECT aggregate_id, weight FROM parcels ORDER BY 1;
SELECT column_name FROM information_schema.columns WHERE table_name = 'parcels' ORDER BY ordinal_position;
SELECT aggregate_id, weight FROM parcel_list;
-- A view shows committed state, also to the transaction that has appended.
BEGIN;
INSERT INTO events.parcel_sent (aggregate_id, weight) VALUES ('x-3', '9');
SELECT count(*) FROM parcel;
SELECT count(*) FROM parcels;
ROLLBACK;
-- Two views may be dropped together, in any order; a rollback keeps them.
BEGIN;
DROP MATERIALIZED VIEW parcel_list;
DROP VIEW parcels;
ROLLBACK;
SELECT count(*) FROM parcels;
CREATE VIEW a AS SELECT 1 AS n;
CREATE VIEW b AS SELECT n FROM a;
CREATE VIEW c AS SELECT a.n FROM a JOIN b USING (n);
DROP VIEW a, c, b;
CREATE MATERIALIZED VIEW data AS SELECT 1 AS data WITH DATA;
CREATE MATERIALIZED VIEW IF NOT EXISTS data AS SELECT 2 AS data;
SELECT data FROM data;
CREATE MATERIALIZED VIEW data2 AS SELECT 1 AS data;
SELECT data FROM data2;
CREATE TABLE x AS SELECT 1;
CREATE INDEX ON data (data);
ALTER VIEW a RENAME TO b;
ALTER MATERIALIZED VIEW data OWNER TO me;
COMMENT ON VIEW parcels IS 'x';
GRANT SELECT ON parcels TO PUBLIC;
-- Their history is kept as that of the schema is.
SELECT aggregate_id, version, event_type, actor FROM eventful.events WHERE aggregate_type = 'eventful.view' AND aggregate_id IN ('names', 'v', 'a', 'toy_names') ORDER BY position;
