/** What the replication tests share: a clinic to publish, and tables for a subscriber. */
import type { TestServer } from './harness.js';

export const CLINIC = [
  `CREATE AGGREGATE patient (name text, EVENT patient_created (name), EVENT patient_renamed (name)) WITH (open = on)`,
  `CREATE AGGREGATE visit (reason text, EVENT visit_created (reason))`,
  `INSERT INTO patient EVENTS patient_created (aggregate_id, name) VALUES ('p-1', 'Ada'), ('p-2', 'Grace')`,
  `INSERT INTO visit EVENTS visit_created (aggregate_id, reason) VALUES ('v-1', 'cough')`,
];

const STANDARD = `aggregate_id text PRIMARY KEY, version bigint, created_at timestamptz, updated_at timestamptz, archived boolean`;
export const TABLES = `CREATE TABLE patient (${STANDARD}, name text); CREATE TABLE visit (${STANDARD}, reason text)`;

/** A connection string for CREATE SUBSCRIPTION. */
export function conninfo(port: number, token: string): string {
  return `host=127.0.0.1 port=${port} dbname=eventful user=subscriber password=${token} sslmode=disable`;
}

export async function append(db: TestServer, ...statements: readonly string[]): Promise<void> {
  const client = await db.connect();
  for (const statement of statements) await client.query(statement);
  await client.end();
}

export function created(id: string, name: string): string {
  return `INSERT INTO patient EVENTS patient_created (aggregate_id, name) VALUES ('${id}', '${name}')`;
}

export function renamed(id: string, name: string): string {
  return `INSERT INTO patient EVENTS patient_renamed (aggregate_id, name) VALUES ('${id}', '${name}')`;
}
