-- prelude: clinic
-- Each row names its own event type and gives its fields as a JSON object.
INSERT INTO patient EVENTS (aggregate_id, event_type, payload, metadata, expected_version)
VALUES ('p-5', 'patient_created', '{"first_name":"Rosalind","last_name":"Franklin"}', NULL, 0),
       ('p-5', 'patient_updated', '{"status":"admitted","weight":58.25}', '{"by":"front desk"}', 1),
       ('p-2', 'patient_updated', '{"status":null}', NULL, NULL)
RETURNING aggregate_id, event_type, version;
SELECT version, event_type, payload, metadata FROM patient_events WHERE aggregate_id = 'p-5' ORDER BY version;
SELECT aggregate_id, version, first_name, status, weight FROM patient WHERE aggregate_id IN ('p-2', 'p-5') ORDER BY 1;
-- Numbers keep every digit they were written with.
CREATE AGGREGATE account (balance numeric, extra jsonb, EVENT moved);
INSERT INTO account EVENTS (aggregate_id, event_type, payload) VALUES ('x', 'moved', '{"balance": 12345678901234567890.1234567890, "extra": {"n": 98765432109876543210}}');
SELECT balance, extra FROM account;
-- What is wrong with a payload.
INSERT INTO patient EVENTS (aggregate_id, event_type, payload) VALUES ('p-5', 'patient_updated', '{"status":');
INSERT INTO patient EVENTS (aggregate_id, event_type, payload) VALUES ('p-5', 'patient_updated', '[1]');
INSERT INTO patient EVENTS (aggregate_id, event_type, payload) VALUES ('p-5', 'patient_updated', '{"statsu":"x"}');
INSERT INTO patient EVENTS (aggregate_id, event_type, payload) VALUES ('p-5', 'patient_updated', '{"weight":"light"}');
INSERT INTO patient EVENTS (aggregate_id, event_type, payload) VALUES ('p-5', NULL, '{}');
INSERT INTO patient EVENTS (event_type, payload) VALUES ('patient_updated', '{}');
INSERT INTO patient EVENTS (aggregate_id, payload) VALUES ('p-5', '{}');
INSERT INTO patient EVENTS patient_updated (aggregate_id, event_type) VALUES ('p-5', 'patient_created');
-- An event may carry nothing.
INSERT INTO patient EVENTS (aggregate_id, event_type, payload) VALUES ('p-5', 'patient_updated', '{}') RETURNING version;
