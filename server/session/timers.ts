/** The clocks of a session: how long a statement may run, and how long the session may be silent. */
import { DatabaseError, SqlState } from '../../engine/errors.js';
import type { Settings } from './settings.js';

const IDLE_IN_TRANSACTION = '25P03';
const IDLE_SESSION = '57P05';
const IDLE_MESSAGES: Readonly<Record<string, string>> = {
  [IDLE_IN_TRANSACTION]: 'terminating connection due to idle-in-transaction timeout',
  [IDLE_SESSION]: 'terminating connection due to idle-session timeout',
};

export interface TimedSession {
  readonly settings: Settings;
  /** BEGIN was given and no COMMIT or ROLLBACK yet. */
  readonly explicit: boolean;
  /** Ends what the session does now. */
  interrupt(error: DatabaseError): void;
  /** Ends the session. */
  terminate(error: DatabaseError): void;
  /**
   * Lets the read model's own idle clocks start again. They must not end a transaction, or the session's state there,
   * while the session is busy elsewhere.
   */
  pokeRelay(): void;
}

export class Timers {
  private statement: NodeJS.Timeout | null = null;
  private idle: NodeJS.Timeout | null = null;
  private poke: NodeJS.Timeout | null = null;

  constructor(private readonly session: TimedSession) {}

  /** A statement begins. What the read model runs is timed by itself; this covers everything else. */
  statementBegins(): void {
    this.statementEnds();
    const { statementTimeout } = this.session.settings;
    if (statementTimeout === 0) return;
    this.statement = setTimeout(() => {
      this.session.interrupt(
        new DatabaseError(SqlState.queryCanceled, 'canceling statement due to statement timeout'),
      );
    }, statementTimeout).unref();
  }

  statementEnds(): void {
    if (this.statement !== null) clearTimeout(this.statement);
    this.statement = null;
  }

  /** A message arrived. */
  wake(): void {
    if (this.idle !== null) clearTimeout(this.idle);
    this.idle = null;
  }

  /** The client was told that the session is ready: from now on it is idle. */
  rest(): void {
    this.wake();
    const { settings, explicit } = this.session;
    const ms = explicit ? settings.idleInTransactionTimeout : settings.idleSessionTimeout;
    const sqlstate = explicit ? IDLE_IN_TRANSACTION : IDLE_SESSION;
    if (ms > 0) this.idle = setTimeout(() => this.expire(sqlstate), ms).unref();
  }

  /** Ends the session for having been idle; false where the SQLSTATE is not about that. */
  expire(sqlstate: string | undefined): boolean {
    const message = IDLE_MESSAGES[sqlstate ?? ''];
    if (sqlstate === undefined || message === undefined) return false;
    this.session.terminate(new DatabaseError(sqlstate, message));
    return true;
  }

  /** Called before and after each message. */
  busy(busy: boolean): void {
    if (this.poke !== null) clearInterval(this.poke);
    this.poke = null;
    const { settings, explicit } = this.session;
    const ms = explicit ? settings.idleInTransactionTimeout : settings.idleSessionTimeout;
    if (ms === 0) return;
    this.session.pokeRelay();
    if (busy) this.poke = setInterval(() => this.session.pokeRelay(), Math.max(1, ms / 3)).unref();
  }

  close(): void {
    this.statementEnds();
    this.wake();
    if (this.poke !== null) clearInterval(this.poke);
  }
}
