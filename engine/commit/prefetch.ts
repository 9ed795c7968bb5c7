import { ByteReader } from '../codec/bytes.js';
import { AGG_BYTES } from '../codec/keys.js';
import { DatabaseError, SqlState } from '../errors.js';
import type { Head, Repository } from '../repository.js';
import { toEventRow } from '../rows.js';
import type { Entry } from '../store/store.js';
import type { NewEvent } from '../types.js';
import { formatUuid, headName, type Existing, type Group, type Known } from './stage.js';

/** What one group's requests may ask about the store. */
export class Prefetched implements Known {
  readonly heads = new Map<string, Head>();
  private readonly aggs = new Map<string, Buffer>();
  private readonly unreadable = new Map<string, unknown>();
  private readonly eventIds = new Map<string, Existing>();
  private readonly tokens = new Map<string, number>();
  private readonly keys = new Map<string, Entry>();

  constructor(private readonly repository: Repository) {}

  async loadHeads(aggs: ReadonlyMap<string, Buffer>): Promise<void> {
    for (const [name, agg] of aggs) this.aggs.set(name, agg);
    const names = [...aggs.keys()];
    try {
      const heads = await this.repository.heads([...aggs.values()]);
      heads.forEach((head, i) => {
        const name = names[i];
        if (head !== null && name !== undefined) this.heads.set(name, head);
      });
    } catch {
      // One damaged head must not stop the others: load them one by one and remember which failed.
      for (const [name, agg] of aggs) {
        try {
          const head = await this.repository.head(agg);
          if (head !== null) this.heads.set(name, head);
        } catch (error) {
          this.unreadable.set(name, error);
        }
      }
    }
  }

  async loadEventIds(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    const keys = ids.map((id) => this.repository.index.eventId(Buffer.from(id.replaceAll('-', ''), 'hex')));
    const values = await this.repository.store.getMany(keys);
    for (const [i, value] of values.entries()) {
      const key = keys[i];
      const id = ids[i];
      if (value === null || key === undefined || id === undefined) continue;
      const place = new ByteReader(value);
      const agg = Buffer.from(place.bytes(AGG_BYTES));
      const event = await this.repository.event(agg, place.u64());
      if (event === null || formatUuid(event.eventId) !== id.toLowerCase())
        throw new DatabaseError(SqlState.dataCorrupted, 'an event is not where the index of event ids says');
      this.eventIds.set(id, { row: toEventRow(event) });
    }
  }

  async loadUsage(tokenIds: readonly string[]): Promise<void> {
    const keys = tokenIds.map((id) => this.repository.index.usage(id));
    const values = await this.repository.store.getMany(keys);
    values.forEach((value, i) => {
      const [key, id] = [keys[i], tokenIds[i]];
      if (value === null || key === undefined || id === undefined) return;
      this.tokens.set(id, new ByteReader(this.repository.unseal(key, value)).u64());
    });
  }

  requireReadable(event: NewEvent): void {
    const error = this.unreadable.get(headName(event.aggregateType, event.aggregateId));
    if (error instanceof Error) throw error;
  }

  head(name: string): Head | null {
    return this.heads.get(name) ?? null;
  }

  agg(typeNumber: number, type: string, id: string): Buffer {
    return this.aggs.get(headName(type, id)) ?? this.repository.index.aggregate(typeNumber, type, id);
  }

  newKey(agg: Buffer): Head['key'] {
    const { key, entry } = this.repository.createAggregateKey(agg);
    this.keys.set(agg.toString('latin1'), entry);
    return key;
  }

  /** The key records of the aggregates the group creates; those of refused requests are left out. */
  keysFor(group: Group): Entry[] {
    const entries: Entry[] = [];
    for (const staged of group.staged) {
      const entry = staged.isFirst ? this.keys.get(staged.head.agg.toString('latin1')) : undefined;
      if (entry !== undefined) entries.push(entry);
    }
    return entries;
  }

  existing(eventId: string): Existing | null {
    return this.eventIds.get(eventId) ?? null;
  }

  usage(tokenId: string): number {
    return this.tokens.get(tokenId) ?? 0;
  }
}
