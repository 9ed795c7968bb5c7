/**
 * The heads of aggregates as of the last commit. The latest used ones are objects; a great many more are kept as the
 * sealed records they are on disk, which takes a few microseconds to open where a read of the store takes a hundred.
 */
import type { Catalogue } from '../catalogue.js';
import { AGG_BYTES, Prefix, plainKey } from '../codec/keys.js';
import { memoryShare } from '../cache/memoryShare.js';
import { PackedRecords } from '../cache/packed.js';
import { RecentMap } from '../cache/recent.js';
import type { Head, Placed, Repository } from '../repository.js';
import { headName } from './stage.js';

/**
 * As objects, at about a kilobyte each: the last 100,000 at least (cache/recent.ts). With a quarter of that, loading round
 * after round into 50,000 aggregates opened a record for every event, at 127 µs of CPU each instead of 100.
 */
const HEADS_OPEN = 200_000;
/** For sealed records: this part of the memory, within these bounds. */
const MEMORY_SHARE = 1 / 32;
const MEMORY = { leastMb: 32, mostMb: 1024 };

/**
 * Of the reads of sealed records one in so many makes an object of what it read: what is read again and again soon is
 * one, and reads all over a large store push out next to nothing.
 */
const READS_PER_OPENED = 16;

type Name = Pick<Head, 'type' | 'id'>;

interface Found {
  readonly head: Head | undefined;
  readonly agg: Buffer | null;
}

/** Two names may share a place (see Attempt.append): then the asked for one is not stored. */
function isOf(head: Name, { type, id }: Name): boolean {
  return head.id === id && head.type === type;
}

export class Heads {
  private readonly open: RecentMap<string, Head>;
  private readonly packed: PackedRecords;
  /** Heads that are being read from the store, to be kept unless a commit changes them meanwhile. */
  private readonly reading = new Map<string, symbol>();
  private sealedReads = 0;

  constructor(
    private readonly repository: Repository,
    /** As of the last commit. */
    private readonly catalogue: () => Catalogue,
    { open = HEADS_OPEN, packedBytes = memoryShare(MEMORY_SHARE, MEMORY) } = {},
  ) {
    this.open = new RecentMap(open);
    this.packed = new PackedRecords(AGG_BYTES, packedBytes);
  }

  /**
   * What readers see of a head, and its place, if it is in memory. Of most sealed records only that is opened, and not
   * kept as an object: what is only read must not push out what is written to.
   */
  known(type: string, id: string): Placed | undefined {
    const open = this.open.get(headName(type, id));
    if (open !== undefined) return { agg: open.agg, state: open };
    const agg = this.place({ type, id });
    const record = agg === null ? null : this.packed.get(agg);
    if (agg === null || record === null) return undefined;
    if (++this.sealedReads % READS_PER_OPENED === 0) {
      const head = this.unpack(agg, { type, id });
      return head === undefined ? undefined : { agg, state: head };
    }
    const state = this.repository.openState(plainKey(Prefix.head, agg), record, { type, id });
    return isOf(state, { type, id }) ? { agg, state } : undefined;
  }

  /** The head, if it is in memory, and else its place in the store; null for a type there is not. */
  find(whose: Name): Found {
    const open = this.open.get(headName(whose.type, whose.id));
    if (open !== undefined) return { head: open, agg: open.agg };
    const agg = this.place(whose);
    return { head: agg === null ? undefined : this.unpack(agg, whose), agg };
  }

  /** From wherever it is. @throws DatabaseError XX001 */
  async get(type: string, id: string): Promise<Head | null> {
    const { head: known, agg } = this.find({ type, id });
    if (known !== undefined) return known;
    if (agg === null) return null;
    const name = headName(type, id);
    const read = Symbol(name);
    this.reading.set(name, read);
    const key = plainKey(Prefix.head, agg);
    const record = await this.repository.store.get(key);
    // A commit that came meanwhile has taken the mark away: then what was read may be old.
    const isNewest = this.reading.get(name) === read && this.reading.delete(name);
    if (record === null) return null;
    const head = this.repository.openHead(key, record, { type, id });
    if (!isOf(head, { type, id })) return null;
    if (isNewest) this.committed(head, record);
    return head;
  }

  /** @param record the head as it is stored */
  committed(head: Head, record: Buffer): void {
    const name = headName(head.type, head.id);
    this.open.set(name, head);
    this.packed.set(head.agg, record);
    this.reading.delete(name);
  }

  private place({ type, id }: Name): Buffer | null {
    const number = this.catalogue().typeNumber(type);
    return number === null ? null : this.repository.index.aggregate(number, type, id);
  }

  private unpack(agg: Buffer, whose: Name): Head | undefined {
    const record = this.packed.get(agg);
    if (record === null) return undefined;
    const head = this.repository.openHead(plainKey(Prefix.head, agg), record, whose);
    if (!isOf(head, whose)) return undefined;
    this.open.set(headName(whose.type, whose.id), head);
    return head;
  }
}
