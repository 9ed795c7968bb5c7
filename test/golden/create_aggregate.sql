-- CREATE AGGREGATE declares fields and events; what it accepts, what it refuses, and that it is transactional.
CREATE AGGREGATE patient (
  first_name text, born date, weight numeric(5,2), notes,
  EVENT patient_created (first_name, born),
  EVENT patient_weighed (weight),
  EVENT "patient-corrected"
) WITH (snapshot_threshold = 50);
-- A field without a type is text; an event without a list carries every field.
SELECT field, type, ordinal FROM eventful.fields WHERE aggregate_type = 'patient' ORDER BY ordinal;
SELECT event_type, fields FROM eventful.event_types WHERE aggregate_type = 'patient' ORDER BY event_type;
SELECT aggregate_type, aggregates, snapshot_threshold, open FROM eventful.aggregates;
-- The relations are there at once, empty, and typed.
SELECT * FROM patient;
SELECT pg_typeof(born), pg_typeof(weight), pg_typeof(version) FROM (SELECT) s LEFT JOIN patient ON true;
-- Declared twice.
CREATE AGGREGATE patient (first_name text, EVENT e);
CREATE AGGREGATE IF NOT EXISTS patient (first_name text, EVENT e);
-- Names and types that cannot be.
CREATE AGGREGATE a (version bigint, EVENT e);
CREATE AGGREGATE a (x text, x date, EVENT e);
CREATE AGGREGATE a (x money, EVENT e);
CREATE AGGREGATE a (x varchar(0), EVENT e);
CREATE AGGREGATE a (x text, EVENT e (y));
CREATE AGGREGATE a (x text, EVENT e, EVENT e);
CREATE AGGREGATE patient_events (x text, EVENT e);
CREATE AGGREGATE pg_a (x text, EVENT e);
CREATE AGGREGATE a (x text, EVENT e) WITH (snapshot_threshold = 0);
CREATE AGGREGATE a (x text, EVENT e) WITH (speed = 9);
CREATE AGGREGATE a (x text EVENT e);
-- Several in one transaction apply together or not at all.
BEGIN;
CREATE AGGREGATE ward (name text, EVENT ward_opened);
INSERT INTO ward EVENTS ward_opened (aggregate_id, name) VALUES ('w-1', 'North');
CREATE AGGREGATE bed (ward text, EVENT bed_placed);
ROLLBACK;
SELECT aggregate_type FROM eventful.aggregates ORDER BY 1;
BEGIN;
CREATE AGGREGATE ward (name text, EVENT ward_opened);
INSERT INTO ward EVENTS ward_opened (aggregate_id, name) VALUES ('w-1', 'North');
CREATE AGGREGATE bed (ward text, EVENT bed_placed);
COMMIT;
SELECT aggregate_type FROM eventful.aggregates ORDER BY 1;
SELECT aggregate_id, version, name FROM ward;
