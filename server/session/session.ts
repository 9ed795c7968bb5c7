/** One authenticated session: takes the client's messages one by one and answers them in order. */
import { DatabaseError, SqlState } from '../../engine/errors.js';
import { encodeErrorResponse } from '../protocol/backend/error.js';
import { encodeReadyForQuery } from '../protocol/backend/status.js';
import type { Frame } from '../protocol/frames.js';
import { decodeFrontend, type FrontendMessage } from '../protocol/frontend/decode.js';
import { isConnectionLost } from '../relay/relay.js';
import { QUERY } from '../protocol/frontend/query.js';
import { FLUSH, SYNC, TERMINATE } from '../protocol/frontend/control.js';
import { FUNCTION_CALL } from '../protocol/frontend/function-call.js';
import { COPY_DATA, COPY_DONE, COPY_FAIL, decodeCopyFail } from '../protocol/frontend/copy.js';
import { EXECUTE } from '../protocol/frontend/execute.js';
import { close } from './closing.js';
import type { CopyIn } from './copyIn.js';
import { readsLatest, readTimestamp, refreshSettings } from './backendQuery.js';
import { Dialect } from './dialect.js';
import { asDatabaseError } from './errors.js';
import { Extended } from './extended.js';
import { Passing } from './passing.js';
import { SharedReads } from './sharedReads.js';
import { runSimpleQuery } from './simple.js';
import type { SessionState } from './state.js';

export class Session {
  private readonly dialect: Dialect;
  private readonly extended: Extended;
  private readonly passing: Passing;
  private readonly shared: SharedReads;
  private running: Promise<unknown> = Promise.resolve();

  constructor(
    readonly state: SessionState,
    private readonly onUnforeseen: (error: unknown) => void,
    onFatal: (error: DatabaseError) => void,
  ) {
    state.terminate = onFatal;
    state.timestamp = (text) => readTimestamp(state, text);
    state.readsLatest = () => readsLatest(state);
    this.dialect = new Dialect(state);
    this.shared = new SharedReads(state, () => this.syncedAndReady());
    this.extended = new Extended(state, this.dialect, this.shared);
    this.passing = new Passing(state, () => this.syncedAndReady());
  }

  /**
   * Answers one message; what needs to wait for nothing is done at once, without a promise. False when the client said
   * goodbye. Never throws.
   */
  handle(frame: Frame): boolean | Promise<boolean> {
    if (frame.type === TERMINATE) return false;
    const { state } = this;
    state.timers.wake();
    if (state.copy !== null) return this.copyMessage(state.copy, frame);
    if (state.relayFailed) state.skipToSync = true;
    if (!state.skipToSync) {
      if (this.shared.keep(frame)) return true;
      if (this.shared.holds) return this.answerShared(frame);
    }
    return this.handleOwn(frame);
  }

  private handleOwn(frame: Frame): boolean | Promise<boolean> {
    const { state } = this;
    if (state.relayFailed) state.skipToSync = true;
    if (state.skipToSync && frame.type !== SYNC) return true;
    if (state.openRelay !== null) {
      if (this.passing.pass(frame)) return true;
      const synced = frame.type === SYNC ? this.passing.sync(frame) : null;
      if (synced !== null) return this.passed(synced, frame);
    }
    const running = this.run(frame);
    if (running === null) return true;
    return frame.type === QUERY || frame.type === EXECUTE ? this.untilCopy(running) : running;
  }

  /** What was kept, and the message behind it: over the shared connection if that is a Sync, else one by one. */
  private async answerShared(frame: Frame): Promise<boolean> {
    const { state, shared } = this;
    if (frame.type === SYNC && frame.body.length === 0 && state.tokenHolds) {
      state.setBusy(true);
      state.timers.statementBegins();
      try {
        if (await shared.answer()) {
          this.finished();
          return true;
        }
      } catch (error) {
        shared.release();
        return this.finish(this.failed(error, SYNC));
      }
      this.finished();
    }
    for (const kept of shared.release()) await this.handleOwn(kept);
    return this.handleOwn(frame);
  }

  private syncedAndReady(): void {
    this.extended.synced();
    if (!this.state.explicit) this.state.portals.clear();
    this.sayReady();
  }

  /** A COPY goes on while the client's next messages bring its data. */
  private async untilCopy(running: Promise<boolean>): Promise<boolean> {
    await Promise.race([running, this.state.copyStarts()]);
    this.running = running;
    return true;
  }

  /** A Sync on the short way; should the read model be lost on it, the long way answers. */
  private passed(synced: Promise<void>, frame: Frame): Promise<boolean> {
    return synced.then(
      () => true,
      () => this.run(frame) ?? true,
    );
  }

  private run(frame: Frame): Promise<boolean> | null {
    const { state } = this;
    state.setBusy(true);
    state.timers.statementBegins();
    try {
      const pending = this.answer(frame);
      if (pending !== null) return this.settle(pending, frame.type);
    } catch (error) {
      return this.finish(this.failed(error, frame.type));
    }
    this.finished();
    return null;
  }

  /** @returns null when it is answered. @throws what is wrong with it, or the promise rejects with that */
  private answer(frame: Frame): Promise<void> | null {
    const message = decodeFrontend(frame);
    const { engine } = this.state.services;
    engine.tokens.requireValid(this.state.identity);
    if (message.kind === 'sync') return this.sync();
    return message.kind === 'query' ? this.query(message.text) : this.extendedMessage(message);
  }

  private async settle(pending: Promise<void>, type: number): Promise<boolean> {
    try {
      await pending;
    } catch (error) {
      return this.finish(this.failed(error, type));
    }
    this.finished();
    return true;
  }

  private async finish(pending: Promise<void>): Promise<boolean> {
    try {
      await pending;
    } finally {
      this.finished();
    }
    return true;
  }

  private finished(): void {
    this.state.finished();
    this.state.setBusy(false);
  }

  private async failed(error: unknown, type: number): Promise<void> {
    const { state } = this;
    // What was relayed before is answered first; if that failed, this message would have been skipped.
    await state.relayAnswered().catch(() => undefined);
    const isAnsweredAlone = type === QUERY || type === SYNC || type === FUNCTION_CALL;
    if (state.relayFailed && !isAnsweredAlone) {
      this.dialect.forget();
      state.skipToSync = true;
      return;
    }
    if (state.relayFailed && isConnectionLost(error)) this.forget();
    else this.report(error);
    if (isAnsweredAlone) {
      await this.extended.syncRelay().catch(() => undefined);
      await this.ready();
    } else {
      state.skipToSync = true;
    }
  }

  /** While COPY takes data only its own messages count; Flush and Sync are ignored, as in PostgreSQL. */
  private async copyMessage(copy: CopyIn, frame: Frame): Promise<boolean> {
    if (frame.type === SYNC || frame.type === FLUSH) return true;
    if (frame.type === COPY_DATA) {
      copy.data(frame.body);
      return true;
    }
    // Another COPY may stand behind it in the same Query.
    const next = this.state.copyStarts();
    if (frame.type === COPY_DONE) copy.done();
    else if (frame.type === COPY_FAIL) copy.fail(decodeCopyFail(frame.body).reason);
    else copy.fail('unexpected message type during COPY from stdin');
    await Promise.race([this.running, next]);
    return true;
  }

  private sync(): Promise<void> | null {
    let pending: Promise<void> | null = null;
    try {
      pending = this.extended.sync();
    } finally {
      if (pending === null) this.extended.synced();
    }
    return pending === null ? this.ready() : this.syncLater(pending);
  }

  private async syncLater(pending: Promise<void>): Promise<void> {
    try {
      await pending;
    } finally {
      this.extended.synced();
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
    // As in PostgreSQL, and what it is told for a simple query may take its place there.
    state.prepared.delete('');
    await runSimpleQuery(state, this.dialect, text);
    state.relayFailed = false;
    await this.ready();
  }

  private extendedMessage(message: FrontendMessage): Promise<void> | null {
    const pending = this.dispatch(message);
    if (pending !== null) return pending.then(() => this.skipIfFailed());
    this.skipIfFailed();
    return null;
  }

  private dispatch(message: FrontendMessage): Promise<void> | null {
    const { extended } = this;
    switch (message.kind) {
      case 'parse':
        return extended.parse(message);
      case 'bind':
        return extended.bind(message);
      case 'describe':
        return extended.describe(message);
      case 'execute':
        return extended.execute(message);
      case 'close':
        return close(this.state, message);
      case 'flush':
        return this.flush();
      case 'copyData':
      case 'copyDone':
      case 'copyFail':
        // What is left of a COPY that was refused; PostgreSQL ignores it too.
        return null;
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
  }

  private async flush(): Promise<void> {
    await this.extended.flush();
    this.state.output.flush();
  }

  private skipIfFailed(): void {
    if (!this.state.relayFailed) return;
    this.dialect.forget();
    this.state.skipToSync = true;
  }

  /** What an error leaves behind, whoever tells the client of it. */
  private forget(): void {
    this.dialect.forget();
    this.state.abandon();
    this.state.relayFailed = false;
  }

  private report(error: unknown): void {
    const { state } = this;
    if (!(error instanceof DatabaseError)) this.onUnforeseen(error);
    this.forget();
    state.output.write(encodeErrorResponse(asDatabaseError(error)));
    // At once, as PostgreSQL does: a client may wait for it before it sends its Sync.
    state.output.flush();
  }

  private ready(): Promise<void> | null {
    if (this.state.settings.stale) return this.refreshed();
    this.sayReady();
    return null;
  }

  private async refreshed(): Promise<void> {
    await refreshSettings(this.state).catch(() => undefined);
    this.sayReady();
  }

  private sayReady(): void {
    const { state } = this;
    state.timers.rest();
    state.output.write(encodeReadyForQuery(state.status));
    state.output.flush();
  }

  /** Resolves once the read model has taken what was relayed to it; null where it has. */
  get backlog(): Promise<void> | null {
    return this.state.openRelay?.backlog ?? null;
  }

  cancel(): void {
    this.state.cancel();
  }

  close(): void {
    this.state.close();
  }
}
