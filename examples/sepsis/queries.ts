/** The tour: what is asked, shown, and checked against a fold of the source file. */
import type { Client } from 'pg';
import { verifyEventProof, ProofError, type EventProof } from '../../engine/proofs/verifier.js';
import { foldEvents, type FoldedState, type SourceEvent } from './csv.js';
import { print, printTable, type Row } from './show.js';

/** A query gave something else than the source file says. */
export class WrongResult extends Error {}

export interface TourContext {
  readonly client: Client;
  readonly events: readonly SourceEvent[];
  /** How many events had been appended at `position`. */
  readonly halfway: number;
  readonly position: string;
  /** The position of the last event. */
  readonly end: bigint;
}

function expect(what: string, actual: unknown, expected: unknown): void {
  const [left, right] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (left !== right) throw new WrongResult(`${what}: the answer is ${left}, right would be ${right}`);
}

/** Prints a statement, runs it and prints what it returns. */
async function ask(
  client: Client,
  title: string,
  sql: string,
  options: { quiet?: boolean } = {},
): Promise<Row[]> {
  print();
  print(`── ${title}`);
  for (const line of sql.split('\n')) print(`  ${line}`);
  const started = performance.now();
  const { rows } = await client.query<Row>(sql);
  const milliseconds = performance.now() - started;
  if (options.quiet !== true) printTable(rows);
  print(`  ${milliseconds.toFixed(1)} ms`);
  return rows;
}

async function counts({ client, events }: TourContext): Promise<void> {
  const rows = await ask(
    client,
    'Current state: one row per patient',
    'SELECT count(*) AS patients, sum(version) AS events FROM patient;',
  );
  expect('patients and events', rows[0], { patients: '1050', events: '15214' });
  expect('patients and events', Number(rows[0]?.['events']), events.length);
}

/** Values of a numeric field among states that have one. */
function numbers(states: readonly FoldedState[], field: string): number[] {
  return states.flatMap(({ fields }) => (fields[field] === undefined ? [] : [Number(fields[field])]));
}

async function groups({ client, events }: TourContext): Promise<void> {
  const rows = await ask(
    client,
    'Any SQL that PostgreSQL can run',
    `SELECT diagnose, count(*) AS patients, round(avg(age), 1) AS average_age, max(crp) AS highest_last_crp
FROM patient WHERE diagnose IS NOT NULL
GROUP BY diagnose ORDER BY patients DESC, diagnose LIMIT 6;`,
  );
  const found = new Map<string, FoldedState[]>();
  for (const state of foldEvents(events).values()) {
    const { diagnose } = state.fields;
    if (diagnose !== undefined) found.set(diagnose, [...(found.get(diagnose) ?? []), state]);
  }
  const largest = [...found].sort(([a, left], [b, right]) => right.length - left.length || (a < b ? -1 : 1));
  expect(
    'diagnoses',
    rows.map((row) => [row['diagnose'], Number(row['patients']), Number(row['highest_last_crp'])]),
    largest
      .slice(0, 6)
      .map(([diagnose, states]) => [diagnose, states.length, Math.max(...numbers(states, 'crp'))]),
  );
  rows.forEach((row, i) => {
    const ages = numbers(largest[i]?.[1] ?? [], 'age');
    const average = ages.reduce((sum, age) => sum + age, 0) / ages.length;
    // Rounded to one digit by the server, binary here.
    if (!(Math.abs(Number(row['average_age']) - average) < 0.0501))
      expect('average age', row['average_age'], average);
  });
}

async function versions({ client, events }: TourContext): Promise<void> {
  const columns = 'version, happened_at, org_group, age, diagnose, leucocytes, crp, lactic_acid';
  const own = events.filter(({ patient }) => patient === 'A');
  for (const [title, clause, upTo] of [
    ['A patient as of its third event …', ' AS OF VERSION 3', 3],
    ['… and now', '', own.length],
  ] as const) {
    const rows = await ask(
      client,
      title,
      `SELECT ${columns}\nFROM patient${clause} WHERE aggregate_id = 'A';`,
    );
    const state = foldEvents(own.slice(0, upTo)).get('A');
    const {
      happened_at: time = '',
      org_group,
      age,
      diagnose,
      leucocytes,
      crp,
      lactic_acid,
    } = state?.fields ?? {};
    const fields = {
      happened_at: time.replace('T', ' '),
      org_group,
      age,
      diagnose,
      leucocytes,
      crp,
      lactic_acid,
    };
    const expected = Object.entries(fields).map(([name, value]) => [name, value ?? null]);
    expect(title, rows[0], { version: String(upTo), ...Object.fromEntries(expected) });
  }
}

async function comparison({ client, events, halfway, position }: TourContext): Promise<void> {
  const rows = await ask(
    client,
    'The present joined with the past, as it was halfway through loading',
    `SELECT count(*) AS patients, count(past.aggregate_id) AS were_there,
       count(*) FILTER (WHERE now.version > past.version) AS went_on,
       sum(now.version) - sum(past.version) AS events_since
FROM patient now LEFT JOIN patient AS OF POSITION ${position} past USING (aggregate_id);`,
  );
  const [now, past] = [foldEvents(events), foldEvents(events.slice(0, halfway))];
  const wentOn = [...past].filter(([id, state]) => (now.get(id)?.version ?? 0) > state.version).length;
  expect('present and past', rows[0], {
    patients: String(now.size),
    were_there: String(past.size),
    went_on: String(wentOn),
    events_since: String(events.length - halfway),
  });
}

async function history({ client, events, end }: TourContext): Promise<void> {
  const own = events.filter(({ patient }) => patient === 'B');
  const rows = await ask(
    client,
    'How a patient became what it is',
    `SELECT version, event_type, happened_at, org_group, leucocytes, crp, lactic_acid
FROM patient_history WHERE aggregate_id = 'B' ORDER BY version;`,
  );
  expect(
    'history',
    rows.map((row) => [row['version'], row['event_type']]),
    own.map(({ eventType }, i) => [String(i + 1), eventType]),
  );
  const tail = await ask(
    client,
    'The last events of all',
    `SELECT position, aggregate_id, version, event_type, actor, payload->>'happened_at' AS happened_at
FROM patient_events WHERE position > ${end - 5n} ORDER BY position DESC;`,
  );
  const last = events.slice(-5).reverse();
  expect(
    'last events',
    tail.map((row) => [row['aggregate_id'], row['event_type']]),
    last.map(({ patient, eventType }) => [patient, eventType]),
  );
}

async function refusal({ client }: TourContext): Promise<void> {
  const sql = `UPDATE patient SET diagnose = 'Z' WHERE aggregate_id = 'A';`;
  print();
  print('── Nothing is changed in place');
  print(`  ${sql}`);
  try {
    await client.query(sql);
  } catch (error) {
    const { code = '', message, hint = '' } = error as { code?: string; message: string; hint?: string };
    expect('refusal', code, '0A000');
    print(`  ERROR ${code}: ${message}`);
    print(`  HINT: ${hint}`);
    return;
  }
  throw new WrongResult('the UPDATE was not refused');
}

async function proofs({ client, events }: TourContext): Promise<void> {
  const [report] = await ask(
    client,
    'Every hash recomputed, every row held against its events',
    'CALL verify();',
  );
  expect('verified', report?.['verified'], 't');
  const [size, seconds] = [Number(report?.['events']), Number(report?.['seconds'])];
  if (size < events.length) expect('verified events', size, events.length);
  print(`  ${Math.round(size / seconds).toLocaleString('en')} events/s verified`);
  const [row] = await ask(
    client,
    'A proof that one event is in the store',
    `CALL prove('patient', 'A', 1);`,
    {
      quiet: true,
    },
  );
  const proof = JSON.parse(row?.['proof'] ?? '') as EventProof;
  print(`  event_hash ${row?.['event_hash'] ?? ''}, proof of ${row?.['proof']?.length ?? 0} bytes`);
  const checkpoint = await verifyEventProof(proof, row?.['verifier_key'] ?? '');
  print(
    `  verified offline: position ${proof.position} of ${checkpoint.size}, signed by ${checkpoint.origin}`,
  );
  const forged = {
    ...proof,
    event: { ...proof.event, payload: proof.event.payload.replace('"85"', '"58"') },
  };
  try {
    await verifyEventProof(forged, row?.['verifier_key'] ?? '');
  } catch (error) {
    if (!(error instanceof ProofError)) throw error;
    print(`  with the age 58 instead of 85: refused, ${error.message}`);
    return;
  }
  throw new WrongResult('a forged event was verified');
}

/** Runs every query. @throws WrongResult at the first wrong answer */
export async function runTour(context: TourContext): Promise<void> {
  for (const stop of [counts, groups, versions, comparison, history, refusal, proofs]) await stop(context);
}
