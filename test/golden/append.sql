-- prelude: clinic
-- INSERT … EVENTS appends; a field left out keeps its value, a field given NULL is cleared.
INSERT INTO patient EVENTS patient_created (aggregate_id, first_name, last_name, birthdate) VALUES ('p-9', 'Grace', 'Hopper', '1906-12-09');
SELECT aggregate_id, version, first_name, last_name, birthdate, status FROM patient WHERE aggregate_id = 'p-9';
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-9', 'admitted');
INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES ('p-9', NULL);
SELECT aggregate_id, version, first_name, last_name, status FROM patient WHERE aggregate_id = 'p-9';
-- Several rows, to several aggregates and twice to one, in the order they stand.
INSERT INTO patient EVENTS patient_updated (aggregate_id, weight) VALUES ('p-1', 61.5), ('p-2', 70), ('p-1', '62.25') RETURNING aggregate_id, version, position;
SELECT aggregate_id, version, weight FROM patient ORDER BY aggregate_id;
-- What is stored is the text that was given; the read model's column has the type.
INSERT INTO patient EVENTS patient_updated (aggregate_id, weight) VALUES ('p-2', '071.50');
SELECT payload FROM patient_events WHERE aggregate_id = 'p-2' ORDER BY version DESC LIMIT 1;
SELECT weight, weight + 1 AS more FROM patient WHERE aggregate_id = 'p-2';
-- Quoting is PostgreSQL's.
INSERT INTO public.patient EVENTS "patient_updated" ("aggregate_id", status) VALUES ($q$p'3$q$, E'tab\there'), (U&'\00e9', 'it''s');
SELECT aggregate_id, version, status FROM patient WHERE aggregate_id IN ('p''3', 'é') ORDER BY 1;
-- metadata goes with the event, not into the state.
INSERT INTO patient EVENTS patient_updated (aggregate_id, status, metadata) VALUES ('p-2', 'moved', '{"reason": "ward closed"}');
SELECT event_type, payload, metadata FROM patient_events WHERE aggregate_id = 'p-2' ORDER BY version DESC LIMIT 1;
-- One row that is wrong, and nothing is appended.
SELECT count(*) FROM eventful.events WHERE aggregate_type = 'patient';
INSERT INTO patient EVENTS patient_updated (aggregate_id, weight) VALUES ('p-1', 1), ('p-1', 'heavy');
SELECT count(*) FROM eventful.events WHERE aggregate_type = 'patient';
