/** Bulk loads: multi-row INSERTs in a pipeline, and COPY through psql, the same client on both sides. */
import { randomUUID } from 'node:crypto';
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { Login } from '../peers/login.js';
import { FIELDS, projectLoaded, type Variant } from '../peers/schema.js';
import { run } from '../processes.js';
import { findProgram, passwordEnvironment } from './pgbench.js';
import { csvLine, patients, payloadOf, type Load, type PatientRow } from './patients.js';

const ROWS_PER_STATEMENT = 500;
/** Statements under way at once. */
const PIPELINE_DEPTH = 8;
const TIMEOUT_SECONDS = 1800;
const CHUNK = 1 << 20;

export interface Loaded {
  readonly seconds: number;
  /** Of all cores, taken by the client. */
  readonly clientShare: number;
}

const COLUMNS = `aggregate_id, ${FIELDS.join(', ')}`;

function parameters(rows: number, width: number): string {
  const row = (r: number): string =>
    `(${Array.from({ length: width }, (_, i) => `$${r * width + i + 1}`).join(', ')})`;
  return Array.from({ length: rows }, (_, r) => row(r)).join(', ');
}

function insertStatement(system: 'eventful' | 'trigger', rows: readonly PatientRow[]): pg.QueryConfig {
  const name = `load${rows.length}`;
  if (system === 'eventful')
    return {
      name,
      text: `INSERT INTO patient EVENTS patient_recorded (${COLUMNS}) VALUES ${parameters(rows.length, 7)}`,
      values: rows.flatMap(({ id, values }) => [id, ...values]),
    };
  return {
    name,
    text: `INSERT INTO events (aggregate_id, event_type, payload) VALUES ${parameters(rows.length, 3)}`,
    values: rows.flatMap((row) => [row.id, 'patient_recorded', payloadOf(row)]),
  };
}

/** Multi-row INSERTs, several under way on one connection. Statements are made beforehand. */
export async function loadByInsert(
  login: Login,
  system: 'eventful' | 'trigger',
  load: Load,
): Promise<Loaded> {
  const all = [...patients(load)];
  const statements: pg.QueryConfig[] = [];
  for (let at = 0; at < all.length; at += ROWS_PER_STATEMENT)
    statements.push(insertStatement(system, all.slice(at, at + ROWS_PER_STATEMENT)));
  // The types of pg do not know the option yet.
  const client = new pg.Client({ ...login, pipeline: true });
  await client.connect();
  try {
    const cpu = process.cpuUsage();
    const started = performance.now();
    const underWay: Promise<unknown>[] = [];
    for (const statement of statements) {
      underWay.push(client.query(statement));
      if (underWay.length >= PIPELINE_DEPTH) await underWay.shift();
    }
    await Promise.all(underWay);
    const seconds = (performance.now() - started) / 1000;
    const { user, system: kernel } = process.cpuUsage(cpu);
    return { seconds, clientShare: (user + kernel) / 1e6 / seconds / availableParallelism() };
  } finally {
    await client.end();
  }
}

function writeScript(path: string, before: string, rows: Iterable<string>, after: string): void {
  const file = openSync(path, 'w');
  let text = before;
  for (const row of rows) {
    text += row;
    if (text.length < CHUNK) continue;
    writeSync(file, text);
    text = '';
  }
  writeSync(file, `${text}\\.\n${after}`);
  closeSync(file);
}

function* lines(system: 'eventful' | Variant, load: Load): Generator<string> {
  for (const row of patients(load)) {
    if (system === 'eventful') yield csvLine([row.id, ...row.values]);
    else if (system === 'trigger') yield csvLine([row.id, 'patient_recorded', payloadOf(row)]);
    else yield csvLine([row.id, String(row.version), 'patient_recorded', payloadOf(row)]);
  }
}

/** Rows that one COPY … EVENTS is given: it takes no more than 250,000, and the server keeps them until the last one. */
const COPY_ROWS = 40_000;

function* inParts(rows: Iterable<string>, between: string): Generator<string> {
  let count = 0;
  for (const row of rows) yield count++ % COPY_ROWS === 0 && count > 1 ? between + row : row;
}

/**
 * COPY. For `statement` the client counts the versions and one statement projects all that was copied, in the same
 * transaction; for `trigger` the server does both row by row, as EventfulDB does.
 */
export async function loadByCopy(
  login: Login,
  system: 'eventful' | Variant,
  load: Load,
  scratch: string,
): Promise<Loaded> {
  const path = join(scratch, `${randomUUID()}.sql`);
  const rows = lines(system, load);
  if (system === 'eventful') {
    const copy = `COPY patient EVENTS patient_recorded (${COLUMNS}) FROM STDIN WITH (FORMAT csv);\n`;
    writeScript(path, copy, inParts(rows, `\\.\n${copy}`), '');
  }
  if (system === 'trigger')
    writeScript(
      path,
      'COPY events (aggregate_id, event_type, payload) FROM STDIN WITH (FORMAT csv);\n',
      rows,
      '',
    );
  if (system === 'statement')
    writeScript(
      path,
      `BEGIN;
SELECT coalesce(max(position), 0) AS before FROM events \\gset
COPY events (aggregate_id, version, event_type, payload) FROM STDIN WITH (FORMAT csv);\n`,
      rows,
      `${projectLoaded(':before')};\nCOMMIT;\n`,
    );
  try {
    const done = await run(
      [
        ...[findProgram('psql'), '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-f', path],
        ...['-h', login.host, '-p', String(login.port), '-U', login.user, '-d', login.database],
      ],
      { timeoutSeconds: TIMEOUT_SECONDS, env: passwordEnvironment(login) },
    );
    return { seconds: done.seconds, clientShare: done.cpuSeconds / done.seconds / availableParallelism() };
  } finally {
    rmSync(path);
  }
}
