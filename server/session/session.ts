/** One authenticated session: takes the client's messages one by one and answers them in order. */
import { DatabaseError, SqlState } from '../../engine/errors.js';
import { encodeErrorResponse } from '../protocol/backend/error.js';
import { encodeReadyForQuery } from '../protocol/backend/status.js';
import type { Frame } from '../protocol/frames.js';
import { decodeFrontend, type FrontendMessage } from '../protocol/frontend/decode.js';
import { QUERY } from '../protocol/frontend/query.js';
import { FLUSH, SYNC, TERMINATE } from '../protocol/frontend/control.js';
import { COPY_DATA, COPY_DONE, COPY_FAIL, decodeCopyFail } from '../protocol/frontend/copy.js';
import { EXECUTE } from '../protocol/frontend/execute.js';
import type { CopyIn } from './copyIn.js';
import { readTimestamp, refreshSettings } from './backendQuery.js';
import { Dialect } from './dialect.js';
import { asDatabaseError } from './errors.js';
import { Extended } from './extended.js';
import { Passing } from './passing.js';
import { runSimpleQuery } from './simple.js';
import type { SessionState } from './state.js';

export class Session {
  private readonly dialect: Dialect;
  private readonly extended: Extended;
  private readonly passing: Passing;
  private running: Promise<void> = Promise.resolve();

  constructor(
    readonly state: SessionState,
    private readonly onUnforeseen: (error: unknown) => void,
    onFatal: (error: DatabaseError) => void,
  ) {
    state.terminate = onFatal;
    state.timestamp = (text) => readTimestamp(state, text);
    this.dialect = new Dialect(state);
    this.extended = new Extended(state, this.dialect);
    this.passing = new Passing(state, () => this.sayReady());
  }

  /** Answers one message. Returns false when the client said goodbye. Never throws. */
  async handle(frame: Frame): Promise<boolean> {
    if (frame.type === TERMINATE) return false;
    const { state } = this;
    state.timers.wake();
    if (state.copy !== null) return this.copyMessage(state.copy, frame);
    if (state.relayFailed) state.skipToSync = true;
    if (state.skipToSync && frame.type !== SYNC) return true;
    if (this.passing.pass(frame)) return true;
    const synced = frame.type === SYNC ? this.passing.sync(frame) : null;
    if (synced !== null) return this.passed(synced, frame);
    const running = this.run(frame);
    if (frame.type !== QUERY && frame.type !== EXECUTE) await running;
    // A COPY goes on while the client's next messages bring its data.
    else await Promise.race([running, state.copyStarts()]);
    this.running = running;
    return true;
  }

  /** A Sync on the short way; should the read model be lost on it, the long way answers. */
  private async passed(synced: Promise<void>, frame: Frame): Promise<boolean> {
    try {
      await synced;
    } catch {
      await this.run(frame);
    }
    return true;
  }

  private async run(frame: Frame): Promise<void> {
    const { state } = this;
    state.setBusy(true);
    state.timers.statementBegins();
    try {
      const message = decodeFrontend(frame);
      state.services.engine.tokens.requireValid(state.identity);
      if (message.kind === 'sync') await this.sync();
      else if (message.kind === 'query') await this.query(message.text);
      else await this.extendedMessage(message);
    } catch (error) {
      // What was relayed before is answered first; if that failed, this message would have been skipped.
      await state.relayAnswered().catch(() => undefined);
      if (state.relayFailed && frame.type !== QUERY && frame.type !== SYNC) {
        this.dialect.forget();
        state.skipToSync = true;
        return;
      }
      this.report(error);
      if (frame.type === QUERY || frame.type === SYNC) {
        await this.extended.syncRelay().catch(() => undefined);
        await this.ready();
      } else {
        state.skipToSync = true;
      }
    } finally {
      state.finished();
      state.setBusy(false);
    }
  }

  /** While COPY takes data only its own messages count; Flush and Sync are ignored, as in PostgreSQL. */
  private async copyMessage(copy: CopyIn, frame: Frame): Promise<boolean> {
    if (frame.type === SYNC || frame.type === FLUSH) return true;
    if (frame.type === COPY_DATA) {
      copy.data(frame.body);
      return true;
    }
    if (frame.type === COPY_DONE) copy.done();
    else if (frame.type === COPY_FAIL) copy.fail(decodeCopyFail(frame.body).reason);
    else copy.fail('unexpected message type during COPY from stdin');
    await this.running;
    return true;
  }

  private async sync(): Promise<void> {
    const { state } = this;
    try {
      await this.extended.sync();
    } finally {
      state.skipToSync = false;
      state.relayFailed = false;
    }
    await this.ready();
  }

  private async query(text: string): Promise<void> {
    const { state } = this;
    await state.relayAnswered();
    if (state.relayFailed) {
      // What was pipelined in front of it has failed: a Query is skipped up to Sync like anything else.
      this.dialect.forget();
      state.skipToSync = true;
      return;
    }
    await runSimpleQuery(state, this.dialect, text);
    state.relayFailed = false;
    await this.ready();
  }

  private async extendedMessage(message: FrontendMessage): Promise<void> {
    const { state, extended } = this;
    switch (message.kind) {
      case 'parse':
        await extended.parse(message);
        break;
      case 'bind':
        await extended.bind(message);
        break;
      case 'describe':
        await extended.describe(message);
        break;
      case 'execute':
        await extended.execute(message);
        break;
      case 'close':
        await extended.close(message);
        break;
      case 'flush':
        await extended.flush();
        state.output.flush();
        break;
      case 'copyData':
      case 'copyDone':
      case 'copyFail':
        // What is left of a COPY that was refused; PostgreSQL ignores it too.
        break;
      case 'functionCall':
        throw new DatabaseError(SqlState.featureNotSupported, 'function calls are not supported', {
          hint: 'Use SELECT function(…).',
        });
      case 'password':
      case 'query':
      case 'sync':
      case 'terminate':
        throw new DatabaseError(SqlState.protocolViolation, `unexpected ${message.kind} message`);
    }
    if (state.relayFailed) {
      this.dialect.forget();
      state.skipToSync = true;
    }
  }

  private report(error: unknown): void {
    const { state } = this;
    if (!(error instanceof DatabaseError)) this.onUnforeseen(error);
    this.dialect.forget();
    state.abandon();
    state.output.write(encodeErrorResponse(asDatabaseError(error)));
    // At once, as PostgreSQL does: a client may wait for it before it sends its Sync.
    state.output.flush();
    state.relayFailed = false;
  }

  private async ready(): Promise<void> {
    if (this.state.settings.stale) await refreshSettings(this.state).catch(() => undefined);
    this.sayReady();
  }

  private sayReady(): void {
    const { state } = this;
    state.timers.rest();
    state.output.write(encodeReadyForQuery(state.status));
    state.output.flush();
  }

  cancel(): void {
    this.state.cancel();
  }

  close(): void {
    this.state.close();
  }
}
