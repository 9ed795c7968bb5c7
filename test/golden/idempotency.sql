-- prelude: clinic
-- An event_id makes an append repeatable: the same id and content gives the first result again.
INSERT INTO patient EVENTS patient_updated (aggregate_id, status, event_id) VALUES ('p-1', 'seen', '6ba7b810-9dad-11d1-80b4-00c04fd430c8') RETURNING version, position, event_id, event_hash;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status, event_id) VALUES ('p-1', 'seen', '6ba7b810-9dad-11d1-80b4-00c04fd430c8') ON CONFLICT (event_id) DO NOTHING RETURNING version, position, event_id, event_hash;
-- Also after others wrote, and although the expectation no longer holds.
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'later');
INSERT INTO patient EVENTS patient_updated (aggregate_id, status, event_id) VALUES ('p-1', 'seen', '{6BA7B810-9DAD-11D1-80B4-00C04FD430C8}') EXPECT VERSION 3 ON CONFLICT (event_id) DO NOTHING RETURNING version, position;
SELECT version, status FROM patient WHERE aggregate_id = 'p-1';
-- Without ON CONFLICT it is an error, and other content always is.
INSERT INTO patient EVENTS patient_updated (aggregate_id, status, event_id) VALUES ('p-1', 'seen', '6ba7b810-9dad-11d1-80b4-00c04fd430c8');
INSERT INTO patient EVENTS patient_updated (aggregate_id, status, event_id) VALUES ('p-1', 'other', '6ba7b810-9dad-11d1-80b4-00c04fd430c8') ON CONFLICT (event_id) DO NOTHING;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status, event_id) VALUES ('p-2', 'seen', '6ba7b810-9dad-11d1-80b4-00c04fd430c8') ON CONFLICT (event_id) DO NOTHING;
-- Twice in one statement.
INSERT INTO patient EVENTS patient_updated (aggregate_id, status, event_id) VALUES ('p-2', 'x', '00000000-0000-4000-8000-000000000001'), ('p-2', 'x', '00000000-0000-4000-8000-000000000001') ON CONFLICT (event_id) DO NOTHING RETURNING version;
SELECT version FROM patient WHERE aggregate_id = 'p-2';
-- In a transaction.
BEGIN;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status, event_id) VALUES ('p-2', 'y', '00000000-0000-4000-8000-000000000002') RETURNING version;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status, event_id) VALUES ('p-2', 'y', '00000000-0000-4000-8000-000000000002') ON CONFLICT (event_id) DO NOTHING RETURNING version;
COMMIT;
SELECT version FROM patient WHERE aggregate_id = 'p-2';
-- Other conflict clauses have no meaning here.
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'x') ON CONFLICT (aggregate_id) DO NOTHING;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'x') ON CONFLICT (event_id) DO UPDATE SET status = 'x';
INSERT INTO patient EVENTS patient_updated (aggregate_id, status, event_id) VALUES ('p-1', 'x', 'not-a-uuid');
