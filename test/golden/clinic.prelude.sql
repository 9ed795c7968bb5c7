CREATE AGGREGATE patient (
  first_name text, last_name text, birthdate date, weight numeric(5,2), status text,
  EVENT patient_created (first_name, last_name, birthdate),
  EVENT patient_updated (last_name, status, weight)
);
CREATE AGGREGATE appointment (
  patient_id text, starts_at timestamptz, reason text,
  EVENT appointment_booked,
  EVENT appointment_moved (starts_at)
);
INSERT INTO patient EVENTS patient_created (aggregate_id, first_name, last_name, birthdate)
  VALUES ('p-1', 'Ada', 'King', '1815-12-10'), ('p-2', 'Alan', 'Turing', '1912-06-23');
INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name, status) VALUES ('p-1', 'Lovelace', 'admitted');
INSERT INTO patient EVENTS patient_updated (aggregate_id, status) VALUES ('p-1', 'discharged');
INSERT INTO appointment EVENTS appointment_booked (aggregate_id, patient_id, starts_at, reason)
  VALUES ('a-1', 'p-1', '1990-05-01 09:00+00', 'check-up');
INSERT INTO appointment EVENTS appointment_moved (aggregate_id, starts_at) VALUES ('a-1', '1990-05-02 10:30+00');
