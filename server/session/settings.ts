import { DatabaseError, SqlState } from '../../engine/errors.js';

interface Values {
  readonly linearizable: boolean;
  readonly durable: boolean;
  /** New transactions are read-only. */
  readonly defaultReadOnly: boolean;
  /** Milliseconds; 0: none. */
  readonly statementTimeout: number;
  readonly idleInTransactionTimeout: number;
  readonly idleSessionTimeout: number;
  /** The least severe message the client wants. */
  readonly minMessages: string;
}

const DEFAULTS: Values = {
  linearizable: true,
  durable: true,
  defaultReadOnly: false,
  statementTimeout: 0,
  idleInTransactionTimeout: 0,
  idleSessionTimeout: 0,
  minMessages: 'notice',
};

/** The settings of the read model that we act on as well. */
const TIMEOUTS = {
  statement_timeout: 'statementTimeout',
  idle_in_transaction_session_timeout: 'idleInTransactionTimeout',
  idle_session_timeout: 'idleSessionTimeout',
} as const;

/** What a function may have changed behind our back: the columns `refresh` takes. */
const REFRESHED = [
  ...Object.keys(TIMEOUTS),
  'client_min_messages',
  'default_transaction_read_only',
  'eventful.read_consistency',
  'eventful.synchronous_commit',
];
export const REFRESH_SQL = `SELECT ${REFRESHED.map((name) => `nullif(current_setting('${name}', true), '')`).join(', ')}`;

/** As PostgreSQL orders what it sends to a client. */
const SEVERITIES = ['debug5', 'debug4', 'debug3', 'debug2', 'debug1', 'debug', 'log', 'notice', 'warning'];

const UNIT_MS: Readonly<Record<string, number>> = {
  us: 0.001,
  '': 1,
  ms: 1,
  s: 1000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Milliseconds of a time setting as PostgreSQL reads it; null where it would refuse the value. */
function milliseconds(value: string): number | null {
  const parts = /^\s*(\d+(?:\.\d*)?)\s*(us|ms|s|min|h|d|)\s*$/.exec(value);
  const ms = Math.round(Number(parts?.[1]) * (UNIT_MS[parts?.[2] ?? ''] ?? NaN));
  return Number.isNaN(ms) || ms > 0x7fff_ffff ? null : ms;
}

/** As PostgreSQL reads it: any beginning of a word that is no other's. */
function isOn(value: string): boolean {
  return /^(on|t(r(ue?)?)?|y(es?)?|1)$/i.test(value);
}

/** The setting's effect on our values; null for one that has none. */
function effect(name: string, value: string | null, initial: Values): Partial<Values> | null {
  switch (name) {
    case 'eventful.read_consistency':
      if (value !== null && value !== 'linearizable' && value !== 'eventual')
        throw invalid(name, 'linearizable, eventual');
      return { linearizable: value === null ? initial.linearizable : value === 'linearizable' };
    case 'eventful.synchronous_commit':
      if (value !== null && !isOn(value) && !/^(off?|f(a(l(se?)?)?)?|no?|0)$/i.test(value))
        throw invalid(name, 'on, off');
      return { durable: value === null ? initial.durable : isOn(value) };
    case 'default_transaction_read_only':
      return { defaultReadOnly: value === null ? initial.defaultReadOnly : isOn(value) };
    case 'statement_timeout':
    case 'idle_in_transaction_session_timeout':
    case 'idle_session_timeout': {
      const ms = value === null ? initial[TIMEOUTS[name]] : milliseconds(value);
      return ms === null ? null : { [TIMEOUTS[name]]: ms };
    }
    case 'client_min_messages':
      return { minMessages: value?.toLowerCase() ?? initial.minMessages };
    default:
      return null;
  }
}

/**
 * The settings of a session that we act on: `eventful.*`, timeouts, which notices are wanted, and whether a transaction
 * may write. They are settings of the read model too, so SHOW answers them. As in PostgreSQL, a SET is undone with its
 * transaction or savepoint and SET LOCAL ends with the transaction.
 */
export class Settings {
  /** What RESET goes back to. */
  private initial: Values = DEFAULTS;
  /** What holds outside transactions. */
  private session: Values = DEFAULTS;
  /** What the session is to have once the open transaction commits, and what holds inside it. */
  private transaction: { kept: Values; now: Values; readOnly: boolean } | null = null;
  private savepoints: { readonly name: string; readonly kept: Values; readonly now: Values }[] = [];
  /** A function such as set_config() may have changed something that only the read model knows. */
  stale = false;

  private get now(): Values {
    return this.transaction?.now ?? this.session;
  }

  get linearizable(): boolean {
    return this.now.linearizable;
  }

  get durable(): boolean {
    return this.now.durable;
  }

  get readOnly(): boolean {
    return this.transaction?.readOnly ?? this.session.defaultReadOnly;
  }

  get statementTimeout(): number {
    return this.now.statementTimeout;
  }

  get idleInTransactionTimeout(): number {
    return this.now.idleInTransactionTimeout;
  }

  get idleSessionTimeout(): number {
    return this.now.idleSessionTimeout;
  }

  /** Whether the client wants to see such a message. */
  shows(severity: 'NOTICE' | 'WARNING'): boolean {
    const least = SEVERITIES.indexOf(this.now.minMessages);
    return least >= 0 && SEVERITIES.indexOf(severity.toLowerCase()) >= least;
  }

  /** The settings of the startup packet were given: RESET goes back to them. */
  started(): void {
    this.initial = this.session;
  }

  /** @param beginSql the BEGIN, which may say READ ONLY */
  begin(beginSql: string): void {
    const readOnly = readOnlyIn(beginSql) ?? this.session.defaultReadOnly;
    this.transaction = { kept: this.session, now: this.session, readOnly };
    this.savepoints = [];
  }

  commit(): void {
    this.session = this.transaction?.kept ?? this.session;
    this.transaction = null;
  }

  rollback(): void {
    this.transaction = null;
  }

  savepoint(name: string): void {
    const { transaction } = this;
    if (transaction !== null) this.savepoints.push({ name, kept: transaction.kept, now: transaction.now });
  }

  release(name: string): void {
    const index = this.savepoints.findLastIndex((savepoint) => savepoint.name === name);
    if (index >= 0) this.savepoints.splice(index);
  }

  rollbackTo(name: string): void {
    const index = this.savepoints.findLastIndex((savepoint) => savepoint.name === name);
    const savepoint = this.savepoints[index];
    if (savepoint === undefined || this.transaction === null) return;
    this.savepoints.splice(index + 1);
    this.transaction.kept = savepoint.kept;
    this.transaction.now = savepoint.now;
  }

  /**
   * @param value null: back to the default
   * @param sql the statement, for SET TRANSACTION and SET SESSION CHARACTERISTICS
   * @throws DatabaseError 22023 for a value the setting does not take, 42704 for a setting that does not exist
   */
  set(name: string, value: string | null, local = false, sql = ''): void {
    const values = effect(name, value, this.initial);
    if (values !== null) {
      this.change(values, local);
      return;
    }
    switch (name) {
      case 'transaction_read_only':
        this.limit(value !== null && isOn(value));
        return;
      case 'transaction':
        this.limit(readOnlyIn(sql));
        return;
      case 'session characteristics':
        this.change({ defaultReadOnly: readOnlyIn(sql) ?? this.now.defaultReadOnly }, local);
        return;
      case 'client_encoding':
      case 'names':
        if (value !== null && !/^(utf-?8|unicode|sql_ascii|default)$/i.test(value))
          throw new DatabaseError(SqlState.featureNotSupported, 'client_encoding must be UTF8');
        return;
      default:
        if (name.startsWith('eventful.'))
          throw new DatabaseError(SqlState.undefinedObject, `unrecognized configuration parameter "${name}"`);
    }
  }

  /** What REFRESH_SQL answered. */
  refresh(row: readonly (string | null)[]): void {
    REFRESHED.forEach((name, i) => this.set(name, row[i] ?? null));
  }

  reset(): void {
    this.change(this.initial, false);
  }

  private limit(readOnly: boolean | null): void {
    if (this.transaction !== null && readOnly !== null) this.transaction.readOnly = readOnly;
  }

  private change(values: Partial<Values>, local: boolean): void {
    const { transaction } = this;
    if (transaction === null) {
      // PostgreSQL only warns about SET LOCAL outside a transaction.
      if (!local) this.session = { ...this.session, ...values };
      return;
    }
    transaction.now = { ...transaction.now, ...values };
    if (!local) transaction.kept = { ...transaction.kept, ...values };
  }
}

/** What a BEGIN or SET TRANSACTION says of its access mode; null when it says nothing. */
function readOnlyIn(sql: string): boolean | null {
  const mode = /\bread\s+(only|write)\b/i.exec(sql)?.[1];
  return mode === undefined ? null : mode.toLowerCase() === 'only';
}

function invalid(name: string, values: string): DatabaseError {
  return new DatabaseError(SqlState.invalidParameterValue, `invalid value for parameter "${name}"`, {
    hint: `Available values: ${values}.`,
  });
}
