/**
 * The short way of statements that the read model alone answers: once such a statement is prepared there, its Bind,
 * Describe and Execute go on as the bytes that came, at once. Whatever is not certain is left to the long way, which
 * judges it, waits, rewrites, and refuses.
 */
import type { Frame } from '../protocol/frames.js';
import { BIND } from '../protocol/frontend/bind.js';
import { DESCRIBE } from '../protocol/frontend/describe.js';
import { READY_FOR_QUERY } from '../protocol/backend/status.js';
import { EXECUTE } from '../protocol/frontend/execute.js';
import type { Expected, Relay, Sink } from '../relay/relay.js';
import { UNMOVED } from './errors.js';
import type { Prepared, RelayedPortal } from './prepared.js';
import { leavesState } from './sessionStatements.js';
import type { SessionState } from './state.js';

const PORTAL = 0x50;

export class Passing {
  /** Of statements that may be passed; null of those that may not. */
  private readonly sinks = new WeakMap<Prepared, Sink | null>();
  /** Of Sync. */
  private readonly rest: Sink;

  constructor(
    private readonly state: SessionState,
    /** Ends a Sync and writes ReadyForQuery. */
    private readonly whenSynced: () => void,
  ) {
    const answer = state.sinks.forward(UNMOVED);
    this.rest = {
      message: (frame) => {
        if (frame.type === READY_FOR_QUERY) this.synced();
        else answer.message(frame);
      },
      error: (fields) => answer.error(fields),
    };
  }

  /** @returns true when the message was sent on */
  pass(frame: Frame): boolean {
    switch (frame.type) {
      case BIND:
        return this.bind(frame);
      case DESCRIBE:
        return frame.body[0] === PORTAL && this.onPortal(frame, 1, 'describe');
      case EXECUTE:
        return this.onPortal(frame, 0, 'execute');
      default:
        return false;
    }
  }

  /**
   * Passes on a Sync that ends nothing of ours. Resolves once the client has its ReadyForQuery; null where the long way
   * has to be gone. @throws DatabaseError 08006 once the connection to the read model is lost
   */
  sync(frame: Frame): Promise<void> | null {
    const { explicit, settings, transaction, openRelay: relay } = this.state;
    if (relay?.dirty !== true || relay.skipping || frame.body.length > 0) return null;
    if (settings.stale || !(explicit || transaction.isEmpty) || !this.state.tokenHolds) return null;
    relay.send(frame.raw, 'sync', this.rest);
    return relay.idle();
  }

  /** At once, so that ReadyForQuery goes out in one write with the answer before it. */
  private synced(): void {
    this.whenSynced();
    this.state.setBusy(false);
  }

  private bind(frame: Frame): boolean {
    const { state } = this;
    const { body } = frame;
    const portalEnd = body.indexOf(0);
    const statementEnd = body.indexOf(0, portalEnd + 1);
    if (portalEnd < 0 || statementEnd < 0) return false;
    const prepared = state.prepared.get(name(body, portalEnd + 1, statementEnd));
    const relay = prepared === undefined ? null : this.ready(prepared);
    if (prepared === undefined || relay === null || !this.showsAll()) return false;
    const portal = name(body, 0, portalEnd);
    if (portal !== '' && state.portals.has(portal)) return false;
    return this.send(relay, frame, 'bind', { kind: 'relayed', prepared, notes: null }, portal);
  }

  private onPortal(frame: Frame, nameStart: number, kind: 'describe' | 'execute'): boolean {
    const end = frame.body.indexOf(0, nameStart);
    const portal = this.state.portals.get(name(frame.body, nameStart, end));
    if (end < 0 || portal?.kind !== 'relayed' || portal.notes !== null) return false;
    const relay = this.ready(portal.prepared);
    return relay !== null && this.send(relay, frame, kind, portal);
  }

  private send(relay: Relay, frame: Frame, kind: Expected, portal: RelayedPortal, made?: string): boolean {
    const sink = this.sinkOf(portal.prepared);
    if (sink === null || !this.state.tokenHolds) return false;
    relay.send(frame.raw, kind, sink);
    if (made !== undefined) this.state.portals.set(made, portal);
    return true;
  }

  /** The connection where the statement is prepared, if there is nothing to be done before it is used. */
  private ready({ generation, statement }: Prepared): Relay | null {
    const { state } = this;
    if (statement.kind !== 'read' || generation !== state.generation || state.failed) return null;
    // Outside a transaction the engine may answer it; inside one the read model has to have begun its own.
    if (state.explicit ? !state.relayInTransaction : statement.point !== null) return null;
    return state.transaction.isPreviewed || state.output.holding ? null : state.openRelay;
  }

  private showsAll(): boolean {
    const { services, settings } = this.state;
    return !settings.linearizable || services.readModel.hasApplied(services.engine.committedPosition());
  }

  private sinkOf(prepared: Prepared): Sink | null {
    const found = this.sinks.get(prepared);
    if (found !== undefined) return found;
    const { statement, backend } = prepared;
    const passes =
      statement.kind === 'read' &&
      statement.form === 'select' &&
      statement.engineRelations.length === 0 &&
      !leavesState(statement);
    const sink = passes && backend !== null ? this.state.sinks.forward(backend.map) : null;
    this.sinks.set(prepared, sink);
    return sink;
  }
}

/** Most often empty. */
function name(body: Buffer, start: number, end: number): string {
  return end <= start ? '' : body.toString('utf8', start, end);
}
