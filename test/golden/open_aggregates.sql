-- An aggregate declared without fields is open: a field seen for the first time becomes a text field.
CREATE AGGREGATE device (EVENT reading, EVENT moved);
SELECT aggregate_type, open, fields FROM eventful.aggregates;
INSERT INTO device EVENTS reading (aggregate_id, celsius, unit) VALUES ('d-1', '21.5', 'C');
SELECT aggregate_id, version, celsius, unit FROM device;
INSERT INTO device EVENTS (aggregate_id, event_type, payload) VALUES ('d-1', 'moved', '{"room": "12", "Floor": 3}');
SELECT aggregate_id, version, celsius, room, "Floor" FROM device;
SELECT field, type FROM eventful.fields ORDER BY ordinal;
SELECT celsius, room FROM device AS OF VERSION 1;
INSERT INTO device EVENTS reading (aggregate_id, version) VALUES ('d-1', '1');
INSERT INTO device EVENTS (aggregate_id, event_type, payload) VALUES ('d-1', 'moved', '{"created_at": "x"}');
-- In a transaction the new field is there at once, and gone after ROLLBACK.
BEGIN;
INSERT INTO device EVENTS reading (aggregate_id, humidity) VALUES ('d-1', '40');
SELECT version, humidity FROM device;
ROLLBACK;
SELECT humidity FROM device;
-- Declared fields and WITH (open).
CREATE AGGREGATE sensor (kind text, EVENT seen) WITH (open = on);
INSERT INTO sensor EVENTS seen (aggregate_id, kind, colour) VALUES ('s-1', 'x', 'red');
SELECT kind, colour FROM sensor;
CREATE AGGREGATE closed_one (EVENT seen) WITH (open = off);
INSERT INTO closed_one EVENTS seen (aggregate_id, colour) VALUES ('s-1', 'red');
INSERT INTO closed_one EVENTS seen (aggregate_id) VALUES ('s-1');
SELECT aggregate_id, version FROM closed_one;
