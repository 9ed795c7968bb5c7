import type { NewEvent } from '../../engine/types.js';
import type { CopyAppendStatement } from '../../sql/statement.js';
import { buildEvents } from './append.js';
import type { CopyRow } from './copyRows.js';

const ANY = { kind: 'any' } as const;
/** Columns whose values are made into something else, or that no plain assignment stores. */
const SPECIAL: ReadonlySet<string> = new Set(['payload', 'event_id', 'expected_version', '__proto__']);

/**
 * How the rows of a COPY become events, found out once for all of them: which column is the id, and which are fields.
 * @returns a function that throws DatabaseError as `buildEvents` does
 */
export function copyEvents(statement: CopyAppendStatement): (row: CopyRow) => NewEvent | undefined {
  const { aggregateType, columns } = statement;
  const anyRow = (row: CopyRow): NewEvent | undefined => buildEvents(statement, [row], () => null)[0];
  if (columns.some((column) => SPECIAL.has(column))) return anyRow;
  const [idAt, typeAt, metadataAt] = ['aggregate_id', 'event_type', 'metadata'].map((name) =>
    columns.indexOf(name),
  );
  const own = new Set([idAt, typeAt, metadataAt]);
  const fields = [...columns.keys()]
    .filter((i) => !own.has(i))
    .map((i) => ({ at: i, name: columns[i] ?? '' }));
  return (row) => {
    const aggregateId = row[idAt ?? -1] ?? null;
    const eventType = statement.eventType ?? row[typeAt ?? -1] ?? null;
    if (aggregateId === null || eventType === null) return anyRow(row);
    const payload: Record<string, string | null> = {};
    for (const { at, name } of fields) payload[name] = row[at] ?? null;
    return {
      aggregateType,
      aggregateId,
      eventType,
      payload,
      metadata: row[metadataAt ?? -1] ?? null,
      eventId: null,
      expected: ANY,
      ignoreDuplicate: false,
    };
  };
}
