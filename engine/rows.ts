/** From the engine's own records to the rows other rooms see: bigint versions and positions, hex hashes. */
import { formatUuid } from './commit/appended.js';
import { commitHash, eventLeaf, payloadText, saltOf } from './hashes.js';
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

/** L of a stored event, from everything it says. @param to where it goes */
export function leafOf(event: StoredEvent, to?: Buffer): Buffer {
  const salt = saltOf(event.key, event.version);
  return eventLeaf(event, commitHash(salt, event.metadata, payloadText(event.fields)), to);
}

export function toEventRow(event: StoredEvent): EventRow {
  return { ...toUnhashedRow(event), eventHash: leafOf(event).toString('hex') };
}

/** Without its hash, which takes longer than all the rest. */
export function toUnhashedRow(event: StoredEvent): EventRow {
  return {
    position: BigInt(event.position),
    aggregateType: event.type,
    aggregateId: event.id,
    version: BigInt(event.version),
    eventType: event.eventType,
    payload: event.fields,
    metadata: event.metadata,
    actor: event.actor,
    recordedAt: BigInt(event.recordedAt),
    eventId: formatUuid(event.eventId),
    eventHash: '',
  };
}
