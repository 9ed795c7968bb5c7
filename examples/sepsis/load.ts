/** Appends the events over the wire, several to a statement, in the order of the file. */
import type { ClientBase } from 'pg';
import type { SourceEvent } from './csv.js';

const BATCH = 500;

export interface LoadReport {
  readonly events: number;
  readonly seconds: number;
  readonly eventsPerSecond: number;
  /** The position of each event, in their order. */
  readonly positions: readonly string[];
}

function insertStatement(rows: number): string {
  const values = Array.from({ length: rows }, (_, i) => `($${3 * i + 1}, $${3 * i + 2}, $${3 * i + 3})`);
  return `INSERT INTO patient EVENTS (aggregate_id, event_type, payload) VALUES ${values.join(', ')} RETURNING position`;
}

/**
 * Appends in batches, one after the other: a patient's versions are then in the order of the file.
 * @param onProgress told how many events have been appended
 */
export async function loadEvents(
  client: ClientBase,
  events: readonly SourceEvent[],
  onProgress: (loaded: number) => void = () => undefined,
): Promise<LoadReport> {
  const positions: string[] = [];
  const started = performance.now();
  for (let from = 0; from < events.length; from += BATCH) {
    const batch = events.slice(from, from + BATCH);
    const { rows } = await client.query<{ position: string }>({
      // Named: prepared once, then only bound.
      name: `append ${batch.length}`,
      text: insertStatement(batch.length),
      values: batch.flatMap(({ patient, eventType, fields }) => [patient, eventType, JSON.stringify(fields)]),
    });
    for (const { position } of rows) positions.push(position);
    onProgress(from + batch.length);
  }
  const seconds = (performance.now() - started) / 1000;
  return { events: events.length, seconds, eventsPerSecond: events.length / seconds, positions };
}
