import { DatabaseError, SqlState } from '../errors.js';
import type { RecordHeader } from './format.js';
import type { SegmentFile } from './ring.js';

const hint = 'Nothing was changed. Restore the store from a backup: docs/operating.md says how.';

/** What the readable records around a damaged one say about its first position. */
export function seen(before: RecordHeader | null, behind: RecordHeader | null): string {
  const low = before === null ? '' : `after ${before.firstPosition.toString()}`;
  const high = behind === null ? '' : `before ${behind.firstPosition.toString()}`;
  return [low, high].filter((text) => text !== '').join(' and ');
}

/**
 * A group that had been durable cannot be read. `header` is what the record still says of itself, or null; `around`
 * bounds its first position in that case.
 */
export function damaged(
  place: { segment: SegmentFile; offset: number; header: RecordHeader | null },
  sequence: bigint,
  around: string,
): DatabaseError {
  const position = place.header === null ? around : place.header.firstPosition.toString();
  return new DatabaseError(
    SqlState.dataCorrupted,
    `the commit log is damaged: ${place.segment.path} at byte ${place.offset}: ` +
      `group ${sequence.toString()} (first position ${position}) cannot be read`,
    { detail: 'Groups behind it are intact, so this is no torn write: it had been acknowledged.', hint },
  );
}

/** A valid record that does not continue the one before it. */
export function outOfOrder(
  segment: SegmentFile,
  offset: number,
  found: RecordHeader,
  last: RecordHeader,
): DatabaseError {
  return new DatabaseError(
    SqlState.dataCorrupted,
    `the commit log is damaged: ${segment.path} at byte ${offset}: ` +
      `group ${found.sequence.toString()} (first position ${found.firstPosition.toString()}) ` +
      `does not continue group ${last.sequence.toString()}`,
    { detail: `Group ${(last.sequence + 1n).toString()} is lost or was exchanged.`, hint },
  );
}
