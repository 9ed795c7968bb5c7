/** The pgbench scripts: for each workload the same shape on every side. Aggregate ids are numbers as text. */
import type { Variant } from '../peers/schema.js';

export type System = 'eventful' | Variant;

const RANDOM = `\\set ward random(1, 40)
\\set note random(1, 1000000)
`;
const PICK = '\\set id random(1, :aggregates)\n';

/** One event with three fields for the aggregate `id`, expecting `version` if given; must return `version`. */
function append(system: System, id: string, expected: string | null): string {
  if (system === 'eventful')
    return `INSERT INTO patient EVENTS patient_updated (aggregate_id, status, ward, note)
VALUES (${id}, 'stable', :ward, :note)${expected === null ? '' : ` EXPECT VERSION ${expected}`} RETURNING version`;
  const payload = `jsonb_build_object('status', 'stable', 'ward', :ward::text, 'note', :note::text)`;
  if (system === 'trigger')
    return `INSERT INTO events (aggregate_id, version, event_type, payload)
VALUES (${id}::text, ${expected === null ? 'NULL' : expected}, 'patient_updated', ${payload}) RETURNING version`;
  const upsert = `INSERT INTO patient AS p (aggregate_id, version, created_at, updated_at, status, ward, note)
  VALUES (${id}::text, 1, now(), now(), 'stable', :ward::text, :note::text)
  ON CONFLICT (aggregate_id) DO UPDATE SET version = p.version + 1, updated_at = now(),
    status = excluded.status, ward = excluded.ward, note = excluded.note`;
  const insert = `INSERT INTO events (aggregate_id, version, event_type, payload)
  SELECT ${id}::text, version, 'patient_updated', ${payload} FROM head RETURNING version`;
  if (expected === null) return `WITH head AS (${upsert}\n  RETURNING version)\n${insert}`;
  return `WITH head AS (${upsert}
    WHERE p.version = ${expected}
  RETURNING version), done AS (${insert})
SELECT CASE WHEN count(*) = 1 THEN max(version) ELSE conflict() END AS version FROM done`;
}

/** a: one event per request. */
export function appendScript(system: System): string {
  return `${PICK}${RANDOM}${append(system, ':id', null)};\n`;
}

/** b, first form: each client keeps the version of its own hot aggregate and expects it. */
export function ownVersionScript(system: System): string {
  // `version` is 0 when a run begins, so each run brings a new aggregate per client.
  return `\\set id :first + :client_id
${RANDOM}${append(system, ':id', ':version')} \\gset\n`;
}

/** b, second form: read the version of one of a few aggregates that all want, then append expecting it. */
export function readThenAppendScript(system: System): string {
  return `${PICK}${RANDOM}SELECT version FROM patient WHERE aggregate_id = :id \\gset
${append(system, ':id', ':version')};\n`;
}

/** d: the current state of one aggregate. */
export function pointReadScript(): string {
  return `${PICK}SELECT * FROM patient WHERE aggregate_id = :id;\n`;
}

/** d: the same with a condition that keeps the engine from answering, so that it is relayed for certain. */
export function relayedReadScript(): string {
  return `${PICK}SELECT * FROM patient WHERE aggregate_id = :id AND version > 0;\n`;
}

/** d: with a function, so that it is relayed over the session's own connection. */
export function unsharedReadScript(): string {
  return `${PICK}SELECT *, length(note) FROM patient WHERE aggregate_id = :id;\n`;
}

/** e: what was written must be read by the same session. */
export function readYourWriteScript(system: System): string {
  return `${PICK}${RANDOM}${append(system, ':id', null)} \\gset
SELECT * FROM patient WHERE aggregate_id = :id;\n`;
}

/** f */
export const GROUP_BY_SCRIPT = 'SELECT status, ward, count(*) FROM patient GROUP BY status, ward;\n';
export const FULL_SCAN_SCRIPT = 'SELECT * FROM patient;\n';

/**
 * g: the state at a version; in PostgreSQL folded from the events.
 * @param id null: of an aggregate drawn anew for each read
 */
export function asOfVersionScript(system: System, id: string | null): string {
  const pick = `${id === null ? PICK : ''}\\set version random(1, :versions)\n`;
  const wanted = id === null ? ':id' : `'${id}'`;
  if (system === 'eventful')
    return `${pick}SELECT * FROM patient AS OF VERSION :version WHERE aggregate_id = ${wanted};\n`;
  return `${pick}SELECT max(version), min(recorded_at), max(recorded_at), fold(payload ORDER BY version)
FROM events WHERE aggregate_id = ${wanted} AND version <= :version;\n`;
}

/** g: all states at a time, grouped. */
export function asOfTimestampScript(system: System, time: string): string {
  if (system === 'eventful')
    return `SELECT status, count(*) FROM patient AS OF TIMESTAMP '${time}' GROUP BY status;\n`;
  return `SELECT state->>'status' AS status, count(*) FROM (
  SELECT fold(payload ORDER BY version) AS state FROM events WHERE recorded_at <= '${time}' GROUP BY aggregate_id
) AS states GROUP BY 1;\n`;
}
