-- prelude: clinic
-- AS OF POSITION n and AS OF TIMESTAMP t: the whole store as it was.
SELECT position AS before FROM patient_events WHERE aggregate_id = 'p-1' AND version = 2 \gset
SELECT aggregate_id, version, status FROM patient AS OF POSITION :before ORDER BY 1;
SELECT aggregate_id, version, status FROM patient AS OF POSITION 999999 ORDER BY 1;
SELECT count(*) FROM patient AS OF POSITION 0;
SELECT aggregate_id, starts_at FROM appointment AS OF POSITION :before;
-- A moment.
SELECT pg_sleep(0.05);
SELECT clock_timestamp() AS moment \gset
SELECT pg_sleep(0.05);
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'after'), ('p-3', 'after');
SELECT aggregate_id, version, status FROM patient AS OF TIMESTAMP :'moment' ORDER BY 1;
SELECT aggregate_id, version, status FROM patient ORDER BY 1;
SELECT count(*) FROM patient AS OF TIMESTAMP '1999-01-01';
SELECT count(*) FROM patient AS OF TIMESTAMP '1999-01-01 12:00 Europe/Berlin';
SELECT count(*) FROM patient AS OF TIMESTAMP 'infinity';
SELECT count(*) FROM patient AS OF TIMESTAMP '-infinity';
SELECT count(*) FROM patient AS OF TIMESTAMP 'now';
-- The session's TimeZone reads it.
SELECT :'moment'::timestamptz AT TIME ZONE 'Asia/Tokyo' AS tokyo \gset
SET TimeZone = 'Asia/Tokyo';
SELECT aggregate_id, version FROM patient AS OF TIMESTAMP :'tokyo' WHERE aggregate_id = 'p-1';
RESET TimeZone;
SELECT count(*) FROM patient AS OF TIMESTAMP :'tokyo';
-- What is neither.
SELECT * FROM patient AS OF TIMESTAMP 'soon';
SELECT * FROM patient AS OF TIMESTAMP NULL;
SELECT * FROM patient AS OF POSITION 'x';
