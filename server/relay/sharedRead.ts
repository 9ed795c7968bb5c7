/** What is read over a shared connection (sharedReader.ts), and what has become of it so far. */
import { encodeBindComplete } from '../protocol/backend/complete.js';
import type { ErrorFields } from '../protocol/backend/error.js';
import type { Frame } from '../protocol/frames.js';
import type { Sink } from './relay.js';
import type { Keep } from './reusingSocket.js';

/** A statement as the read model is given it. */
export interface SharedStatement {
  /** Of its text and types. */
  readonly key: string;
  readonly sql: string;
  /** Type OIDs of its parameters; 0 or absent: inferred. */
  readonly types: readonly number[];
}

/** A read that may take no longer than a moment, whatever its parameters are, and leaves nothing behind. */
export interface SharedRead {
  readonly statement: SharedStatement;
  /** The statement's parameters and columns are asked for. */
  readonly describesStatement: boolean;
  /** The Bind of the unnamed portal, for the name that the statement has here; null when it is only to be prepared. */
  bind(statement: string): Buffer | null;
  /** The portal's columns are asked for, with these formats (as Bind has them); null: they are not. */
  readonly describes: string | null;
  /** Gets the answer up to the end of Execute; the bytes change after the call unless they are kept. */
  pass(bytes: Buffer, keep: Keep): void;
  error(fields: ErrorFields): void;
  /** Called once. False: nothing was passed and no error told, so it has to be read in another way. */
  done(isAnswered: boolean): void;
}

/** A statement that is prepared there. */
export interface Prepared {
  readonly name: string;
  /** The read model has said so. */
  isReady: boolean;
  /**
   * What it answers to Bind and Describe, by the formats asked for. It holds for as long as Bind succeeds: a prepared
   * statement whose columns have changed is refused.
   */
  readonly beginnings: Map<string, Buffer>;
}

/** Results may be asked for in many mixtures of formats; clients use one or two. */
const BEGINNINGS_MAX = 16;
/** For bytes that do not change. */
const kept: Keep = () => () => undefined;

/** A read under way, which takes what is answered to it. */
export class Sent implements Sink {
  private hasPassed = false;
  failure: ErrorFields | null = null;
  /** Its statement, which it or another read before it has sent there. */
  prepared: Prepared | null = null;
  /** It is read in another way. */
  hasLeft = false;

  constructor(readonly read: SharedRead) {}

  readonly pass = (bytes: Buffer, keep: Keep): void => {
    this.hasPassed = true;
    if (!this.hasLeft) this.read.pass(bytes, keep);
  };

  message({ raw }: Frame): void {
    this.pass(raw, kept);
  }

  error(fields: ErrorFields): void {
    this.failure = fields;
  }

  /** Passes on bytes of ours in the place of BindComplete. */
  instead(beginning: Buffer): Sink {
    const message = (): void => this.pass(beginning, kept);
    return { message, pass: message, error: (fields) => this.error(fields) };
  }

  /** Remembers what is passed on, and what was before it. */
  noting(formats: string, beginnings: Map<string, Buffer>): Sink {
    return {
      message: (frame) => {
        this.message(frame);
        if (beginnings.size < BEGINNINGS_MAX)
          beginnings.set(formats, Buffer.concat([encodeBindComplete(), frame.raw]));
      },
      error: (fields) => this.error(fields),
    };
  }

  /** Unless a part of the answer is there, the rest of which will come. */
  leave(): void {
    if (this.hasPassed || this.hasLeft) return;
    this.hasLeft = true;
    this.read.done(false);
  }

  /** An error behind a part of the answer is the read's own; without one, another way may have more luck. */
  finish(): void {
    if (this.hasLeft) return;
    const { read, hasPassed, failure } = this;
    if (failure !== null && hasPassed) read.error(failure);
    // What is only prepared has nothing that fails with it where another has sent the statement.
    read.done(failure === null ? this.prepared?.isReady === true : hasPassed);
  }
}
