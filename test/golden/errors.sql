-- prelude: clinic
-- Every error has PostgreSQL's SQLSTATE, the place in the text, and a hint with the nearest name.
INSERT INTO patient EVENTS patient_updated (aggregate_id, statsu) VALUES ('p-1', 'x');
INSERT INTO patient EVENTS patient_updated (aggregate_id, first_name) VALUES ('p-1', 'x');
INSERT INTO patient EVENTS patient_updatd (aggregate_id, status) VALUES ('p-1', 'x');
INSERT INTO patinet EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'x');
INSERT INTO patient EVENTS patient_updated (status) VALUES ('x');
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES (NULL, 'x');
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('', 'x');
INSERT INTO patient EVENTS patient_updated (aggregate_id, status, status) VALUES ('p-1', 'x', 'y');
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1');
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'x', 'y');
INSERT INTO patient EVENTS patient_updated (aggregate_id, version) VALUES ('p-1', 5);
INSERT INTO patient EVENTS patient_updated VALUES ('p-1', 'x');
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', $1);
INSERT INTO patient EVENTS patient_updated (aggregate_id, metadata) VALUES ('p-1', '[]');
-- Syntax, with the place.
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1' 'x');
INSERT INTO patient EVENTS patient_updated (aggregate_id status) VALUES ('p-1', 'x');
INSERT INTO patient EVENT patient_updated (aggregate_id, status) VALUES ('p-1', 'x');
SELEC 1;
SELECT * FORM patient;
SELECT 'é', wrong
  FROM patient;
SELECT * FROM patinet;
SELECT statsu FROM patient;
SELECT 1/0;
CALL nothing();
-- Values that do not cast, type by type.
CREATE AGGREGATE t (b boolean, i2 smallint, i4 integer, i8 bigint, n numeric(5,2), f4 real, f8 double precision, d date, tm time, ts timestamp, tz timestamptz, u uuid, j json, jb jsonb, v varchar(3), EVENT e);
INSERT INTO t EVENTS e (aggregate_id, b) VALUES ('1', 'maybe');
INSERT INTO t EVENTS e (aggregate_id, i2) VALUES ('1', 40000);
INSERT INTO t EVENTS e (aggregate_id, i4) VALUES ('1', '1.5');
INSERT INTO t EVENTS e (aggregate_id, i4) VALUES ('1', 2147483648);
INSERT INTO t EVENTS e (aggregate_id, i8) VALUES ('1', '9223372036854775808');
INSERT INTO t EVENTS e (aggregate_id, n) VALUES ('1', 1000);
INSERT INTO t EVENTS e (aggregate_id, n) VALUES ('1', 'x');
INSERT INTO t EVENTS e (aggregate_id, f4) VALUES ('1', '1e99');
INSERT INTO t EVENTS e (aggregate_id, f8) VALUES ('1', '1e999');
INSERT INTO t EVENTS e (aggregate_id, d) VALUES ('1', '2001-02-29');
INSERT INTO t EVENTS e (aggregate_id, d) VALUES ('1', 'someday');
INSERT INTO t EVENTS e (aggregate_id, tm) VALUES ('1', '25:00');
INSERT INTO t EVENTS e (aggregate_id, ts) VALUES ('1', '2001-13-01 00:00');
INSERT INTO t EVENTS e (aggregate_id, tz) VALUES ('1', 'x');
INSERT INTO t EVENTS e (aggregate_id, u) VALUES ('1', 'x');
INSERT INTO t EVENTS e (aggregate_id, j) VALUES ('1', '{a}');
INSERT INTO t EVENTS e (aggregate_id, jb) VALUES ('1', '');
INSERT INTO t EVENTS e (aggregate_id, v) VALUES ('1', 'four');
SELECT count(*) FROM t;
-- And those that do.
INSERT INTO t EVENTS e (aggregate_id, b, i2, i4, i8, n, f4, f8, d, tm, ts, tz, u, j, jb, v) VALUES ('1', true, -32768, '7', '-9223372036854775808', 999.99, 1.5, '1e300', '2000-02-29', '23:59:59', '2001-01-01 00:00', '2001-01-01 00:00+02', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '{"a": 1}', '{"b":  2}', 'abc');
\x
SELECT b, i2, i4, i8, n, f4, f8, d, tm, ts, tz, u, j, jb, v FROM t;
SELECT b, i2, i4, i8, n, f4, f8, d, tm, ts, tz, u, j, jb, v FROM t AS OF VERSION 1;
