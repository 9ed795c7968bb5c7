import { DatabaseError, SqlState } from '../../engine/errors.js';

/** The `eventful.*` settings of a session. They are custom settings of the read model too, so SHOW answers them. */
export class Settings {
  linearizable = true;
  durable = true;

  /** @throws DatabaseError 22023 for a value the setting does not take, 42704 for a setting that does not exist */
  set(name: string, value: string | null): void {
    switch (name) {
      case 'eventful.read_consistency':
        if (value !== null && value !== 'linearizable' && value !== 'eventual')
          throw invalid(name, 'linearizable, eventual');
        this.linearizable = value !== 'eventual';
        return;
      case 'eventful.synchronous_commit': {
        const on = value === null || /^(on|true|yes|1)$/i.test(value);
        if (!on && !/^(off|false|no|0)$/i.test(value)) throw invalid(name, 'on, off');
        this.durable = on;
        return;
      }
      case 'client_encoding':
        if (value !== null && !/^(utf-?8|unicode|sql_ascii|default)$/i.test(value))
          throw new DatabaseError(SqlState.featureNotSupported, 'client_encoding must be UTF8');
        return;
      default:
        if (name.startsWith('eventful.'))
          throw new DatabaseError(SqlState.undefinedObject, `unrecognized configuration parameter "${name}"`);
    }
  }

  reset(): void {
    this.linearizable = true;
    this.durable = true;
  }
}

function invalid(name: string, values: string): DatabaseError {
  return new DatabaseError(SqlState.invalidParameterValue, `invalid value for parameter "${name}"`, {
    hint: `Available values: ${values}.`,
  });
}
