-- prelude: clinic
-- EXPECT VERSION n, ANY, EXISTS, NONE and the column expected_version; p-1 stands at version 3.
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'a') EXPECT VERSION 3 RETURNING version;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'b') EXPECT VERSION 3;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'b') EXPECT VERSION 9;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'b') EXPECT NONE;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'b') EXPECT VERSION 0;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-new', 'b') EXPECT EXISTS;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'c') EXPECT EXISTS RETURNING version;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'd') EXPECT ANY RETURNING version;
INSERT INTO patient EVENTS patient_created (aggregate_id, first_name) VALUES ('p-new', 'N') EXPECT NONE RETURNING version;
-- Each row for itself; the second follows the first.
INSERT INTO patient EVENTS patient_updated (aggregate_id, status, expected_version) VALUES ('p-1', 'e', 6), ('p-1', 'f', 7) RETURNING version;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status, expected_version) VALUES ('p-1', 'g', 8), ('p-1', 'h', 8);
SELECT aggregate_id, version, status FROM patient WHERE aggregate_id = 'p-1';
-- What is no version.
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'x') EXPECT VERSION -1;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'x') EXPECT VERSION 'now';
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'x') EXPECT VERSION 9223372036854775808;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'x') EXPECT SOMETHING;
INSERT INTO patient EVENTS patient_updated (aggregate_id, status, expected_version) VALUES ('p-1', 'x', 'many');
