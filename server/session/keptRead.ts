import { encodeParseComplete } from '../protocol/backend/complete.js';
import type { ErrorFields } from '../protocol/backend/error.js';
import { startMessage } from '../protocol/bytes.js';
import { BIND } from '../protocol/frontend/bind.js';
import type { Keep } from '../relay/reusingSocket.js';
import type { SharedRead, SharedStatement } from '../relay/sharedRead.js';
import { UNMOVED } from './errors.js';
import type { KeptMessages } from './keptMessages.js';
import type { SessionState } from './state.js';

/** The look-up of a session, answered over a shared connection. */
export class KeptRead implements SharedRead {
  private isAbandoned = false;
  private hasBegun = false;

  constructor(
    private readonly kept: KeptMessages,
    private readonly state: SessionState,
    private readonly onDone: (isAnswered: boolean) => void,
  ) {}

  get statement(): SharedStatement {
    return this.kept.statement;
  }

  get describesStatement(): boolean {
    return this.kept.describeStatement !== null;
  }

  get describes(): string | null {
    return this.kept.describe === null ? null : this.kept.formats;
  }

  /** The client's, under another name. */
  bind(statement: string): Buffer | null {
    if (this.kept.bind === null) return null;
    const { body } = this.kept.bind;
    const rest = body.subarray(body.indexOf(0, 1));
    const message = startMessage(BIND, 1 + statement.length + rest.length);
    message[5] = 0;
    message.write(statement, 6, 'latin1');
    message.set(rest, 6 + statement.length);
    return message;
  }

  pass(bytes: Buffer, keep: Keep): void {
    if (this.isAbandoned) return;
    this.begin();
    this.state.output.pass(bytes, keep);
  }

  private begin(): void {
    if (!this.hasBegun && this.kept.parse !== null) this.state.output.write(encodeParseComplete());
    this.hasBegun = true;
  }

  error(fields: ErrorFields): void {
    if (!this.isAbandoned) this.state.sinks.error(fields, this.kept.prepared.backend?.map ?? UNMOVED);
  }

  done(isAnswered: boolean): void {
    if (this.isAbandoned) return;
    if (isAnswered) this.begin();
    this.onDone(isAnswered);
  }

  /** Somebody else tells the client. */
  abandon(): void {
    this.isAbandoned = true;
  }
}
