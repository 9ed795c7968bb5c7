/**
 * The types a field may declare, and the check a value must pass before its event is appended. Values stay strings.
 * Each check accepts a subset of what PostgreSQL's own cast accepts, so that the read model can never refuse a value
 * the engine took (test/fieldTypes.test.ts holds both to that).
 */
import { DatabaseError, SqlState } from '../errors.js';
import { checkJson } from './json.js';

/** A canonical type split into its name and modifiers: `numeric(10,2)` → numeric, [10, 2]. */
export interface ParsedType {
  readonly name: string;
  readonly modifiers: readonly number[];
}

const CANONICAL = /^([a-z ]+?)(?:\((\d+)(?:,(-?\d+))?\))?$/;

export function parseType(canonical: string): ParsedType {
  const match = CANONICAL.exec(canonical);
  if (match === null) throw new DatabaseError(SqlState.undefinedObject, `type "${canonical}" does not exist`);
  const modifiers = [match[2], match[3]].filter((m) => m !== undefined).map(Number);
  return { name: match[1] ?? canonical, modifiers };
}

type Check = (value: string, modifiers: readonly number[], type: string) => void;

function malformed(type: string): DatabaseError {
  return new DatabaseError(SqlState.invalidTextRepresentation, `invalid input syntax for type ${type}`);
}

function outOfRange(type: string): DatabaseError {
  return new DatabaseError(SqlState.numericValueOutOfRange, `value out of range for type ${type}`);
}

function integer(min: bigint, max: bigint): Check {
  return (value, _modifiers, type) => {
    if (!/^[+-]?\d{1,30}$/.test(value)) throw malformed(type);
    const n = BigInt(value.replace('+', ''));
    if (n < min || n > max) throw outOfRange(type);
  };
}

const DECIMAL = /^[+-]?(?=\.?\d)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,4}))?$/;

/** Significant digits after rounding to `scale` decimals: what the precision of numeric(precision, scale) bounds. */
function roundedDigits(value: string, scale: number): number {
  const match = DECIMAL.exec(value);
  const whole = match?.[1] ?? '';
  const fraction = match?.[2] ?? '';
  const exponent = Number(match?.[3] ?? 0);
  // value × 10^scale as digits, with one digit kept for rounding
  const digits = whole + fraction;
  const shift = exponent - fraction.length + scale;
  const keep = digits.length + shift;
  let scaled = keep >= 0 ? BigInt((digits + '0'.repeat(Math.max(0, shift))).slice(0, keep) || '0') : 0n;
  if (shift < 0 && keep >= 0 && (digits[keep] ?? '0') >= '5') scaled += 1n;
  return scaled === 0n ? 0 : scaled.toString().length;
}

const numeric: Check = (value, modifiers, type) => {
  if (value.length > 1000) throw outOfRange(type);
  const [precision, scale = 0] = modifiers;
  if (/^NaN$/i.test(value)) return;
  const match = DECIMAL.exec(value);
  if (match === null) throw malformed(type);
  if (Math.abs(Number(match[3] ?? 0)) > 1000) throw outOfRange(type);
  if (precision !== undefined && roundedDigits(value, scale) > precision) {
    throw new DatabaseError(SqlState.numericValueOutOfRange, 'numeric field overflow', {
      detail: `A field with precision ${precision}, scale ${scale} must round to an absolute value less than 10^${precision - scale}.`,
    });
  }
};

function float(bits: 32 | 64): Check {
  return (value, _modifiers, type) => {
    if (/^(NaN|[+-]?Infinity)$/i.test(value)) return;
    if (value.length > 400 || !DECIMAL.test(value)) throw malformed(type);
    const n = bits === 32 ? Math.fround(Number(value)) : Number(value);
    const zero = /^[+-]?[0.]*(?:[eE].*)?$/.test(value);
    const tiny = bits === 32 ? 1.1754944e-38 : Number.MIN_VALUE * 2 ** 52;
    if (!Number.isFinite(n) || (!zero && Math.abs(Number(value)) < tiny)) throw outOfRange(type);
  };
}

const boolean: Check = (value, _modifiers, type) => {
  if (!/^(true|false|t|f|yes|no|y|n|on|off|1|0)$/i.test(value)) throw malformed(type);
};

function daysInMonth(year: number, month: number): number {
  return new Date(Date.UTC(2000 + (year % 400), month, 0)).getUTCDate();
}

function checkDate(type: string, year: string, month: string, day: string): void {
  const [y, m, d] = [Number(year), Number(month), Number(day)];
  if (y < 1 || m < 1 || m > 12 || d < 1 || d > daysInMonth(y, m)) {
    throw new DatabaseError(
      SqlState.datetimeFieldOverflow,
      `date/time field value out of range for type ${type}`,
    );
  }
}

function checkTime(type: string, hour: string, minute: string, second: string | undefined): void {
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second ?? 0) >= 60) {
    throw new DatabaseError(
      SqlState.datetimeFieldOverflow,
      `date/time field value out of range for type ${type}`,
    );
  }
}

/** A date, perhaps with a time, perhaps with a zone, which types without one ignore as PostgreSQL does. */
const ISO_TIMESTAMP =
  /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.\d{1,6})?)?\s?(?:Z|[+-](?:0\d|1[0-4])(?::?[0-5]\d)?)?)?$/i;

function notIso(type: string, example: string): DatabaseError {
  return new DatabaseError(SqlState.invalidDatetimeFormat, `invalid input syntax for type ${type}`, {
    hint: `Write it in ISO 8601, for example ${example}.`,
  });
}

/** PostgreSQL's date input takes a timestamp's text too, and drivers send it: only the date counts. */
const date: Check = (value, _modifiers, type) => {
  const match = ISO_TIMESTAMP.exec(value) ?? /^(\d{4})-(\d\d)-(\d\d) [+-](?:0\d|1[0-4])$/.exec(value);
  if (match === null) throw notIso(type, '2026-01-31');
  checkDate(type, match[1] ?? '', match[2] ?? '', match[3] ?? '');
  if (match[4] !== undefined) checkTime(type, match[4], match[5] ?? '', match[6]);
};

const time: Check = (value, _modifiers, type) => {
  const match = /^(\d\d):(\d\d)(?::(\d\d)(?:\.\d{1,6})?)?$/.exec(value);
  if (match === null) throw notIso(type, '17:05:00');
  checkTime(type, match[1] ?? '', match[2] ?? '', match[3]);
};

function timestamp(example: string): Check {
  return (value, _modifiers, type) => {
    const match = ISO_TIMESTAMP.exec(value);
    if (match === null) throw notIso(type, example);
    checkDate(type, match[1] ?? '', match[2] ?? '', match[3] ?? '');
    if (match[4] !== undefined) checkTime(type, match[4], match[5] ?? '', match[6]);
  };
}

const uuid: Check = (value, _modifiers, type) => {
  if (!/^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$/i.test(value)) throw malformed(type);
};

const json: Check = (value, _modifiers, type) => checkJson(value, type);

const varchar: Check = (value, [limit], type) => {
  if (limit !== undefined && [...value].length > limit) {
    throw new DatabaseError(SqlState.stringDataRightTruncation, `value too long for type ${type}`);
  }
};

const CHECKS: Readonly<Record<string, Check>> = {
  text: () => undefined,
  'character varying': varchar,
  boolean,
  smallint: integer(-32768n, 32767n),
  integer: integer(-2147483648n, 2147483647n),
  bigint: integer(-(2n ** 63n), 2n ** 63n - 1n),
  numeric,
  real: float(32),
  'double precision': float(64),
  date,
  'time without time zone': time,
  'timestamp without time zone': timestamp('2026-01-31T17:05:00'),
  'timestamp with time zone': timestamp('2026-01-31T17:05:00Z'),
  uuid,
  json,
  jsonb: json,
};

const parsed = new Map<string, ParsedType>();

/**
 * Checks that `value` casts to the canonical type `type`.
 * @throws DatabaseError with the SQLSTATE PostgreSQL's own cast would have; the value itself is never in the message
 */
export function checkValue(type: string, value: string): void {
  let shape = parsed.get(type);
  if (shape === undefined) {
    shape = parseType(type);
    if (parsed.size > 1000) parsed.clear();
    parsed.set(type, shape);
  }
  const check = CHECKS[shape.name];
  if (check === undefined) throw new DatabaseError(SqlState.undefinedObject, `type "${type}" does not exist`);
  check(value, shape.modifiers, type);
}

/** True for a canonical type a field may have. */
export function isFieldType(type: string): boolean {
  const match = CANONICAL.exec(type);
  return match !== null && Object.hasOwn(CHECKS, match[1] ?? '');
}
