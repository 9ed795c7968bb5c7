/** Reads sepsis.csv: `;` between values, no quoting, one event per line, each case's events in their order. */
import { readFileSync } from 'node:fs';
import { ACTIVITIES, FIELDS } from './model.js';

export interface SourceEvent {
  readonly patient: string;
  readonly eventType: string;
  /** Fields the line gives a value; an empty one is left out. */
  readonly fields: Readonly<Record<string, string>>;
}

/** `2014/10/22 11:15:41.000` as ISO 8601 writes it; the source names no time zone. */
function isoTime(text: string): string {
  return text.replace(/^(\d{4})\/(\d\d)\/(\d\d) (\d\d:\d\d:\d\d)(\.0+)?/, '$1-$2-$3T$4');
}

/** @throws Error for a line that is not as expected */
export function readEvents(path: string): SourceEvent[] {
  const [header = '', ...lines] = readFileSync(path, 'utf8').trimEnd().split(/\r?\n/);
  const columns = header.split(';');
  return lines.map((line, index) => {
    const values = line.split(';');
    const where = `${path}, line ${index + 2}`;
    if (values.length !== columns.length || line.includes('"')) throw new Error(`${where}: malformed`);
    let patient = '';
    let activity = '';
    const fields: Record<string, string> = {};
    columns.forEach((column, i) => {
      const value = values[i] ?? '';
      const field = FIELDS[column];
      if (column === 'Case ID') patient = value;
      else if (column === 'Activity') activity = value;
      else if (field === undefined) throw new Error(`${path}: unknown column "${column}"`);
      else if (value !== '') fields[field.name] = field.type === 'timestamp' ? isoTime(value) : value;
    });
    const eventType = ACTIVITIES[activity]?.event;
    if (eventType === undefined || patient === '')
      throw new Error(`${where}: unknown activity "${activity}"`);
    return { patient, eventType, fields };
  });
}

export interface FoldedState {
  version: number;
  fields: Record<string, string>;
}

/** What the current state must be after these events: the check of what the server answers. */
export function foldEvents(events: readonly SourceEvent[]): Map<string, FoldedState> {
  const states = new Map<string, FoldedState>();
  for (const { patient, fields } of events) {
    const state = states.get(patient) ?? { version: 0, fields: {} };
    state.version++;
    Object.assign(state.fields, fields);
    states.set(patient, state);
  }
  return states;
}
