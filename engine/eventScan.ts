/**
 * Reads most of what a type has of events, aggregate by aggregate, as they lie. Looking each one up by its position, and
 * the key of its aggregate with it, costs several times as much.
 */
import { setImmediate as othersTurn } from 'node:timers/promises';
import { Prefix, prefixRange, typePrefix } from './codec/keys.js';
import { DatabaseError, SqlState } from './errors.js';
import type { Head, Repository, StoredEvent } from './repository.js';
import { AggregateCursor } from './store/cursor.js';
import type { StoredEntry } from './store/store.js';

/** Longer at a stretch, and appends would wait for it. */
const STRETCH_MS = 2;
/** An aggregate with more events is read by itself, so that they are not in memory all at once. */
const TOGETHER_MAX = 1000;

/** Makes rows of what is read. */
export interface EventVisitor<Row> {
  /** So many rows are handed over at a time. */
  readonly batch: number;
  /** An aggregate begins. */
  begin?(head: Head): void;
  /** Its next event, in the order of versions. */
  add(event: StoredEvent, rows: Row[]): void;
  /** That was its last one at or before the position. */
  end?(head: Head, rows: Row[]): void;
}

/**
 * What a visitor makes of the events of a type at positions up to `through`, which is committed.
 * @param typeNumber the type's number in keys
 * @throws DatabaseError XX001 when an event is missing
 */
export async function* scanTypeEvents<Row>(
  repository: Repository,
  typeNumber: number,
  through: number,
  visitor: EventVisitor<Row>,
  signal?: AbortSignal,
): AsyncGenerator<Row[]> {
  const prefix = typePrefix(typeNumber);
  // Sees what is stored by now; what is appended meanwhile stands behind `through`.
  const stored = new AggregateCursor(repository.store, prefixRange(Prefix.event, prefix));
  let rows: Row[] = [];
  let since = performance.now();
  try {
    for await (const heads of repository.scans.heads(prefix)) {
      for (const head of heads) {
        signal?.throwIfAborted();
        const own = new OwnEvents(head, through, visitor, rows);
        if (head.version > TOGETHER_MAX) {
          for await (const event of repository.scanEvents(head, 1, head.version)) {
            signal?.throwIfAborted();
            if (!own.add(event)) break;
            if (rows.length >= visitor.batch) yield rows.splice(0);
          }
        } else await readTogether(repository, head, stored, own);
        own.end();
        if (performance.now() - since > STRETCH_MS) {
          await othersTurn();
          since = performance.now();
        }
        if (rows.length < visitor.batch) continue;
        yield rows;
        rows = [];
      }
    }
    if (rows.length > 0) yield rows;
  } finally {
    await stored.close();
  }
}

async function readTogether(
  repository: Repository,
  head: Head,
  stored: AggregateCursor,
  own: OwnEvents<unknown>,
): Promise<void> {
  const add = ({ key, value }: StoredEntry): boolean => own.add(repository.openEventWith(head, key, value));
  for (let entry = stored.nextOf(head.agg); entry !== undefined; entry = stored.nextOf(head.agg))
    if (!add(entry)) return;
  if (stored.isPast(head.agg)) return;
  for (const entry of await stored.of(head.agg)) if (!add(entry)) return;
}

/** One aggregate's events, of which none may be missing. */
class OwnEvents<Row> {
  private version = 0;

  constructor(
    private readonly head: Head,
    private readonly through: number,
    private readonly visitor: EventVisitor<Row>,
    private readonly rows: Row[],
  ) {
    visitor.begin?.(head);
  }

  /** False for an event beyond the last position: it tells only that there are no more. */
  add(event: StoredEvent): boolean {
    if (event.position > this.through) return false;
    if (event.version !== this.version + 1) throw this.missing();
    this.version++;
    this.visitor.add(event, this.rows);
    return true;
  }

  end(): void {
    const { head } = this;
    if (this.version < head.version && head.position <= this.through) throw this.missing();
    this.visitor.end?.(head, this.rows);
  }

  private missing(): DatabaseError {
    return new DatabaseError(SqlState.dataCorrupted, 'an event is missing', {
      detail: `aggregate "${this.head.type}": version ${this.version + 1} is not stored.`,
    });
  }
}
