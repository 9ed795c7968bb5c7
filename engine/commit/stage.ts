/**
 * Checks and numbers one request against the group that is being built. Nothing is written here: a request either
 * joins the group whole or leaves it as it was.
 */
import { SCHEMA_TYPE, isInternalType, type Catalogue } from '../catalogue.js';
import type { SealKey } from '../crypto/seal.js';
import { DatabaseError, SqlState } from '../errors.js';
import { applyEvent } from '../fold.js';
import { commitHash, eventLeaf, payloadText, saltOf } from '../hashes.js';
import type { Head, StoredEvent } from '../repository.js';
import { Limits, validateEvent } from '../schema/validate.js';
import { checkWidth } from '../schema/width.js';
import { VIEW_TYPE } from '../schema/views.js';
import { appendLeaf } from '../tree.js';
import { randomPool } from '../crypto/random.js';
import type { EventRow, Fields, NewEvent, Writer } from '../types.js';
import { AppendedEvent, uuidBytes } from './appended.js';
import { TimeSlice } from './timeSlice.js';

/** An event that has its place in the group. */
export interface Staged {
  readonly stored: StoredEvent;
  /** 16 bytes when the client gave its id, null when it was drawn. */
  readonly givenId: Buffer | null;
  readonly leaf: Buffer;
  readonly head: Head;
  readonly internal: boolean;
}

/** What staging needs to know of the store; prefetched by the commit loop, so that staging is synchronous. */
export interface Known {
  head(name: string): Head | null;
  agg(typeNumber: number, type: string, id: string): Buffer;
  /** Makes the key of a new aggregate. */
  newKey(): SealKey;
  /** The event that has this event id, if any is stored. */
  existing(eventId: string): Existing | null;
  /** Events a limited token had written before this group. */
  usage(tokenId: string): number;
}

/** An event that was there before. */
export interface Existing {
  readonly row: EventRow;
}

export function headName(type: string, id: string): string {
  return `${type}\0${id}`;
}

/** An aggregate's place is a short hash of its name: of ten million, two share one with a probability of 10⁻⁸. */
export function placeTaken(): DatabaseError {
  return new DatabaseError(
    SqlState.programLimitExceeded,
    'the place of this aggregate in the store is taken by another',
    {
      detail: 'The keyed hashes of their ids are the same. Nothing was appended.',
      hint: 'Give the aggregate another id.',
    },
  );
}

/** The id of an event that was given none, 16 bytes. */
export type DrawId = (position: number, recordedAt: number) => Buffer;

/** The group so far. */
export class Group {
  catalogue: Catalogue;
  readonly staged: Staged[] = [];
  readonly heads = new Map<string, Head>();
  readonly usage = new Map<string, number>();
  /** The places of the aggregates that this group creates, latin1 of agg. */
  readonly created = new Set<string>();
  private readonly eventIds = new Map<string, Staged>();
  private readonly revisionBefore: number;

  constructor(
    catalogue: Catalogue,
    private known: Known,
    private readonly basePosition: number,
    private readonly recordedAt: number,
    private readonly drawId: DrawId,
  ) {
    this.catalogue = catalogue;
    this.revisionBefore = catalogue.schema.revision;
  }

  get schemaChanged(): boolean {
    return this.catalogue.schema.revision !== this.revisionBefore;
  }

  /**
   * Adds a request, in slices of time: all of its events, or, when it throws, none. One request at a time.
   * @throws DatabaseError 40001, 23505, 53400 and what validation throws
   */
  async add(
    events: readonly NewEvent[],
    writer: Writer,
    slice = new TimeSlice(),
  ): Promise<(Staged | Existing)[]> {
    const attempt = new Attempt(
      this,
      this.known,
      writer,
      this.basePosition + this.staged.length,
      this.recordedAt,
      this.drawId,
    );
    const answers: (Staged | Existing)[] = [];
    for (const event of events) {
      if (slice.isOver) await slice.next();
      try {
        answers.push(attempt.place(event));
      } catch (error) {
        if (events.length === 1 || !(error instanceof DatabaseError)) throw error;
        throw error.located(`Row ${answers.length + 1}.`);
      }
    }
    // Schema changes, also those an open aggregate makes by itself, are no writes of the token's.
    const written = attempt.staged.filter((staged) => !staged.internal).length;
    if (writer.tokenId !== null && writer.writeLimit !== null && written > 0) {
      const used = (this.usage.get(writer.tokenId) ?? this.known.usage(writer.tokenId)) + written;
      if (used > Number(writer.writeLimit)) {
        throw new DatabaseError(SqlState.configurationLimitExceeded, "the token's write limit is reached", {
          detail: `It may write ${writer.writeLimit} events in all; this would make ${used}.`,
          hint: 'Ask an administrator for a new token.',
        });
      }
      this.usage.set(writer.tokenId, used);
    }
    this.catalogue = attempt.catalogue;
    // One by one: as arguments of a call, so many would not fit the stack.
    for (const staged of attempt.staged) this.staged.push(staged);
    for (const [name, head] of attempt.heads) this.heads.set(name, head);
    for (const place of attempt.created) this.created.add(place);
    for (const [id, staged] of attempt.eventIds) this.eventIds.set(id, staged);
    return answers;
  }

  /** Later requests are checked against newly fetched knowledge (a transaction's statements come one by one). */
  learn(known: Known): void {
    this.known = known;
  }

  headOf(name: string): Head | null {
    return this.heads.get(name) ?? this.known.head(name);
  }

  stagedWith(eventId: string): Staged | undefined {
    return this.eventIds.get(eventId);
  }
}

/** One request on its way into a group. */
class Attempt {
  catalogue: Catalogue;
  readonly staged: Staged[] = [];
  readonly heads = new Map<string, Head>();
  readonly created = new Set<string>();
  /** Given ones: nobody can know an id that is drawn in this very group. */
  readonly eventIds = new Map<string, Staged>();

  constructor(
    private readonly group: Group,
    private readonly known: Known,
    private readonly writer: Writer,
    private readonly basePosition: number,
    private readonly recordedAt: number,
    private readonly drawId: DrawId,
  ) {
    this.catalogue = group.catalogue;
  }

  place(event: NewEvent): Staged | Existing {
    const internal = isInternalType(event.aggregateType);
    const duplicate = event.eventId === null ? null : this.duplicateOf(event, event.eventId);
    if (duplicate !== null) return duplicate;
    if (!internal) {
      const unseen = validateEvent(this.catalogue.schema, event);
      if (unseen.length > 0) {
        const definition = this.catalogue.withFields(event.aggregateType, unseen);
        this.append(this.catalogue.changeEvent('fields_added', definition), true);
      }
    }
    const isSchema = event.aggregateType === SCHEMA_TYPE;
    return this.append(isSchema ? this.catalogue.rebased(event) : event, internal);
  }

  /** Idempotency comes before the version check: a repeated append must not fail because it succeeded before. */
  private duplicateOf(event: NewEvent, eventId: string): Staged | Existing | null {
    const plain = eventId.replaceAll('-', '');
    const here = this.eventIds.get(plain) ?? this.group.stagedWith(plain);
    const found = here ?? this.known.existing(eventId);
    if (found === null) return null;
    const row = 'row' in found ? found.row : new AppendedEvent(found, true);
    const same =
      row.aggregateType === event.aggregateType &&
      row.aggregateId === event.aggregateId &&
      row.eventType === event.eventType &&
      (row.metadata ?? '') === (event.metadata ?? '') &&
      sameFields(row.payload, event.payload);
    if (same && event.ignoreDuplicate) return 'row' in found ? found : { row };
    throw new DatabaseError(SqlState.uniqueViolation, 'duplicate event_id', {
      detail: same
        ? `The same event was appended as version ${row.version} of its aggregate.`
        : 'An event with this event_id and other content exists.',
      ...(same ? { hint: 'Add ON CONFLICT (event_id) DO NOTHING to get the first result again.' } : {}),
    });
  }

  private append(event: NewEvent, internal: boolean): Staged {
    const name = headName(event.aggregateType, event.aggregateId);
    const before = this.heads.get(name) ?? this.group.headOf(name);
    checkExpectation(event, before);
    const number = this.catalogue.typeNumber(event.aggregateType);
    if (number === null)
      throw new DatabaseError(SqlState.undefinedTable, `aggregate "${event.aggregateType}" does not exist`);
    const agg = before?.agg ?? this.known.agg(number, event.aggregateType, event.aggregateId);
    if (before === null) this.takePlace(agg);
    const key = before?.key ?? this.known.newKey();
    const position = this.basePosition + this.staged.length + 1;
    const givenId = event.eventId === null ? null : uuidBytes(event.eventId);
    const stored: StoredEvent = {
      agg,
      key,
      type: event.aggregateType,
      id: event.aggregateId,
      version: (before?.version ?? 0) + 1,
      position,
      eventId: givenId ?? this.drawId(position, this.recordedAt),
      eventType: event.eventType,
      actor: this.writer.actor,
      recordedAt: this.recordedAt,
      metadata: event.metadata,
      fields: event.payload,
    };
    const leaf = eventLeaf(stored, commitOf(stored));
    const state = applyEvent(before?.state ?? {}, event.payload);
    checkWidth(this.catalogue.schema.aggregates.get(event.aggregateType), state);
    const head: Head = {
      agg,
      key,
      type: event.aggregateType,
      id: event.aggregateId,
      version: stored.version,
      position,
      createdAt: before?.createdAt ?? this.recordedAt,
      updatedAt: this.recordedAt,
      archived: before?.archived ?? false,
      frontier: appendLeaf(before?.frontier ?? '', stored.version - 1, leaf),
      state,
    };
    const staged: Staged = { stored, givenId, leaf, head, internal };
    this.staged.push(staged);
    if (givenId !== null) this.eventIds.set(givenId.toString('hex'), staged);
    this.heads.set(name, head);
    if (event.aggregateType === SCHEMA_TYPE)
      this.catalogue = this.catalogue.with(event.aggregateId, head.state);
    if (event.aggregateType === VIEW_TYPE) this.catalogue = this.catalogue.withView(event, head.state);
    return staged;
  }

  /** For a new aggregate; of those that are stored, prefetching knows. @throws DatabaseError 54000 */
  private takePlace(agg: Buffer): void {
    const place = agg.toString('latin1');
    if (this.created.has(place) || this.group.created.has(place)) throw placeTaken();
    this.created.add(place);
  }
}

function checkExpectation(event: NewEvent, before: Head | null): void {
  const actual = before?.version ?? 0;
  const { expected } = event;
  if (expected.kind === 'any') return;
  if (expected.kind === 'exists') {
    if (actual > 0) return;
    throw new DatabaseError(SqlState.serializationFailure, 'the aggregate does not exist yet', {
      detail: `aggregate "${event.aggregateType}": expected an existing aggregate, actual version 0.`,
    });
  }
  if (BigInt(actual) === expected.version) return;
  throw new DatabaseError(
    SqlState.serializationFailure,
    'the aggregate is at another version than expected',
    {
      detail: `aggregate "${event.aggregateType}": expected version ${expected.version}, actual version ${actual}.`,
      hint: 'Read the aggregate again and retry with its version.',
    },
  );
}

function sameFields(a: Fields, b: Fields): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((n) => Object.hasOwn(b, n) && a[n] === b[n]);
}

/** @throws DatabaseError 54000 */
function commitOf(event: StoredEvent): Buffer {
  const payload = payloadText(event.fields);
  // A UTF-16 unit is at most three bytes.
  if (payload.length * 3 > Limits.payloadBytes && Buffer.byteLength(payload) > Limits.payloadBytes)
    throw new DatabaseError(
      SqlState.programLimitExceeded,
      `a payload is limited to ${Limits.payloadBytes} bytes`,
    );
  return commitHash(saltOf(event.key, event.version), event.metadata, payload);
}

/** A random UUID (RFC 9562, version 4). */
export function randomUuid(): Buffer {
  const bytes = randomPool.take(16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return bytes;
}
