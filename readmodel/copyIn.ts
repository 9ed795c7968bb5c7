import type pg from 'pg';
import { fieldOf } from '../engine/fold.js';
import type { FieldDefinition, StateRow } from '../engine/types.js';
import { ByteWriter } from './byteWriter.js';
import { Submittable } from './submittable.js';

/** What pg hands to a query while it runs; its own types leave this out. */
interface CopyConnection {
  query(text: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
}

/** A COPY FROM STDIN of one buffer (pg itself has no COPY, and pg-copy-streams is more than this needs). */
class CopyIn extends Submittable {
  constructor(
    private readonly text: string,
    private readonly data: Buffer,
  ) {
    super();
  }

  submit(connection: pg.Connection): void {
    (connection as unknown as CopyConnection).query(this.text);
  }
  handleCopyInResponse(connection: CopyConnection): void {
    connection.sendCopyFromChunk(this.data);
    connection.endCopyFrom();
  }
}

export async function copyIn(client: pg.Client, text: string, data: Buffer): Promise<void> {
  await client.query(new CopyIn(text, data)).done;
}

const TAB = 9;
const LF = 10;
/** A row is guessed to have so many bytes. */
const ROW_BYTES = 160;

/** Rows in COPY's text format, in the order of the state columns. */
export function copyData(rows: readonly StateRow[], fields: readonly FieldDefinition[]): Buffer {
  const writer = new ByteWriter(rows.length * ROW_BYTES);
  const names = fields.map(({ name }) => name);
  for (const row of rows) {
    writer.copyText(row.aggregateId);
    writer.byte(TAB);
    writer.text(String(row.version));
    writer.byte(TAB);
    writer.timestamp(Number(row.createdAt));
    writer.byte(TAB);
    writer.timestamp(Number(row.updatedAt));
    writer.text(row.archived ? '\tt' : '\tf');
    const values = row.fields;
    for (const name of names) {
      const value = fieldOf(values, name);
      writer.byte(TAB);
      if (value === null) writer.text('\\N');
      else writer.copyText(value);
    }
    writer.byte(LF);
  }
  return writer.bytes();
}
