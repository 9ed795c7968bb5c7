-- prelude: clinic
-- Schema eventful describes the store itself.
SELECT * FROM eventful.aggregates ORDER BY aggregate_type;
SELECT * FROM eventful.event_types ORDER BY aggregate_type, event_type;
SELECT * FROM eventful.fields ORDER BY aggregate_type, ordinal;
SELECT identifier_type, identifier_id, grants, write_limit, writes_used, revoked FROM eventful.tokens;
SELECT count(*) FROM eventful.checkpoints WHERE size = 0;
-- The view a BI tool joins.
SELECT e.event_type, f.type FROM eventful.event_types e JOIN eventful.fields f ON f.aggregate_type = e.aggregate_type AND f.field = ANY (e.fields) WHERE e.event_type = 'patient_created' ORDER BY f.ordinal;
SELECT table_name FROM information_schema.tables WHERE table_schema = 'eventful' ORDER BY 1;
SELECT * FROM eventful.nothing;
INSERT INTO eventful.tokens VALUES (1);
SELECT eventful.aggregates.aggregate_type FROM eventful.aggregates ORDER BY 1;
SELECT attname FROM pg_attribute WHERE attrelid = 'eventful.tokens'::regclass AND attnum > 0 AND attname ~ 'secret|hash|^token$';
