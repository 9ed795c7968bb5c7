import type { CommittedEvent, EventRow, Fields } from '../types.js';
import type { Existing, Staged } from './stage.js';

/** A committed event as its request is answered; `duplicate` when it was there before. */
export interface Appended extends EventRow {
  readonly duplicate: boolean;
}

/** An event that its request has just appended. Most are asked for little of this, so nothing is made beforehand. */
export class AppendedEvent implements Appended {
  constructor(
    private readonly staged: Staged,
    readonly duplicate = false,
  ) {}

  get position(): bigint {
    return BigInt(this.staged.stored.position);
  }

  get aggregateType(): string {
    return this.staged.stored.type;
  }

  get aggregateId(): string {
    return this.staged.stored.id;
  }

  get version(): bigint {
    return BigInt(this.staged.stored.version);
  }

  get eventType(): string {
    return this.staged.stored.eventType;
  }

  get payload(): Fields {
    return this.staged.stored.fields;
  }

  get metadata(): string | null {
    return this.staged.stored.metadata;
  }

  get actor(): string {
    return this.staged.stored.actor;
  }

  get recordedAt(): bigint {
    return BigInt(this.staged.stored.recordedAt);
  }

  get eventId(): string {
    return formatUuid(this.staged.stored.eventId);
  }

  get eventHash(): string {
    return this.staged.leaf.toString('hex');
  }
}

/** What a request is told of an event of its own. */
export function appendedOf(answer: Staged | Existing): Appended {
  if (!('row' in answer)) return new AppendedEvent(answer);
  return answer.row instanceof AppendedEvent ? answer.row : { ...answer.row, duplicate: true };
}

export function formatUuid(bytes: Buffer): string {
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** A UUID's 16 bytes. */
export function uuidBytes(text: string): Buffer {
  return Buffer.from(text.replaceAll('-', ''), 'hex');
}

/** What followers are told of an event. */
export function announcementOf({ stored }: Staged): CommittedEvent {
  return {
    position: BigInt(stored.position),
    aggregateType: stored.type,
    aggregateId: stored.id,
    version: BigInt(stored.version),
    eventType: stored.eventType,
  };
}
