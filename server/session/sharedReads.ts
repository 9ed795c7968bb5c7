/**
 * Look-ups of single aggregates that the read model has to answer, over a connection that many sessions share
 * (relay/sharedReader.ts). Parse, Bind, Describe and Execute are kept until the Sync shows that nothing else belongs to
 * them; anything unusual lets go of them, and they are answered over the session's own connection.
 */
import type { ReadStatement, Statement } from '../../sql/statement.js';
import { encodeParseComplete } from '../protocol/backend/complete.js';
import type { Frame } from '../protocol/frames.js';
import { BIND } from '../protocol/frontend/bind.js';
import { decodeParse, PARSE } from '../protocol/frontend/parse.js';
import type { SharedStatement } from '../relay/sharedRead.js';
import type { SharedReader } from '../relay/sharedReader.js';
import { isTooLong, KeptMessages, statementName } from './keptMessages.js';
import { KeptRead } from './keptRead.js';
import { hasSameColumns, MAX_PREPARED, type Prepared } from './prepared.js';
import { unsent } from './relayedStatements.js';
import type { SessionState } from './state.js';

/** After one that failed, so many reads go over the session's own connection: others must not have to wait for it. */
const AVOIDED = 100;

/** A look-up for the read model: point reads the engine answers by itself, or knows why not. */
function isShared(statement: Statement | undefined): statement is ReadStatement {
  return statement?.kind === 'read' && statement.isLookup && statement.point === null;
}

export class SharedReads {
  private kept: KeptMessages | null = null;
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
    this.hasLookups ||= isShared(statement);
  }

  get holds(): boolean {
    return this.kept !== null;
  }

  /** @returns true when the message is kept until what comes next is known */
  keep(frame: Frame): boolean {
    return this.kept === null ? this.begin(frame) : this.kept.add(frame);
  }

  /** The messages that were kept, to be answered in another way. */
  release(): readonly Frame[] {
    const { kept } = this;
    this.kept = null;
    return kept?.frames ?? [];
  }

  /**
   * Answers the messages that were kept and the Sync behind them.
   * @returns false when that was not possible and nothing was written: then they are still kept
   * @throws DatabaseError when it is cancelled
   */
  async answer(): Promise<boolean> {
    const { kept, state } = this;
    if (kept?.isWhole !== true) return false;
    const reader = this.reader ?? (await this.find());
    if (reader === null) return false;
    if (kept.bind === null && kept.describeStatement === null && reader.knows(kept.statement.key)) {
      state.output.write(encodeParseComplete());
      this.answered(kept);
      return true;
    }
    await state.waitForReads();
    return new Promise((resolve, reject) => {
      const read = new KeptRead(kept, state, (isAnswered) => {
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

  private answered({ parse, prepared }: KeptMessages): void {
    this.kept = null;
    if (parse !== null) this.state.prepared.set(prepared.name, prepared);
    this.note(prepared.statement);
    this.whenSynced();
  }

  private begin(frame: Frame): boolean {
    const { state } = this;
    const isParse = frame.type === PARSE;
    if (!isParse && (frame.type !== BIND || !this.hasLookups)) return false;
    if (isTooLong(frame)) return false;
    const prepared = isParse ? this.parsed(frame) : state.prepared.get(statementName(frame.body) ?? '');
    const statement = prepared === undefined ? null : this.statementOf(prepared);
    if (prepared === undefined || statement === null || !this.mayShare()) return false;
    if (!hasSameColumns(prepared, state.engine.schema())) return false;
    if (this.avoided > 0) {
      this.avoided--;
      return false;
    }
    const kept = new KeptMessages(statement, prepared, isParse ? frame : null);
    if (!isParse && !kept.add(frame)) return false;
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
      if (!isShared(statement) || others.length > 0 || isTaken) return undefined;
      return state.prepared.size < MAX_PREPARED ? unsent(state, message, statement) : undefined;
    } catch {
      return undefined;
    }
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
    const { statement, givenTypes: types } = prepared;
    const found = isShared(statement)
      ? { key: `${types.join()} ${statement.sql}`, sql: statement.sql, types }
      : null;
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
