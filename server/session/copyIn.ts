import { DatabaseError, SqlState } from '../../engine/errors.js';
import type { NewEvent } from '../../engine/types.js';
import type { CopyAppendStatement } from '../../sql/statement.js';
import { copyEvents } from '../statements/copyEvents.js';
import { CopyRows } from '../statements/copyRows.js';
import { MAX_PENDING_EVENTS } from './transaction.js';

/** One COPY is one atomic append; this bounds what it may hold until its end, besides the number of its events. */
const MAX_BYTES = 256 * 1024 * 1024;

/** COPY … EVENTS … FROM STDIN while its data arrives. */
export class CopyIn {
  readonly events: Promise<NewEvent[]>;
  private readonly rows: CopyRows;
  private readonly gathered: NewEvent[] = [];
  private bytes = 0;
  private failure: unknown = null;
  private resolve: (events: NewEvent[]) => void = () => undefined;
  private reject: (error: unknown) => void = () => undefined;

  constructor(
    statement: CopyAppendStatement,
    private readonly check: (event: NewEvent) => void,
  ) {
    const eventOf = copyEvents(statement);
    this.rows = new CopyRows(statement, (row) => {
      const event = eventOf(row);
      if (event === undefined) return;
      this.check(event);
      this.gathered.push(event);
      if (this.gathered.length > MAX_PENDING_EVENTS) throw tooLarge();
    });
    this.events = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }

  /** After a fault the rest of the data is still taken, and dropped, until the client ends it. */
  data(chunk: Buffer): void {
    if (this.failure !== null) return;
    try {
      this.bytes += chunk.length;
      if (this.bytes > MAX_BYTES) throw tooLarge();
      this.rows.push(chunk);
    } catch (error) {
      this.failure = error;
      this.gathered.length = 0;
    }
  }

  done(): void {
    try {
      if (this.failure !== null) throw this.failure as Error;
      this.rows.finish();
      this.resolve(this.gathered);
    } catch (error) {
      this.reject(error);
    }
  }

  /** The client gave up. */
  fail(reason: string): void {
    this.abort(new DatabaseError(SqlState.queryCanceled, `COPY from stdin failed: ${reason}`));
  }

  abort(error: DatabaseError): void {
    this.reject(error);
  }
}

function tooLarge(): DatabaseError {
  return new DatabaseError(SqlState.programLimitExceeded, 'one COPY appends too much at once', {
    hint: `At most ${MAX_PENDING_EVENTS} events and ${MAX_BYTES} bytes; send the rest in another COPY.`,
  });
}
