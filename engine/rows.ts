/** From the engine's own records to the rows other rooms see: bigint versions and positions, hex hashes. */
import { decodeFields, eventLeaf } from './codec/records.js';
import { formatUuid } from './commit/stage.js';
import type { Head, StoredEvent } from './repository.js';
import type { EventRow, StateRow } from './types.js';

export function toStateRow(head: Omit<Head, 'agg' | 'key' | 'frontier'>): StateRow {
  return {
    aggregateType: head.type,
    aggregateId: head.id,
    version: BigInt(head.version),
    position: BigInt(head.position),
    createdAt: BigInt(head.createdAt),
    updatedAt: BigInt(head.updatedAt),
    archived: head.archived,
    fields: head.state,
  };
}

export function toEventRow(event: StoredEvent): EventRow {
  return {
    position: BigInt(event.position),
    aggregateType: event.type,
    aggregateId: event.id,
    version: BigInt(event.version),
    eventType: event.eventType,
    payload: decodeFields(event.body.payload),
    metadata: event.body.metadata,
    actor: event.actor,
    recordedAt: BigInt(event.recordedAt),
    eventId: formatUuid(event.eventId),
    eventHash: eventLeaf(event).toString('hex'),
  };
}
