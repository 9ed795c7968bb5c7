import type pg from 'pg';
import type { StateRow } from '../engine/types.js';
import type { FieldDefinition } from '../engine/types.js';

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

export async function copyIn(client: pg.Client, text: string, data: string): Promise<void> {
  await client.query(new CopyIn(text, Buffer.from(data))).done;
}

/** Rows in COPY's text format, in the order of the state columns. */
export function copyText(rows: readonly StateRow[], fields: readonly FieldDefinition[]): string {
  let text = '';
  for (const row of rows) {
    text += `${escape(row.aggregateId)}\t${row.version}\t${timestamp(row.createdAt)}\t${timestamp(row.updatedAt)}\t`;
    text += row.archived ? 't' : 'f';
    for (const { name } of fields) {
      const value = row.fields[name] ?? null;
      text += value === null ? '\t\\N' : `\t${escape(value)}`;
    }
    text += '\n';
  }
  return text;
}

function escape(value: string): string {
  return /[\\\n\r\t]/.test(value) ? value.replace(/[\\\n\r\t]/g, (found) => ESCAPES[found] ?? found) : value;
}

const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** Microseconds since 1970 as timestamptz input, exact to the microsecond. */
export function timestamp(micros: bigint): string {
  const rest = ((micros % 1_000_000n) + 1_000_000n) % 1_000_000n;
  const seconds = new Date(Number(micros - rest) / 1000).toISOString().slice(0, 19);
  return `${seconds}.${String(rest).padStart(6, '0')}Z`;
}
