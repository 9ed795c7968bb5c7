import { setImmediate as nextTurn } from 'node:timers/promises';
import { sameBytes } from '../codec/bytes.js';
import { AGG_BYTES } from '../codec/keys.js';
import type { LogEntry } from '../codec/records.js';
import type { Repository, StoredEvent } from '../repository.js';

const LEAF_BYTES = 32;
/** leaf(32) ‖ agg(11) ‖ version(8) ‖ time(8) ‖ 1 where the event was found sound */
const ENTRY_BYTES = LEAF_BYTES + AGG_BYTES + 17;
const VERSION_AT = LEAF_BYTES + AGG_BYTES;
const TIME_AT = VERSION_AT + 8;
const SOUND_AT = TIME_AT + 8;
/** After so many entries, a few milliseconds, others have their turn. */
const ENTRIES_PER_TURN = 4096;
/** In one piece of memory, whose size is limited: 63 MB. */
const PIECE_ENTRIES = 2 ** 20;

/** The memory of an order of so many positions, which several threads may use. */
export function orderMemory(size: number): readonly SharedArrayBuffer[] {
  const pieces: SharedArrayBuffer[] = [];
  for (let first = 0; first < size; first += PIECE_ENTRIES)
    pieces.push(new SharedArrayBuffer(Math.min(PIECE_ENTRIES, size - first) * ENTRY_BYTES));
  return pieces;
}

/**
 * The total order in memory, 60 bytes a position, and which events of it were found sound. What cannot be read has
 * version 0. Once it is read, other threads may look into it, and mark what they find: no two of them the same event.
 */
export class TotalOrder {
  private readonly pieces: readonly Buffer[];

  /** @param memory made by `orderMemory` for this size */
  constructor(
    readonly size: number,
    readonly memory = orderMemory(size),
  ) {
    this.pieces = memory.map((piece) => Buffer.from(piece));
  }

  /** @returns whether all of it could be read */
  async read({ positions }: Repository): Promise<boolean> {
    let next = 1;
    let isWhole = true;
    try {
      for await (const entry of positions.scan(1, this.size)) {
        if (entry.position !== next) break;
        this.take(entry);
        if (next++ % ENTRIES_PER_TURN === 0) await nextTurn();
      }
    } catch {
      // Damage in the order itself: what it hides is named by the events that are not found in it.
    }
    for (; next <= this.size; next++) {
      const entry = await positions.at(next).catch(() => null);
      if (entry === null) isWhole = false;
      else this.take(entry);
    }
    return isWhole;
  }

  leaf(position: number): Buffer {
    const at = offset(position);
    return this.piece(position).subarray(at, at + LEAF_BYTES);
  }

  aggAt(position: number): Buffer {
    const at = offset(position);
    return this.piece(position).subarray(at + LEAF_BYTES, at + VERSION_AT);
  }

  /** How many events there are of aggregates that start with these bytes, and the aggregates (latin1) of those not sound. */
  async review(prefix: Buffer): Promise<{ readonly events: number; readonly unsound: Set<string> }> {
    const unsound = new Set<string>();
    let events = 0;
    for (let position = 1; position <= this.size; position++) {
      if (position % ENTRIES_PER_TURN === 0) await nextTurn();
      if (!this.isOf(position, prefix)) continue;
      events++;
      if (!this.isSound(position)) unsound.add(this.aggAt(position).toString('latin1'));
    }
    return { events, unsound };
  }

  /** Whether the aggregate at a position starts with these bytes; not so for a position that cannot be read. */
  private isOf(position: number, prefix: Buffer): boolean {
    const [piece, at] = [this.piece(position), offset(position) + LEAF_BYTES];
    for (let i = 0; i < prefix.length; i++) if (piece[at + i] !== prefix[i]) return false;
    return this.versionAt(position) > 0;
  }

  entryAt(position: number): LogEntry | null {
    if (position < 1 || position > this.size || this.versionAt(position) === 0) return null;
    return {
      position,
      leaf: this.leaf(position),
      agg: this.aggAt(position),
      version: this.versionAt(position),
      recordedAt: this.piece(position).readDoubleBE(offset(position) + TIME_AT),
    };
  }

  /**
   * Whether the order has this leaf at the event's position, and says the same of the event. If so, the event is marked
   * as sound.
   */
  confirms(event: StoredEvent, leaf: Buffer): boolean {
    const { position, agg } = event;
    if (position < 1 || position > this.size) return false;
    const [piece, at] = [this.piece(position), offset(position)];
    const same =
      sameBytes(leaf, 0, piece, at, LEAF_BYTES) &&
      sameBytes(agg, 0, piece, at + LEAF_BYTES, AGG_BYTES) &&
      this.versionAt(position) === event.version &&
      piece.readDoubleBE(at + TIME_AT) === event.recordedAt;
    if (same) piece[at + SOUND_AT] = 1;
    return same;
  }

  private isSound(position: number): boolean {
    return this.piece(position)[offset(position) + SOUND_AT] === 1;
  }

  /** The newest version of each of these aggregates (latin1 of agg), 1 at least. */
  async newestOf(aggs: ReadonlySet<string>): Promise<Map<string, number>> {
    const newest = new Map([...aggs].map((name) => [name, 1]));
    for (let position = 1; aggs.size > 0 && position <= this.size; position++) {
      if (position % ENTRIES_PER_TURN === 0) await nextTurn();
      const name = this.aggAt(position).toString('latin1');
      const known = newest.get(name);
      if (known !== undefined) newest.set(name, Math.max(known, this.versionAt(position)));
    }
    return newest;
  }

  private versionAt(position: number): number {
    // A double holds every safe integer exactly.
    return this.piece(position).readDoubleBE(offset(position) + VERSION_AT);
  }

  private piece(position: number): Buffer {
    return this.pieces[Math.floor((position - 1) / PIECE_ENTRIES)] as Buffer;
  }

  private take(entry: LogEntry): void {
    const [piece, at] = [this.piece(entry.position), offset(entry.position)];
    piece.set(entry.leaf, at);
    piece.set(entry.agg, at + LEAF_BYTES);
    piece.writeDoubleBE(entry.version, at + VERSION_AT);
    piece.writeDoubleBE(entry.recordedAt, at + TIME_AT);
  }
}

/** In its piece. */
function offset(position: number): number {
  return ((position - 1) % PIECE_ENTRIES) * ENTRY_BYTES;
}
