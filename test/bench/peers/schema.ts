/** The same model on both sides: patients, whose changes are events and whose state is a projection. */

export type Variant = 'statement' | 'trigger';

/** A database per variant, so that neither pays for the other. */
export const PG_DATABASES: Readonly<Record<Variant, string>> = {
  statement: 'eventful_bench_statement',
  trigger: 'eventful_bench_trigger',
};

export const FIELDS = ['first_name', 'last_name', 'birthdate', 'status', 'ward', 'note'] as const;

export const EVENTFUL_SCHEMA = `CREATE AGGREGATE patient (
  first_name text, last_name text, birthdate date, status text, ward text, note text,
  EVENT patient_recorded (first_name, last_name, birthdate, status, ward, note),
  EVENT patient_updated (status, ward, note)
)`;

const EVENTS = `CREATE TABLE events (
  position bigserial PRIMARY KEY,
  aggregate_id text NOT NULL,
  version bigint NOT NULL,
  event_type text NOT NULL,
  payload jsonb NOT NULL,
  recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  UNIQUE (aggregate_id, version)
)`;

/** Room on each page lets the update of a state stay on its page (HOT), as anyone who watches this table would set. */
const PATIENT = `CREATE TABLE patient (
  aggregate_id text PRIMARY KEY,
  version bigint NOT NULL,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  archived boolean NOT NULL DEFAULT false,
  first_name text, last_name text, birthdate date, status text, ward text, note text
) WITH (fillfactor = 80)`;

/** Folds payloads as a user would write it in SQL: the last event that names a field wins. */
const FOLD = `CREATE AGGREGATE fold (jsonb) (SFUNC = jsonb_concat, STYPE = jsonb, INITCOND = '{}')`;

/** Raised when the expected version is not the actual one, so that both sides answer with 40001 and pgbench retries. */
const CONFLICT = `CREATE FUNCTION conflict() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the aggregate is not at the expected version' USING ERRCODE = '40001';
END $$`;

const DENY = [
  `CREATE FUNCTION deny() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'events are append-only' USING ERRCODE = '0A000'; END $$`,
  `CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events
FOR EACH STATEMENT EXECUTE FUNCTION deny()`,
];

/** With an expected version in NEW.version (null: any) the trigger assigns the next one, or refuses. */
const PROJECT = [
  'ALTER TABLE events ALTER COLUMN version DROP NOT NULL',
  `CREATE FUNCTION project() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE expected bigint := NEW.version;
BEGIN
  INSERT INTO patient AS p (aggregate_id, version, created_at, updated_at,
    first_name, last_name, birthdate, status, ward, note)
  VALUES (NEW.aggregate_id, 1, NEW.recorded_at, NEW.recorded_at,
    NEW.payload->>'first_name', NEW.payload->>'last_name', (NEW.payload->>'birthdate')::date,
    NEW.payload->>'status', NEW.payload->>'ward', NEW.payload->>'note')
  ON CONFLICT (aggregate_id) DO UPDATE SET version = p.version + 1, updated_at = NEW.recorded_at,
    first_name = CASE WHEN NEW.payload ? 'first_name' THEN excluded.first_name ELSE p.first_name END,
    last_name = CASE WHEN NEW.payload ? 'last_name' THEN excluded.last_name ELSE p.last_name END,
    birthdate = CASE WHEN NEW.payload ? 'birthdate' THEN excluded.birthdate ELSE p.birthdate END,
    status = CASE WHEN NEW.payload ? 'status' THEN excluded.status ELSE p.status END,
    ward = CASE WHEN NEW.payload ? 'ward' THEN excluded.ward ELSE p.ward END,
    note = CASE WHEN NEW.payload ? 'note' THEN excluded.note ELSE p.note END
  RETURNING p.version INTO NEW.version;
  IF NEW.version <> expected + 1 THEN
    RAISE EXCEPTION 'the aggregate is not at the expected version' USING ERRCODE = '40001';
  END IF;
  RETURN NEW;
END $$`,
  'CREATE TRIGGER project BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION project()',
];

export function pgSchema(variant: Variant): string[] {
  return [EVENTS, PATIENT, FOLD, CONFLICT, ...DENY, ...(variant === 'trigger' ? PROJECT : [])];
}

/** Builds the projection of the events after `position` in one statement, as a loader in SQL would. */
export function projectLoaded(position: string): string {
  return `INSERT INTO patient AS p (aggregate_id, version, created_at, updated_at,
  first_name, last_name, birthdate, status, ward, note)
SELECT aggregate_id, version, created_at, updated_at, s->>'first_name', s->>'last_name',
  (s->>'birthdate')::date, s->>'status', s->>'ward', s->>'note'
FROM (
  SELECT aggregate_id, max(version) AS version, min(recorded_at) AS created_at,
    max(recorded_at) AS updated_at, fold(payload ORDER BY version) AS s
  FROM events WHERE position > ${position} GROUP BY aggregate_id
) AS loaded
ON CONFLICT (aggregate_id) DO UPDATE SET version = excluded.version, updated_at = excluded.updated_at,
  first_name = excluded.first_name, last_name = excluded.last_name, birthdate = excluded.birthdate,
  status = excluded.status, ward = excluded.ward, note = excluded.note`;
}
