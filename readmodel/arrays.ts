/** PostgreSQL arrays in binary form, one for each column of a batch. */
import { fieldOf } from '../engine/fold.js';
import type { CommittedEvent, StateRow } from '../engine/types.js';
import type { ByteWriter } from './byteWriter.js';

const Oid = { bool: 16, int8: 20, text: 25, timestamptz: 1184 } as const;
/** Microseconds from 1970 to 2000, where PostgreSQL's timestamps begin. */
const EPOCH_2000 = 946_684_800_000_000;
/** NOTIFY takes less than 8000 bytes. */
const MAX_PAYLOAD_BYTES = 7900;
/** One dimension, lower bound 1; elements may be null. */
function putHeader(writer: ByteWriter, elementType: number, length: number): void {
  writer.int32(length === 0 ? 0 : 1);
  writer.int32(1);
  writer.int32(elementType);
  if (length === 0) return;
  writer.int32(length);
  writer.int32(1);
}

type Put<T> = (writer: ByteWriter, item: T) => void;

function array<T>(type: number, items: readonly T[], put: Put<T>): (writer: ByteWriter) => void {
  return (writer) => {
    putHeader(writer, type, items.length);
    for (const item of items) put(writer, item);
  };
}

function putInt64(writer: ByteWriter, value: bigint): void {
  writer.int32(8);
  writer.int64(Number(value));
}

function putTimestamp(writer: ByteWriter, micros: bigint): void {
  writer.int32(8);
  writer.int64(Number(micros) - EPOCH_2000);
}

/** The five columns every state has. */
export function standardArrays(rows: readonly StateRow[]): ((writer: ByteWriter) => void)[] {
  return [
    array(Oid.text, rows, (writer, row) => writer.nullableText(row.aggregateId)),
    array(Oid.int8, rows, (writer, row) => putInt64(writer, row.version)),
    array(Oid.timestamptz, rows, (writer, row) => putTimestamp(writer, row.createdAt)),
    array(Oid.timestamptz, rows, (writer, row) => putTimestamp(writer, row.updatedAt)),
    array(Oid.bool, rows, (writer, row) => {
      writer.int32(1);
      writer.byte(row.archived ? 1 : 0);
    }),
  ];
}

function valueOf(row: StateRow | undefined, name: string): string | null {
  return row === undefined ? null : fieldOf(row.fields, name);
}

/** One field of the rows as text. Without the nulls at its end, which unnesting beside longer arrays brings back. */
export function fieldArray(rows: readonly StateRow[], name: string): (writer: ByteWriter) => void {
  return (writer) => {
    let { length } = rows;
    while (length > 0 && valueOf(rows[length - 1], name) === null) length -= 1;
    putHeader(writer, Oid.text, length);
    for (let i = 0; i < length; i++) writer.nullableText(valueOf(rows[i], name));
  };
}

/**
 * Channels and payloads of what LISTEN <type> hears: one notification per event, in commit order. An id too long for
 * NOTIFY is left out.
 */
export function notificationArrays(events: readonly CommittedEvent[]): ((writer: ByteWriter) => void)[] {
  return [
    array(Oid.text, events, (writer, event) => writer.nullableText(event.aggregateType)),
    array(Oid.text, events, (writer, event) => {
      const start = writer.startLength();
      putPayload(writer, event, true);
      if (writer.length - start > MAX_PAYLOAD_BYTES) {
        writer.truncate(start);
        putPayload(writer, event, false);
      }
      writer.endLength(start);
    }),
  ];
}

function putPayload(writer: ByteWriter, event: CommittedEvent, withId: boolean): void {
  writer.text('{');
  if (withId) {
    writer.text('"aggregate_id":');
    writer.text(quoted(event.aggregateId));
    writer.text(',');
  }
  writer.text('"version":');
  writer.text(String(event.version));
  writer.text(',"position":');
  writer.text(String(event.position));
  writer.text(',"event_type":');
  writer.text(quoted(event.eventType));
  writer.text('}');
}

/** As JSON.stringify has it, which is slow beside a look at the text. */
function quoted(text: string): string {
  return /^[ !#-[\]-~]*$/.test(text) ? `"${text}"` : JSON.stringify(text);
}
