/** Bind ('B'): gives a prepared statement its parameters and so makes a portal. */
import type { Format } from '../bytes.js';
import {
  BodyReader,
  checkCount,
  cstringBytes,
  protocolViolation,
  putCstring,
  putFormats,
  putValues,
  startMessage,
  valuesBytes,
} from '../bytes.js';

export const BIND = 0x42;

export interface Bind {
  readonly kind: 'bind';
  /** Empty: the unnamed portal. */
  readonly portal: string;
  readonly statement: string;
  /** None: all text; one: holds for all; else one for each parameter. */
  readonly parameterFormats: readonly Format[];
  /** Views of the received message; null is SQL NULL. */
  readonly parameters: readonly (Buffer | null)[];
  /** As `parameterFormats`, for the result's columns; their number is checked by who knows the columns. */
  readonly resultFormats: readonly Format[];
}

/** Throws 08P01 for a bad layout, 22021 for a name that is not UTF-8, 22023 for an unknown format code. */
export function decodeBind(body: Buffer): Bind {
  const reader = new BodyReader(body, 'Bind');
  const portal = reader.cstring();
  const statement = reader.cstring();
  const parameterFormats = reader.formats();
  const parameters = reader.values();
  if (parameterFormats.length > 1 && parameterFormats.length !== parameters.length) {
    const counts = `${parameterFormats.length} parameter formats but ${parameters.length} parameters`;
    throw protocolViolation(`bind message has ${counts}`);
  }
  const resultFormats = reader.formats();
  reader.end();
  return { kind: 'bind', portal, statement, parameterFormats, parameters, resultFormats };
}

export function encodeBind(bind: Omit<Bind, 'kind'>): Buffer {
  const { portal, statement, parameterFormats, parameters, resultFormats } = bind;
  const formatBytes = 4 + 2 * (parameterFormats.length + resultFormats.length);
  const size = cstringBytes(portal) + cstringBytes(statement) + formatBytes + valuesBytes(parameters);
  const message = startMessage(BIND, size);
  let at = putCstring(message, putCstring(message, 5, portal), statement);
  at = putFormats(message, at, parameterFormats);
  at = putValues(message, at, parameters);
  putFormats(message, at, resultFormats);
  return message;
}

/** The format of one parameter or column under a list of length 0, 1 or n. */
export function formatAt(formats: readonly Format[], index: number): Format {
  return formats.length === 1 ? (formats[0] ?? 0) : (formats[index] ?? 0);
}

export interface BindChanges {
  readonly portal?: string;
  readonly statement?: string;
  /** Parameters to append behind the client's own, in text format; bytes are UTF-8. */
  readonly extraText?: readonly (string | Buffer | null)[];
}

/** The same Bind under other names and with more parameters. Throws 54000 above 65,535 parameters. */
export function rewriteBind(bind: Bind, changes: BindChanges): Bind {
  const portal = changes.portal ?? bind.portal;
  const statement = changes.statement ?? bind.statement;
  const extra = changes.extraText ?? [];
  if (extra.length === 0) return { ...bind, portal, statement };
  const added = extra.map((text) => (typeof text === 'string' ? Buffer.from(text) : text));
  const parameters = [...bind.parameters, ...added];
  checkCount(parameters.length, 'parameters');
  const parameterFormats = appendTextFormats(bind, extra.length);
  return { ...bind, portal, statement, parameters, parameterFormats };
}

function appendTextFormats(bind: Bind, extra: number): readonly Format[] {
  const { parameterFormats, parameters } = bind;
  // No list, or the one code "text", holds for what is appended too.
  if (parameterFormats.every((format) => format === 0)) return [];
  const formats = parameters.map((_, index) => formatAt(parameterFormats, index));
  for (let index = 0; index < extra; index++) formats.push(0);
  return formats;
}
