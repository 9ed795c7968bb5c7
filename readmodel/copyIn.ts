import type pg from 'pg';
import type { FieldDefinition, StateRow } from '../engine/types.js';
import { ByteWriter } from './byteWriter.js';

/** What pg hands to a query while it runs; its own types leave this out. */
interface CopyConnection {
  query(text: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
}

/**
 * A COPY FROM STDIN of one buffer, in the form pg accepts as a query (pg itself has no COPY, and pg-copy-streams is
 * more than this needs).
 */
class CopyIn {
  readonly done: Promise<void>;
  private resolve: () => void = () => undefined;
  private reject: (error: Error) => void = () => undefined;
  private failure: Error | null = null;

  constructor(
    private readonly text: string,
    private readonly data: Buffer,
  ) {
    this.done = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }

  submit(connection: pg.Connection): void {
    (connection as unknown as CopyConnection).query(this.text);
  }
  handleCopyInResponse(connection: CopyConnection): void {
    connection.sendCopyFromChunk(this.data);
    connection.endCopyFrom();
  }
  handleError(error: Error): void {
    // The answer to the COPY ends with ReadyForQuery; after a lost connection that never comes.
    this.failure = error;
    this.reject(error);
  }
  handleReadyForQuery(): void {
    if (this.failure === null) this.resolve();
  }
  handleCommandComplete(): void {
    // The tag says what we know.
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
      const value = values[name];
      writer.byte(TAB);
      if (value === undefined || value === null) writer.text('\\N');
      else writer.copyText(value);
    }
    writer.byte(LF);
  }
  return writer.bytes();
}
