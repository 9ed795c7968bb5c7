import { DatabaseError, SqlState } from '../../engine/errors.js';

interface Values {
  readonly linearizable: boolean;
  readonly durable: boolean;
  /** New transactions are read-only. */
  readonly defaultReadOnly: boolean;
}

const DEFAULTS: Values = { linearizable: true, durable: true, defaultReadOnly: false };

function isOn(value: string): boolean {
  return /^(on|true|yes|t|y|1)$/i.test(value);
}

/**
 * The settings of a session that we act on: `eventful.*`, and whether a transaction may write. They are settings of the
 * read model too, so SHOW answers them. As in PostgreSQL, a SET is undone with its transaction and SET LOCAL ends with it.
 */
export class Settings {
  /** What holds outside transactions. */
  private session: Values = DEFAULTS;
  /** What the session is to have once the open transaction commits, and what holds inside it. */
  private transaction: { kept: Values; now: Values; readOnly: boolean } | null = null;

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

  /** @param beginSql the BEGIN, which may say READ ONLY */
  begin(beginSql: string): void {
    const readOnly = readOnlyIn(beginSql) ?? this.session.defaultReadOnly;
    this.transaction = { kept: this.session, now: this.session, readOnly };
  }

  commit(): void {
    this.session = this.transaction?.kept ?? this.session;
    this.transaction = null;
  }

  rollback(): void {
    this.transaction = null;
  }

  /**
   * @param value null: back to the default
   * @param sql the statement, for SET TRANSACTION and SET SESSION CHARACTERISTICS
   * @throws DatabaseError 22023 for a value the setting does not take, 42704 for a setting that does not exist
   */
  set(name: string, value: string | null, local = false, sql = ''): void {
    switch (name) {
      case 'eventful.read_consistency':
        if (value !== null && value !== 'linearizable' && value !== 'eventual')
          throw invalid(name, 'linearizable, eventual');
        this.change({ linearizable: value !== 'eventual' }, local);
        return;
      case 'eventful.synchronous_commit':
        if (value !== null && !isOn(value) && !/^(off|false|no|f|n|0)$/i.test(value))
          throw invalid(name, 'on, off');
        this.change({ durable: value === null || isOn(value) }, local);
        return;
      case 'default_transaction_read_only':
        this.change({ defaultReadOnly: value !== null && isOn(value) }, local);
        return;
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

  reset(): void {
    this.change(DEFAULTS, false);
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
