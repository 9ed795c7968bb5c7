-- prelude: clinic
-- Each event type is a relation of schema events: INSERT INTO events.x means INSERT INTO aggregate EVENTS x.
INSERT INTO events.patient_created (aggregate_id, first_name, last_name) VALUES ('p-3', 'Grace', 'Hopper');
INSERT INTO "events"."patient_created" ("aggregate_id", "first_name") VALUES ('p-4', 'Barbara'), ('p-5', 'Katherine') RETURNING aggregate_id, version, position;
INSERT INTO eventful.events.patient_updated AS u (aggregate_id, status) VALUES ('p-3', 'admitted') RETURNING u.aggregate_id, u.version;
INSERT INTO events.patient_updated VALUES ('p-3', 'Hopper-Murray') RETURNING *;
INSERT INTO events.patient_updated (aggregate_id, last_name, weight, expected_version) VALUES ('p-3', DEFAULT, '60.123', 3) RETURNING *;
INSERT INTO events.patient_updated VALUES ('p-3', 'Hopper-Murray',1,2,3,4,5,6,7,8);
SELECT aggregate_id, version, first_name, last_name, status FROM patient ORDER BY 1;
SELECT * FROM events.patient_updated WHERE aggregate_id = 'p-3';
SELECT count(*), max(events.patient_created.birthdate) FROM events.patient_created;
\d events.patient_created
\dt events.*
SELECT query_to_xml('SELECT * FROM events.patient_created', true, true, '');
SET search_path = events;
SELECT * FROM patient_created;
RESET search_path;
SELECT table_schema, table_name, table_type, is_insertable_into FROM information_schema.tables WHERE table_schema = 'events' ORDER BY 2;
SELECT column_name, data_type, is_nullable, column_default, is_generated FROM information_schema.columns WHERE table_schema = 'events' AND table_name = 'patient_created' ORDER BY ordinal_position;
UPDATE events.patient_created SET first_name = 'x';
DELETE FROM events.patient_created;
TRUNCATE events.patient_created;
COPY events.appointment_moved FROM STDIN;
a-1	1990-05-03 10:30+00	\N	\N	\N
\.
COPY events.appointment_moved (aggregate_id, starts_at) FROM STDIN WITH (FORMAT csv, HEADER);
id,at
a-1,1990-05-04 10:30+00
\.
COPY events.appointment_moved TO STDOUT;
INSERT INTO events.patient_create (aggregate_id) VALUES ('x');
WITH i AS (INSERT INTO events.patient_updated (aggregate_id) VALUES ('p-1') RETURNING *) SELECT * FROM i;
PREPARE i AS INSERT INTO events.patient_updated (aggregate_id) VALUES ('p-1');
INSERT INTO events.patient_updated (aggregate_id, status) SELECT aggregate_id, 'seen' FROM patient WHERE status IS NULL ON CONFLICT (event_id) DO NOTHING RETURNING aggregate_id, status;
INSERT INTO patient_created (aggregate_id) VALUES ('x');
-- A name that two events could mean is refused, and one of both is found under aggregate_event.
CREATE AGGREGATE account (n bigint, EVENT opened);
INSERT INTO events.opened (aggregate_id, n) VALUES ('a', 1) RETURNING *;
CREATE AGGREGATE door (n bigint, who text, EVENT opened, EVENT account_opened, EVENT shut (n));
INSERT INTO events.opened (aggregate_id, n) VALUES ('a', 1);
INSERT INTO events.door_opened (aggregate_id, n, who) VALUES ('d', 1, 'me') RETURNING events.door_opened.who;
INSERT INTO events.account_opened (aggregate_id, n) VALUES ('a', 1);
SELECT * FROM events.opened;
\dt events.*
CREATE AGGREGATE note (a text, EVENT noted (a)) WITH (open = on);
INSERT INTO events.noted (aggregate_id, a, b) VALUES ('a', 1, 2);
INSERT INTO events.noted (aggregate_id, a, b) VALUES ('a', 1, 2);
SELECT * FROM events.noted;
CREATE AGGREGATE free (EVENT thing);
INSERT INTO events.thing (aggregate_id, "Ä b", flag) VALUES ('a', 1, true) RETURNING *;
INSERT INTO events.thing (aggregate_id, "Ä b", flag) VALUES ('a', 1, true) RETURNING *;
INSERT INTO events.thing (SELECT 'a', 'x') RETURNING version;
INSERT INTO events.thing VALUES (gen_random_uuid(), DEFAULT);
INSERT INTO events.thing DEFAULT VALUES;
INSERT INTO events.thing (aggregate_id, version) VALUES ('a', 1);
INSERT INTO events.thing (flag) VALUES (true);
INSERT INTO events.thing (aggregate_id) VALUES ('b') EXPECT NONE RETURNING version AS v, position + 1;
INSERT INTO events.thing (aggregate_id) VALUES ('a') EXPECT NONE;
INSERT INTO events.thing (aggregate_id) VALUES ('a') ON CONFLICT (aggregate_id) DO UPDATE SET flag = 'x';
SELECT t.* FROM events.thing t JOIN free USING (aggregate_id) WHERE t.version > 1 ORDER BY t.version;
EXPLAIN SELECT * FROM events.thing;
SELECT * FROM events.thing AS OF VERSION 1;
-- An append is an append: transactions, idempotency and the checks of values are the same.
BEGIN;
INSERT INTO events.shut (aggregate_id, n) VALUES ('d', 2) RETURNING version, position;
SELECT aggregate_id, version, n FROM door;
SELECT count(*) AS committed_only FROM events.shut;
ROLLBACK;
INSERT INTO events.shut (aggregate_id, n, event_id) VALUES ('d', 3, '7c9e6679-7425-40de-944b-e07fc1f90ae7');
INSERT INTO events.shut (aggregate_id, n, event_id) VALUES ('d', 3, '7c9e6679-7425-40de-944b-e07fc1f90ae7') ON CONFLICT (event_id) DO NOTHING RETURNING version;
INSERT INTO events.shut (aggregate_id, n, event_id) VALUES ('d', 4, '7c9e6679-7425-40de-944b-e07fc1f90ae7') ON CONFLICT (event_id) DO NOTHING;
INSERT INTO events.shut (aggregate_id, n) VALUES ('d', 'many');
INSERT INTO events.shut (aggregate_id, n, who) VALUES ('d', 1, 'me');
INSERT INTO other.events.shut (aggregate_id) VALUES ('d');
INSERT INTO events.shut EVENTS shut (aggregate_id) VALUES ('d');
COPY events.shut FROM '/tmp/x';
COPY events.shut (aggregate_id, n, version) FROM STDIN;
ALTER TABLE events.shut ADD COLUMN x text;
DROP TABLE events.shut;
