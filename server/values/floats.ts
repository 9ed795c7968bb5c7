/** real and double precision: the shortest text that reads back the same, laid out as PostgreSQL does. */
import type { Codec } from './codec.js';
import { badText, checkSize, outOfRange } from './codec.js';

/** Digits before the point from which PostgreSQL switches to an exponent. */
const FLOAT8_MAX_EXPONENT = 15;
const FLOAT4_MAX_EXPONENT = 6;
const MIN_EXPONENT = -4;

const FLOAT = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const SPECIAL: ReadonlyMap<string, number> = new Map([
  ['nan', NaN],
  ['infinity', Infinity],
  ['+infinity', Infinity],
  ['-infinity', -Infinity],
  ['inf', Infinity],
  ['+inf', Infinity],
  ['-inf', -Infinity],
]);

/** PostgreSQL's text for a double precision value (extra_float_digits = 1). */
export function formatFloat8(value: number): string {
  return special(value) ?? layOut(value < 0, shortestFloat8(Math.abs(value)), FLOAT8_MAX_EXPONENT);
}

/** PostgreSQL's text for a real value, which must be exactly one. */
export function formatFloat4(value: number): string {
  return special(value) ?? layOut(value < 0, shortestFloat4(Math.abs(value)), FLOAT4_MAX_EXPONENT);
}

function special(value: number): string | null {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? 'Infinity' : '-Infinity';
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  return null;
}

/** The number d.ddd… × 10^exponent; the first digit is not zero. */
interface Decimal {
  readonly digits: string;
  readonly exponent: number;
}

function toDecimal(scientific: string): Decimal {
  const [mantissa = '', exponent = '0'] = scientific.split('e');
  return { digits: mantissa.replace('.', ''), exponent: Number(exponent) };
}

/**
 * JavaScript's own shortest text, with one exception: it accepts a decimal half way between two doubles when that reads
 * back by round-to-even (1e+23). PostgreSQL does not rely on the reader's rounding and takes another. Only integers
 * beyond 2^53 can have such a decimal, and none beyond 2^54 × 10^23.
 */
function shortestFloat8(value: number): Decimal {
  const decimal = toDecimal(value.toExponential());
  if (value < Number.MAX_SAFE_INTEGER || value > 1e40) return decimal;
  const zeros = decimal.exponent - decimal.digits.length + 1;
  if (zeros < 0) return decimal;
  const bits = new BigUint64Array(new Float64Array([value]).buffer)[0] ?? 0n;
  const mantissa = (bits & ((1n << 52n) - 1n)) | (1n << 52n);
  return shortest({ value, mantissa, exponent: Number(bits >> 52n) - 1075, smallest: 1n << 52n });
}

function shortestFloat4(value: number): Decimal {
  const bits = new Uint32Array(new Float32Array([value]).buffer)[0] ?? 0;
  const biased = bits >>> 23;
  const fraction = BigInt(bits & 0x7fffff);
  const smallest = 1n << 23n;
  if (biased === 0) return shortest({ value, mantissa: fraction, exponent: -149, smallest });
  // Below the smallest normal number lie the subnormal ones, as far apart as those above it.
  return shortest({
    value,
    mantissa: fraction | smallest,
    exponent: biased - 150,
    smallest: biased === 1 ? 0n : smallest,
  });
}

/** A positive float: value = mantissa × 2^exponent. */
interface Binary {
  readonly value: number;
  readonly mantissa: bigint;
  readonly exponent: number;
  /** The smallest mantissa of a normal number: the neighbour below it is only half as far as the one above. */
  readonly smallest: bigint;
}

/** The shortest decimal strictly nearer to the float than to its neighbours; of two, the closer, then the even one. */
function shortest({ value, mantissa, exponent, smallest }: Binary): Decimal {
  // Everything in quarters of the last binary place, as a fraction over one power of two.
  const denominator = 1n << BigInt(Math.max(0, 2 - exponent));
  const scale = 1n << BigInt(Math.max(0, exponent - 2));
  const exact = mantissa * 4n * scale;
  const low = (mantissa * 4n - (mantissa === smallest ? 1n : 2n)) * scale;
  const high = (mantissa * 4n + 2n) * scale;
  const power = toDecimal(value.toExponential(20)).exponent;
  for (let precision = 1; ; precision++) {
    const unitPower = power - precision + 1;
    const up = 10n ** BigInt(Math.max(0, -unitPower));
    const unit = 10n ** BigInt(Math.max(0, unitPower)) * denominator;
    const below = (exact * up) / unit;
    const rest = exact * up - below * unit;
    const closerBelow = rest * 2n < unit || (rest * 2n === unit && below % 2n === 0n);
    const candidates = closerBelow ? [below, below + 1n] : [below + 1n, below];
    const found = candidates.find((digits) => digits * unit > low * up && digits * unit < high * up);
    if (found !== undefined) {
      const digits = String(found);
      return { digits, exponent: unitPower + digits.length - 1 };
    }
  }
}

/** Fixed or scientific notation, as PostgreSQL chooses. */
function layOut(negative: boolean, decimal: Decimal, maxExponent: number): string {
  const sign = negative ? '-' : '';
  const digits = decimal.digits.replace(/0+$/, '');
  const { exponent } = decimal;
  if (exponent < MIN_EXPONENT || exponent >= maxExponent) {
    const fraction = digits.length > 1 ? `.${digits.slice(1)}` : '';
    const power = String(Math.abs(exponent)).padStart(2, '0');
    return `${sign}${digits.charAt(0)}${fraction}e${exponent < 0 ? '-' : '+'}${power}`;
  }
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  if (digits.length <= exponent + 1) return sign + digits.padEnd(exponent + 1, '0');
  return `${sign}${digits.slice(0, exponent + 1)}.${digits.slice(exponent + 1)}`;
}

function parseFloatText(text: string, type: string): number {
  const trimmed = text.trim();
  const known = SPECIAL.get(trimmed.toLowerCase());
  if (known !== undefined) return known;
  if (!FLOAT.test(trimmed)) throw badText(type);
  const value = Number(trimmed);
  if (!Number.isFinite(value) || (value === 0 && /[1-9]/.test(trimmed.replace(/e.*$/i, '')))) {
    throw outOfRange(type);
  }
  return value;
}

export const float8Codec: Codec = {
  decode(bytes) {
    checkSize(bytes, 8, 'double precision');
    return formatFloat8(bytes.readDoubleBE(0));
  },
  encode(text) {
    const bytes = Buffer.allocUnsafe(8);
    bytes.writeDoubleBE(parseFloatText(text, 'double precision'));
    return bytes;
  },
};

export const float4Codec: Codec = {
  decode(bytes) {
    checkSize(bytes, 4, 'real');
    return formatFloat4(bytes.readFloatBE(0));
  },
  encode(text) {
    const wide = parseFloatText(text, 'real');
    const value = Math.fround(wide);
    const lost = Number.isFinite(wide) && (!Number.isFinite(value) || (value === 0 && wide !== 0));
    if (lost) throw outOfRange('real');
    const bytes = Buffer.allocUnsafe(4);
    bytes.writeFloatBE(value);
    return bytes;
  },
};
