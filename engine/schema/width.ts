import { DatabaseError, SqlState } from '../errors.js';
import type { AggregateDefinition, Fields } from '../types.js';

/** With fewer fields every state fits. */
const WIDE_FIELDS = 300;
/** Of a page of PostgreSQL (8 KB), without what a row has besides its fields. */
const ROW_BYTES = 7950;
/** Longer values PostgreSQL can store elsewhere; what it leaves of them, or a number takes. */
const IN_ROW_BYTES = 24;
const POINTER_BYTES = 20;
/** What a value that is no text takes, its alignment included, whatever its text is. */
const FIXED_BYTES = 8;

/**
 * A row of PostgreSQL has to fit a page, so the read model could not hold every state of very many fields.
 * @throws DatabaseError 54000
 */
export function checkWidth(definition: AggregateDefinition | undefined, state: Fields): void {
  if (definition === undefined || definition.fields.length <= WIDE_FIELDS) return;
  let size = 0;
  for (const field in state) {
    const bytes = Buffer.byteLength(state[field] ?? '') + 1;
    size += bytes > IN_ROW_BYTES ? POINTER_BYTES : Math.max(FIXED_BYTES, bytes);
  }
  if (size > ROW_BYTES)
    throw new DatabaseError(
      SqlState.programLimitExceeded,
      'the aggregate would have too many fields with a value',
      {
        detail: `A row of its table has room for some ${Math.floor(ROW_BYTES / POINTER_BYTES)}, more where values are short.`,
        hint: 'Put some of them together in a field of type jsonb.',
      },
    );
}
