/**
 * Look-ups of single aggregates that the read model has to answer, over a connection that many sessions share
 * (relay/sharedReader.ts). Parse, Bind, Describe and Execute are kept until the Sync shows that nothing else belongs to
 * them; anything unusual lets go of them, and they are answered over the session's own connection.
 */
import type { Statement } from '../../sql/statement.js';
import { encodeParseComplete } from '../protocol/backend/complete.js';
import { startMessage } from '../protocol/bytes.js';
import type { ErrorFields } from '../protocol/backend/error.js';
import type { Frame } from '../protocol/frames.js';
import { BIND, decodeBind } from '../protocol/frontend/bind.js';
import { decodeParse, PARSE } from '../protocol/frontend/parse.js';
import { DESCRIBE } from '../protocol/frontend/describe.js';
import { EXECUTE } from '../protocol/frontend/execute.js';
import type { Keep } from '../relay/reusingSocket.js';
import type { SharedRead, SharedStatement } from '../relay/sharedRead.js';
import type { SharedReader } from '../relay/sharedReader.js';
import { UNMOVED } from './errors.js';
import { MAX_PREPARED, type Prepared } from './prepared.js';
import { unsent } from './relayedStatements.js';
import type { SessionState } from './state.js';

const PORTAL = 0x50;
const STATEMENT = 0x53;
/** Longer messages go over the session's own connection. */
const BYTES_MAX = 16 * 1024;
/** After one that failed, so many reads go over the session's own connection: others must not have to wait for it. */
const AVOIDED = 100;
/** Of Describe and Execute: the unnamed portal, all of its rows. */
const DESCRIBE_BODY = Buffer.from([PORTAL, 0]);
const EXECUTE_BODY = Buffer.alloc(5);

/** What came since the last Sync. */
interface Kept {
  readonly statement: SharedStatement;
  readonly prepared: Prepared;
  readonly parse: Frame | null;
  describeStatement: Frame | null;
  bind: Frame | null;
  /** Of the result's columns, as Bind asks for them. */
  formats: string;
  describe: Frame | null;
  execute: Frame | null;
}

/** As prepared statements of the read model are told apart. */
function shared(statement: Statement, types: readonly number[]): SharedStatement | null {
  if (statement.kind !== 'read' || !statement.isLookup) return null;
  return { key: `${types.join()} ${statement.sql}`, sql: statement.sql, types };
}

export class SharedReads {
  private kept: Kept | null = null;
  /** The session has prepared a look-up: without one there is nothing to look for in its messages. */
  private hasLookups = false;
  /** Undefined before it was asked for, null when there is none. */
  private reader: SharedReader | null | undefined;
  /** Reads that still go over the session's own connection. */
  private avoided = 0;
  private readonly statements = new WeakMap<Prepared, SharedStatement | null>();

  constructor(
    private readonly state: SessionState,
    /** Ends a Sync and writes ReadyForQuery. */
    private readonly whenSynced: () => void,
  ) {}

  /** The session prepares this. */
  note(statement: Statement): void {
    this.hasLookups ||= statement.kind === 'read' && statement.isLookup && statement.point === null;
  }

  get holds(): boolean {
    return this.kept !== null;
  }

  /** @returns true when the message is kept until what comes next is known */
  keep(frame: Frame): boolean {
    const { kept } = this;
    if (kept === null) return this.begin(frame);
    if (kept.execute !== null) return false;
    if (kept.bind === null) {
      if (frame.type === BIND) return this.addBind(kept, frame);
      if (frame.type !== DESCRIBE || kept.describeStatement !== null || !describes(frame, kept.prepared.name))
        return false;
      kept.describeStatement = frame;
      return true;
    }
    if (frame.type === DESCRIBE && kept.describe === null && frame.body.equals(DESCRIBE_BODY))
      kept.describe = frame;
    else if (frame.type === EXECUTE && frame.body.equals(EXECUTE_BODY)) kept.execute = frame;
    else return false;
    return true;
  }

  /** The messages that were kept, to be answered in another way. */
  release(): readonly Frame[] {
    const { kept } = this;
    this.kept = null;
    if (kept === null) return [];
    const { parse, describeStatement, bind, describe, execute } = kept;
    return [parse, describeStatement, bind, describe, execute].filter((frame) => frame !== null);
  }

  /**
   * Answers the messages that were kept and the Sync behind them.
   * @returns false when that was not possible and nothing was written: then they are still kept
   * @throws DatabaseError when it is cancelled
   */
  async answer(): Promise<boolean> {
    const { kept, state } = this;
    if (kept === null || (kept.bind === null) !== (kept.execute === null)) return false;
    const reader = this.reader ?? (await this.find());
    if (reader === null) return false;
    if (kept.bind === null && kept.describeStatement === null && reader.knows(kept.statement.key)) {
      state.output.write(encodeParseComplete());
      this.answered(kept);
      return true;
    }
    await state.waitForReads();
    return new Promise((resolve, reject) => {
      const read = new Read(kept, state, (isAnswered) => {
        state.onInterrupt = null;
        if (!isAnswered || state.relayFailed) this.avoided = AVOIDED;
        if (isAnswered) this.answered(kept);
        resolve(isAnswered);
      });
      state.onInterrupt = (error) => {
        state.onInterrupt = null;
        this.kept = null;
        read.abandon();
        reject(error);
      };
      reader.read(read);
    });
  }

  private answered({ parse, prepared }: Kept): void {
    this.kept = null;
    if (parse !== null) this.state.prepared.set(prepared.name, prepared);
    this.note(prepared.statement);
    this.whenSynced();
  }

  private begin(frame: Frame): boolean {
    const { state } = this;
    const isParse = frame.type === PARSE;
    if (!isParse && (frame.type !== BIND || !this.hasLookups)) return false;
    if (frame.body.length > BYTES_MAX) return false;
    const prepared = isParse ? this.parsed(frame) : state.prepared.get(statementName(frame.body) ?? '');
    const statement = prepared === undefined ? null : this.statementOf(prepared);
    if (prepared === undefined || statement === null || !this.mayShare()) return false;
    if (this.avoided > 0) {
      this.avoided--;
      return false;
    }
    const kept: Kept = {
      statement,
      prepared,
      parse: isParse ? frame : null,
      bind: null,
      formats: '',
      describeStatement: null,
      describe: null,
      execute: null,
    };
    if (!isParse && !this.addBind(kept, frame)) return false;
    this.kept = kept;
    return true;
  }

  /** The look-up that a Parse asks for, if there is nothing to refuse. */
  private parsed(frame: Frame): Prepared | undefined {
    const { state } = this;
    try {
      const message = decodeParse(frame.body);
      const [statement, ...others] = state.parse(message.text);
      const isTaken = message.statement !== '' && state.prepared.has(message.statement);
      if (statement?.kind !== 'read' || !statement.isLookup || others.length > 0 || isTaken) return undefined;
      return state.prepared.size < MAX_PREPARED ? unsent(state, message, statement) : undefined;
    } catch {
      return undefined;
    }
  }

  private addBind(kept: Kept, frame: Frame): boolean {
    const formats = frame.body.length > BYTES_MAX ? null : resultFormats(frame.body);
    if (formats === null || statementName(frame.body) !== kept.prepared.name) return false;
    kept.bind = frame;
    kept.formats = formats;
    return true;
  }

  /** Nothing of this session is anywhere that the read would have to know of. */
  private mayShare(): boolean {
    const { state } = this;
    if (state.explicit || state.failed || state.keepsRelay || !state.transaction.isEmpty) return false;
    const relay = state.openRelay;
    if (state.output.holding || (relay !== null && (relay.busy || relay.dirty || relay.skipping)))
      return false;
    return this.reader !== null;
  }

  private statementOf(prepared: Prepared): SharedStatement | null {
    const known = this.statements.get(prepared);
    if (known !== undefined) return known;
    const { statement, givenTypes } = prepared;
    // The engine answers these by itself, or knows why not.
    const isOwn = statement.kind === 'read' && statement.point !== null;
    const found = isOwn ? null : shared(statement, givenTypes);
    this.statements.set(prepared, found);
    return found;
  }

  private async find(): Promise<SharedReader | null> {
    if (this.reader !== undefined) return this.reader;
    const { services, identity, startupSettings } = this.state;
    // Where the read model is out of reach the long way says so.
    const reader = await services.sharedReaders.of(identity.grants, startupSettings).catch(() => undefined);
    this.reader = reader;
    return reader ?? null;
  }
}

class Read implements SharedRead {
  private isAbandoned = false;
  private hasBegun = false;

  constructor(
    private readonly kept: Kept,
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

/** Null for a message that is not as it should be, which must not reach the connection of others. */
function resultFormats(bind: Buffer): string | null {
  try {
    return decodeBind(bind).resultFormats.join();
  } catch {
    return null;
  }
}

/** What a Bind of the unnamed portal binds; null for other portals. */
function statementName(bind: Buffer): string | null {
  const end = bind.indexOf(0, 1);
  return bind[0] !== 0 || end < 0 ? null : bind.toString('utf8', 1, end);
}

/** Whether a Describe is of the statement of that name. */
function describes(frame: Frame, name: string): boolean {
  const { body } = frame;
  return body[0] === STATEMENT && body.toString('utf8', 1, body.length - 1) === name;
}
