import { DatabaseError, SqlState } from '../../engine/errors.js';
import { NOTIFICATION_RESPONSE } from '../protocol/backend/notification.js';
import { decodeParameterStatus, PARAMETER_STATUS } from '../protocol/backend/status.js';
import type { Frame } from '../protocol/frames.js';
import { ambiguity } from '../relay/connect.js';
import type { Output } from './output.js';

/** The session that messages come for. */
export interface Told {
  readonly output: Output;
  readonly tokenHolds: boolean;
  readonly terminate: (error: DatabaseError) => void;
  /** A setting has changed. */
  report(name: string, value: string): void;
}

/** Passes on what comes at any time: notices, notifications, and what a setting has become. */
export function tell(session: Told, frame: Frame): void {
  const refusal = refusalOf(session, frame);
  if (refusal === null) session.output.write(frame.raw);
  else session.terminate(refusal);
}

/** Why the session cannot go on. */
function refusalOf(session: Told, frame: Frame): DatabaseError | null {
  if (frame.type === PARAMETER_STATUS) {
    const { name, value } = decodeParameterStatus(frame.body);
    session.report(name, value);
    return ambiguity(name, value);
  }
  // Who only listens runs no statement that would find it out.
  return frame.type === NOTIFICATION_RESPONSE && !session.tokenHolds
    ? new DatabaseError(SqlState.invalidPassword, 'the token of this session has ended')
    : null;
}
