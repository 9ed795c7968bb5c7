-- prelude: clinic
-- COMMENT ON AGGREGATE, and comments inside statements.
COMMENT ON AGGREGATE patient IS 'People we care for';
SELECT aggregate_type, comment FROM eventful.aggregates ORDER BY 1;
SELECT obj_description('patient'::regclass, 'pg_class');
COMMENT ON AGGREGATE patient IS NULL;
SELECT aggregate_type, comment FROM eventful.aggregates WHERE aggregate_type = 'patient';
SELECT obj_description('patient'::regclass, 'pg_class');
COMMENT ON AGGREGATE patinet IS 'x';
COMMENT ON TABLE patient IS 'x';
BEGIN;
COMMENT ON AGGREGATE patient IS 'gone';
ROLLBACK;
SELECT comment FROM eventful.aggregates WHERE aggregate_type = 'patient';
-- Comments may stand anywhere.
INSERT /* a /* nested */ one */ INTO patient EVENTS patient_updated -- to the end
  (aggregate_id, status /* EVENTS */) VALUES ('p-1', '-- no comment') EXPECT /* here */ VERSION 3;
SELECT status FROM patient AS /* of */ OF /* what */ VERSION 4 WHERE aggregate_id = 'p-1' -- done
;
/* nothing */ ;
