/**
 * Appends and states on their way between threads, as flat arrays: an object costs several times as much to send,
 * because the names of its properties go along with each.
 */
import type { Appended } from '../../engine/commit/appended.js';
import type { Expectation, Fields, NewEvent, StateRow, Writer } from '../../engine/types.js';
import { setField } from './stateBytes.js';

export type Packed = readonly (string | number | boolean | null)[];

const ANY = -2;
const EXISTS = -1;

/** A version as text, since a client may expect one that no number holds. */
function packExpectation(expected: Expectation): number | string {
  if (expected.kind === 'version') return expected.version.toString();
  return expected.kind === 'any' ? ANY : EXISTS;
}

function unpackExpectation(packed: Packed[number]): Expectation {
  if (typeof packed === 'string') return { kind: 'version', version: BigInt(packed) };
  return { kind: packed === ANY ? 'any' : 'exists' };
}

type Values = (string | number | boolean | null)[];

function pushFields(to: Values, fields: Fields): void {
  const at = to.push(0) - 1;
  let count = 0;
  for (const name in fields) {
    to.push(name, fields[name] ?? null);
    count++;
  }
  to[at] = count;
}

/** Takes values in the order they were pushed. */
class Taker {
  private at = 0;

  constructor(private readonly packed: Packed) {}

  get isAtEnd(): boolean {
    return this.at >= this.packed.length;
  }

  value(): Packed[number] {
    return this.packed[this.at++] ?? null;
  }

  text(): string {
    return this.packed[this.at++] as string;
  }

  textOrNull(): string | null {
    return this.packed[this.at++] as string | null;
  }

  number(): number {
    return this.packed[this.at++] as number;
  }

  bigint(): bigint {
    return BigInt(this.number());
  }

  flag(): boolean {
    return this.packed[this.at++] as boolean;
  }

  fields(): Fields {
    const fields: Record<string, string | null> = {};
    for (let left = this.number(); left > 0; left--) {
      const [name, value] = [this.text(), this.textOrNull()];
      setField(fields, name, value);
    }
    return fields;
  }
}

/** A request to append. A session's identity has more to it than a writer, which need not travel. */
export function packAppend(events: readonly NewEvent[], writer: Writer): Packed {
  const to: Values = [writer.actor, writer.tokenId, writer.writeLimit?.toString() ?? null];
  for (const event of events) {
    to.push(event.aggregateType, event.aggregateId, event.eventType, event.metadata, event.eventId);
    to.push(packExpectation(event.expected), event.ignoreDuplicate);
    pushFields(to, event.payload);
  }
  return to;
}

export function unpackAppend(packed: Packed): { readonly events: NewEvent[]; readonly writer: Writer } {
  const from = new Taker(packed);
  const [actor, tokenId, limit] = [from.text(), from.textOrNull(), from.textOrNull()];
  const events: NewEvent[] = [];
  while (!from.isAtEnd) {
    events.push({
      aggregateType: from.text(),
      aggregateId: from.text(),
      eventType: from.text(),
      metadata: from.textOrNull(),
      eventId: from.textOrNull(),
      expected: unpackExpectation(from.value()),
      ignoreDuplicate: from.flag(),
      payload: from.fields(),
    });
  }
  return { events, writer: { actor, tokenId, writeLimit: limit === null ? null : BigInt(limit) } };
}

const NO_FIELDS: Fields = {};

/** What was appended, without payload and metadata: who appends is not told again what they appended. */
export function packAppended(rows: readonly Appended[]): Packed {
  const to: Values = [];
  for (const row of rows) {
    to.push(Number(row.position), Number(row.version), Number(row.recordedAt), row.eventId, row.eventHash);
    // Only an event that was there before may have been appended by somebody else, as something else.
    to.push(row.duplicate);
    if (row.duplicate) to.push(row.actor, row.aggregateType, row.aggregateId, row.eventType);
  }
  return to;
}

/** @param events the request, one for each row */
export function unpackAppended(packed: Packed, events: readonly NewEvent[], { actor }: Writer): Appended[] {
  const from = new Taker(packed);
  return events.map((event) => {
    const row = {
      position: from.bigint(),
      version: from.bigint(),
      recordedAt: from.bigint(),
      eventId: from.text(),
      eventHash: from.text(),
      duplicate: from.flag(),
    };
    const { duplicate } = row;
    return {
      ...row,
      actor: duplicate ? from.text() : actor,
      aggregateType: duplicate ? from.text() : event.aggregateType,
      aggregateId: duplicate ? from.text() : event.aggregateId,
      eventType: duplicate ? from.text() : event.eventType,
      payload: NO_FIELDS,
      metadata: null,
    };
  });
}

export function packState(row: StateRow): Packed {
  const to: Values = [Number(row.version), Number(row.position), Number(row.createdAt)];
  to.push(Number(row.updatedAt), row.archived);
  pushFields(to, row.fields);
  return to;
}

export function unpackState(packed: Packed, aggregateType: string, aggregateId: string): StateRow {
  const from = new Taker(packed);
  return {
    aggregateType,
    aggregateId,
    version: from.bigint(),
    position: from.bigint(),
    createdAt: from.bigint(),
    updatedAt: from.bigint(),
    archived: from.flag(),
    fields: from.fields(),
  };
}
