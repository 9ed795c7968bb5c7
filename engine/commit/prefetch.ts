import { ByteReader } from '../codec/bytes.js';
import type { Head, Repository } from '../repository.js';
import { toEventRow } from '../rows.js';
import type { NewEvent } from '../types.js';
import { uuidBytes } from './appended.js';
import { headName, placeTaken, type Existing, type Known } from './stage.js';

/** Where an aggregate's records are, and its name. */
export interface Place {
  readonly agg: Buffer;
  readonly type: string;
  readonly id: string;
}

/** What is read at a time: others are served in between. */
const PART = 1000;

function* inParts<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let from = 0; from < items.length; from += PART) yield items.slice(from, from + PART);
}

/** What one group's requests may ask about the store. */
export class Prefetched implements Known {
  readonly heads = new Map<string, Head>();
  private readonly aggs = new Map<string, Buffer>();
  private readonly unreadable = new Map<string, unknown>();
  private readonly eventIds = new Map<string, Existing>();
  private readonly tokens = new Map<string, number>();

  constructor(private readonly repository: Repository) {}

  async loadHeads(wanted: ReadonlyMap<string, Place>): Promise<void> {
    for (const part of inParts([...wanted])) await this.loadPart(part);
  }

  private async loadPart(wanted: readonly (readonly [name: string, place: Place])[]): Promise<void> {
    for (const [name, { agg }] of wanted) this.aggs.set(name, agg);
    try {
      const heads = await this.repository.heads(wanted.map(([, { agg }]) => agg));
      heads.forEach((head, i) => {
        const name = wanted[i]?.[0];
        if (head !== null && name !== undefined) this.take(name, head);
      });
    } catch {
      // One damaged head must not stop the others: load them one by one and remember which failed.
      for (const [name, place] of wanted) {
        try {
          const head = await this.repository.head(place.agg, place);
          if (head !== null) this.take(name, head);
        } catch (error) {
          this.unreadable.set(name, error);
        }
      }
    }
  }

  private take(name: string, head: Head): void {
    if (headName(head.type, head.id) === name) this.heads.set(name, head);
    else this.unreadable.set(name, placeTaken());
  }

  async loadEventIds(wanted: readonly string[]): Promise<void> {
    for (const ids of inParts(wanted)) await this.loadEvents(ids);
  }

  private async loadEvents(ids: readonly string[]): Promise<void> {
    const events = await this.repository.eventsWithIds(ids.map(uuidBytes));
    ids.forEach((id, i) => {
      const event = events[i] ?? null;
      if (event !== null) this.eventIds.set(id, { row: toEventRow(event) });
    });
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
    if (this.unreadable.size === 0) return;
    const error = this.unreadable.get(headName(event.aggregateType, event.aggregateId));
    if (error instanceof Error) throw error;
  }

  head(name: string): Head | null {
    return this.heads.get(name) ?? null;
  }

  agg(typeNumber: number, type: string, id: string): Buffer {
    return this.aggs.get(headName(type, id)) ?? this.repository.index.aggregate(typeNumber, type, id);
  }

  newKey(): Head['key'] {
    return this.repository.newKey();
  }

  existing(eventId: string): Existing | null {
    return this.eventIds.get(eventId) ?? null;
  }

  usage(tokenId: string): number {
    return this.tokens.get(tokenId) ?? 0;
  }
}
