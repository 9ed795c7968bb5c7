-- prelude: clinic
-- psql's own commands find everything in the catalogue.
\d
\d patient
\d patient_events
\d patient_history
\dt
\dv
\dn
\l
\dt eventful.*
\dv eventful.*
\df verify
\d nothing
SELECT current_database(), current_schema(), version() ~ '^PostgreSQL 16' AS version;
SELECT c.relname, c.relkind, obj_description(c.oid) FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace ORDER BY 1;
SELECT conname, contype FROM pg_constraint WHERE conrelid = 'patient'::regclass;
