-- prelude: clinic
-- NAME_history has one row per version with the full state; NAME_events the events; eventful.events all types.
SELECT version, last_name, status, event_type, position, valid_to IS NULL AS current FROM patient_history WHERE aggregate_id = 'p-1' ORDER BY version;
SELECT h.version, h.valid_from = e.recorded_at AS from_its_event, h.valid_to = lead(h.valid_from) OVER (ORDER BY h.version) AS to_the_next
  FROM patient_history h JOIN patient_events e USING (aggregate_id, version) WHERE aggregate_id = 'p-1' ORDER BY version;
SELECT * FROM patient_events WHERE aggregate_id = 'p-1' ORDER BY version;
SELECT version, event_type, payload FROM patient_events WHERE aggregate_id = 'p-1' AND version BETWEEN 2 AND 3 ORDER BY 1;
SELECT version FROM patient_events WHERE aggregate_id = ANY ('{p-1,p-2}') AND event_type = 'patient_created';
SELECT version FROM patient_events WHERE aggregate_id = 'p-1' AND (version = 1 OR version = 3) ORDER BY 1;
SELECT aggregate_id FROM patient_events WHERE NOT aggregate_id = 'p-1';
SELECT aggregate_id, count(*) FROM patient_events WHERE position > 0 GROUP BY 1 ORDER BY 1;
SELECT payload->>'last_name' AS last_name FROM patient_events WHERE payload ? 'last_name' ORDER BY position;
SELECT aggregate_type, aggregate_id, version, event_type FROM eventful.events WHERE aggregate_type IN ('patient', 'appointment') ORDER BY position;
-- Positions have no gaps.
SELECT count(*) = max(position) AS gapless, min(position) AS first FROM eventful.events;
SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'patient_events' ORDER BY ordinal_position;
SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'patient_history' ORDER BY ordinal_position;
-- Not yet committed events are not in the log.
BEGIN;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'new');
SELECT count(*) FROM patient_events WHERE aggregate_id = 'p-1';
ROLLBACK;
SELECT nothing FROM patient_events;
SELECT * FROM patients_events;
