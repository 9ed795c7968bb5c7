import { encodeErrorFields, ERROR_RESPONSE, type ErrorFields } from '../protocol/backend/error.js';
import { READY_FOR_QUERY } from '../protocol/backend/status.js';
import type { Frame } from '../protocol/frames.js';
import type { Sink } from '../relay/relay.js';
import type { Keep } from '../relay/reusingSocket.js';
import type { Access } from './access.js';
import { translateError, type PositionMap } from './errors.js';
import type { Output } from './output.js';

/** The session that answers go to. */
export interface Answered {
  readonly access: Access;
  readonly output: Output;
  /** An error of the read model has just gone to the client. */
  relayFailed: boolean;
  /** After any error. */
  abandon(): void;
}

/** Where the read model's answers go. */
export class Sinks {
  constructor(private readonly session: Answered) {}

  /** A sink that hands everything to the client, after `filter` has looked at it (null drops a message). */
  forward(map: PositionMap, filter?: (frame: Frame) => Buffer | null): Sink {
    const { output } = this.session;
    const error = (fields: ErrorFields): void => this.error(fields, map);
    if (filter === undefined) return { message: ({ raw }) => output.write(raw), pass: this.pass, error };
    return {
      message: (frame) => {
        const bytes = filter(frame);
        if (bytes !== null) output.write(bytes);
      },
      error,
    };
  }

  /** The same of all but ReadyForQuery, which the session says itself. */
  forwardAnswer(map: PositionMap): Sink {
    const message = ({ type, raw }: Frame): void => {
      if (type !== READY_FOR_QUERY) this.session.output.write(raw);
    };
    return { message, pass: this.pass, error: (fields) => this.error(fields, map) };
  }

  /** A sink for messages the client did not send; their errors reach it all the same. */
  hidden(map: PositionMap, look?: (frame: Frame) => void): Sink {
    return {
      message: (frame) => look?.(frame),
      error: (fields) => this.error(fields, map),
    };
  }

  readonly pass = (bytes: Buffer, keep: Keep): void => this.session.output.pass(bytes, keep);

  /** Tells the client. @param map from the read model's text to the client's */
  error(fields: ErrorFields, map: PositionMap): void {
    const { session } = this;
    session.relayFailed = true;
    session.abandon();
    session.output.write(encodeErrorFields(ERROR_RESPONSE, translateError(fields, map, session.access)));
  }
}
