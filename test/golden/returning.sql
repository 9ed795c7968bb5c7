-- prelude: clinic
-- RETURNING: which columns, under which names, and what is not known before COMMIT.
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'x') RETURNING aggregate_id, version, position, event_type, actor, event_id, event_hash, recorded_at;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'x') RETURNING *;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'x') RETURNING version AS v, position "Position";
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'x'), ('p-2', 'x') RETURNING aggregate_id, version;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'x') RETURNING patient.version;
-- The types.
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'x') RETURNING aggregate_id, version, position, event_id, event_hash, recorded_at \gdesc
-- Not in RETURNING.
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'x') RETURNING status;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'x') RETURNING version + 1;
-- In a transaction position, hash and time do not exist before COMMIT.
BEGIN;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-2', 'y') RETURNING version, position, event_hash, recorded_at, actor;
COMMIT;
SELECT version, position FROM patient_events WHERE aggregate_id = 'p-2' ORDER BY version DESC LIMIT 1;
