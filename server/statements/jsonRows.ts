import { setImmediate as othersTurn } from 'node:timers/promises';
import { DatabaseError, SqlState } from '../../engine/errors.js';

/** PostgreSQL takes no parameter of 1 GB; a quarter of that is plenty and keeps memory bounded. */
const MAX_BYTES = 256 * 1024 * 1024;
/** A place among the rows fits into so many bits; a position into what is left of a double's 53. */
const PLACE_BITS = 21;
const MAX_ROWS = 2 ** PLACE_BITS;
/** Put together at a stretch, since others have to wait for it. */
const PIECE_CHARACTERS = 256 * 1024;

/** Gathers the rows of a JSON array, within a limit. */
export class JsonRows {
  private readonly rows: string[] = [];
  /** Positions, each with the place of its row behind; empty where the rows stay as they come. */
  private readonly order: number[] = [];
  private size = 0;

  /**
   * @param position the row's place is among those with smaller and larger ones; given for each row or for none
   * @throws DatabaseError 54000
   */
  add(row: string, position?: bigint): void {
    this.size += row.length + 1;
    if (this.size > MAX_BYTES || this.rows.length >= MAX_ROWS)
      throw new DatabaseError(SqlState.programLimitExceeded, 'the query reads too many engine rows at once', {
        hint: 'Narrow it by aggregate_id, version or position.',
      });
    if (position !== undefined) this.order.push(Number(position) * MAX_ROWS + this.rows.length);
    this.rows.push(row);
  }

  /** The array, in UTF-8. The rows are gone after that. */
  async bytes(signal: AbortSignal): Promise<Buffer> {
    const { rows, order } = this;
    const sorted = Float64Array.from(order).sort();
    const pieces: Buffer[] = [];
    let piece = '[';
    for (let at = 0; at < rows.length; at++) {
      const place = sorted.length === 0 ? at : (sorted[at] ?? 0) % MAX_ROWS;
      piece += at === 0 ? rows[place] : `,${rows[place]}`;
      rows[place] = '';
      if (piece.length < PIECE_CHARACTERS) continue;
      pieces.push(Buffer.from(piece));
      piece = '';
      await othersTurn();
      signal.throwIfAborted();
    }
    pieces.push(Buffer.from(`${piece}]`));
    return Buffer.concat(pieces);
  }
}
