import { AGG_BYTES } from '../codec/keys.js';
import type { LogEntry } from '../codec/records.js';
import type { Repository, StoredEvent } from '../repository.js';

const LEAF_BYTES = 32;
/** leaf(32) ‖ agg(11) ‖ version(8) ‖ time(8) */
const ENTRY_BYTES = LEAF_BYTES + AGG_BYTES + 16;
const VERSION_AT = LEAF_BYTES + AGG_BYTES;

/** The total order as it is stored, in memory: 59 bytes a position. What cannot be read has version 0. */
export class TotalOrder {
  private readonly bytes: Buffer;
  private isWhole = true;

  constructor(
    private readonly repository: Repository,
    readonly size: number,
  ) {
    this.bytes = Buffer.alloc(size * ENTRY_BYTES);
  }

  async read(): Promise<void> {
    let next = 1;
    try {
      for await (const entry of this.repository.positions.scan(1, this.size)) {
        if (entry.position !== next) break;
        this.take(entry);
        next++;
      }
    } catch {
      // Damage in the order itself: what it hides is named by the events that are not found in it.
    }
    for (; next <= this.size; next++) {
      const entry = await this.repository.positions.at(next).catch(() => null);
      if (entry === null) this.isWhole = false;
      else this.take(entry);
    }
  }

  leaf(position: number): Buffer {
    const at = (position - 1) * ENTRY_BYTES;
    return this.bytes.subarray(at, at + LEAF_BYTES);
  }

  aggAt(position: number): Buffer {
    const at = (position - 1) * ENTRY_BYTES;
    return this.bytes.subarray(at + LEAF_BYTES, at + VERSION_AT);
  }

  /** Whether the aggregate at a position starts with these bytes; not so for a position that cannot be read. */
  isOf(position: number, prefix: Buffer): boolean {
    const at = (position - 1) * ENTRY_BYTES + LEAF_BYTES;
    for (let i = 0; i < prefix.length; i++) if (this.bytes[at + i] !== prefix[i]) return false;
    return this.versionAt(position) > 0;
  }

  entryAt(position: number): LogEntry | null {
    if (position < 1 || position > this.size || this.versionAt(position) === 0) return null;
    return {
      position,
      leaf: this.leaf(position),
      agg: this.aggAt(position),
      version: this.versionAt(position),
      recordedAt: this.bytes.readDoubleBE((position - 1) * ENTRY_BYTES + VERSION_AT + 8),
    };
  }

  /** Whether the order has this leaf at the event's position, and says the same of the event. */
  says(event: StoredEvent, leaf: Buffer): boolean {
    const { position, agg } = event;
    if (position < 1 || position > this.size) return false;
    const at = (position - 1) * ENTRY_BYTES;
    return (
      leaf.compare(this.bytes, at, at + LEAF_BYTES) === 0 &&
      agg.compare(this.bytes, at + LEAF_BYTES, at + VERSION_AT) === 0 &&
      this.versionAt(position) === event.version &&
      this.bytes.readDoubleBE(at + VERSION_AT + 8) === event.recordedAt
    );
  }

  /** The newest version of each of these aggregates (latin1 of agg); where the order is damaged, by their heads too. */
  async lastVersions(aggs: ReadonlySet<string>, signal?: AbortSignal): Promise<Map<string, number>> {
    const last = new Map([...aggs].map((name) => [name, 1]));
    if (aggs.size === 0) return last;
    for (let position = 1; position <= this.size; position++) {
      const name = this.aggAt(position).toString('latin1');
      const known = last.get(name);
      if (known !== undefined) last.set(name, Math.max(known, this.versionAt(position)));
    }
    if (this.isWhole) return last;
    for (const [name, known] of last) {
      signal?.throwIfAborted();
      // A head that is damaged itself is named when its aggregate is verified.
      const head = await this.repository.head(Buffer.from(name, 'latin1')).catch(() => null);
      if (head !== null && head.position <= this.size) last.set(name, Math.max(known, head.version));
    }
    return last;
  }

  private versionAt(position: number): number {
    // A double holds every safe integer exactly.
    return this.bytes.readDoubleBE((position - 1) * ENTRY_BYTES + VERSION_AT);
  }

  private take(entry: LogEntry): void {
    const at = (entry.position - 1) * ENTRY_BYTES;
    this.bytes.set(entry.leaf, at);
    this.bytes.set(entry.agg, at + LEAF_BYTES);
    this.bytes.writeDoubleBE(entry.version, at + VERSION_AT);
    this.bytes.writeDoubleBE(entry.recordedAt, at + VERSION_AT + 8);
  }
}
