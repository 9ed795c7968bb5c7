/**
 * numeric's binary format: digits in base 10,000, big-endian 16-bit words: count, weight (power of 10,000 of the first
 * digit), sign, scale (decimals shown), then the digits.
 */
import type { Codec } from './codec.js';
import { badBinary, badText, outOfRange } from './codec.js';

const TYPE = 'numeric';
const HEADER_BYTES = 8;
const POSITIVE = 0x0000;
const NEGATIVE = 0x4000;
const NAN = 0xc000;
const INFINITY = 0xd000;
const NEGATIVE_INFINITY = 0xf000;
/** What PostgreSQL sends as the scale of an infinity; it means nothing. */
const INFINITY_SCALE = 0x20;
const MAX_SCALE = 0x3fff;
const MAX_WEIGHT = 0x7fff;
const MIN_WEIGHT = -0x8000;
/** Digits of one base-10,000 digit. */
const GROUP = 4;

const SPECIAL_TEXT: ReadonlyMap<number, string> = new Map([
  [NAN, 'NaN'],
  [INFINITY, 'Infinity'],
  [NEGATIVE_INFINITY, '-Infinity'],
]);
const SPECIAL_SIGN: ReadonlyMap<string, number> = new Map([
  ['nan', NAN],
  ['infinity', INFINITY],
  ['+infinity', INFINITY],
  ['inf', INFINITY],
  ['+inf', INFINITY],
  ['-infinity', NEGATIVE_INFINITY],
  ['-inf', NEGATIVE_INFINITY],
]);
const NUMBER = /^([+-]?)(?=\.?\d)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,6}))?$/;

function header(count: number, weight: number, sign: number, scale: number): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + 2 * count);
  bytes.writeUInt16BE(count, 0);
  bytes.writeInt16BE(weight, 2);
  bytes.writeUInt16BE(sign, 4);
  bytes.writeUInt16BE(scale, 6);
  return bytes;
}

function decode(bytes: Buffer): string {
  if (bytes.length < HEADER_BYTES) throw badBinary(TYPE);
  const count = bytes.readUInt16BE(0);
  const weight = bytes.readInt16BE(2);
  const sign = bytes.readUInt16BE(4);
  const scale = bytes.readUInt16BE(6);
  if (bytes.length !== HEADER_BYTES + 2 * count) throw badBinary(TYPE);
  const special = SPECIAL_TEXT.get(sign);
  if (special !== undefined) return special;
  if ((sign !== POSITIVE && sign !== NEGATIVE) || scale > MAX_SCALE) throw badBinary(TYPE);
  const groups: string[] = [];
  for (let at = HEADER_BYTES; at < bytes.length; at += 2) {
    const digit = bytes.readUInt16BE(at);
    if (digit > 9999) throw badBinary(TYPE);
    groups.push(String(digit).padStart(GROUP, '0'));
  }
  return layOut(groups, weight, scale, sign === NEGATIVE);
}

/** Digits beyond the scale are cut off, as PostgreSQL does when it receives them. */
function layOut(groups: readonly string[], weight: number, scale: number, negative: boolean): string {
  const wholeGroups = Math.max(0, weight + 1);
  const present = groups.slice(0, wholeGroups).join('');
  const whole = present.padEnd(wholeGroups * GROUP, '0').replace(/^0+/, '') || '0';
  const leading = weight < -1 ? Math.min(scale, (-weight - 1) * GROUP) : 0;
  const digits = '0'.repeat(leading) + groups.slice(wholeGroups).join('');
  const fraction = digits.slice(0, scale).padEnd(scale, '0');
  const text = scale === 0 ? whole : `${whole}.${fraction}`;
  return negative && /[1-9]/.test(text) ? `-${text}` : text;
}

function encode(text: string): Buffer {
  const trimmed = text.trim();
  const special = SPECIAL_SIGN.get(trimmed.toLowerCase());
  if (special !== undefined) return header(0, 0, special, special === NAN ? 0 : INFINITY_SCALE);
  const match = NUMBER.exec(trimmed);
  if (match === null) throw badText(TYPE);
  const exponent = Number(match[4] ?? '0');
  const given = match[3] ?? '';
  const scale = Math.max(0, given.length - exponent);
  if (scale > MAX_SCALE || Math.abs(exponent) > MAX_WEIGHT * GROUP) throw outOfRange(TYPE);
  const { digits, point } = shiftPoint(match[2] ?? '', given, exponent);
  return packDigits(digits, point, match[1] === '-', scale);
}

/** All digits in a row, and how many of them stand before the point after moving it by the exponent. */
function shiftPoint(whole: string, fraction: string, exponent: number): { digits: string; point: number } {
  const digits = whole + fraction;
  const point = whole.length + exponent;
  if (point < 0) return { digits: '0'.repeat(-point) + digits, point: 0 };
  return { digits: digits.padEnd(point, '0'), point };
}

function packDigits(digits: string, point: number, negative: boolean, scale: number): Buffer {
  // Groups are counted from the point, so the whole part is filled up on its left, the fraction on its right.
  const left = (GROUP - (point % GROUP)) % GROUP;
  const aligned = '0'.repeat(left) + digits;
  const total = Math.ceil(aligned.length / GROUP);
  const padded = aligned.padEnd(total * GROUP, '0');
  let first = 0;
  while (first < total && padded.startsWith('0000', first * GROUP)) first++;
  let last = total;
  while (last > first && padded.startsWith('0000', (last - 1) * GROUP)) last--;
  if (first === last) return header(0, 0, POSITIVE, scale);
  const weight = (point + left) / GROUP - 1 - first;
  if (weight > MAX_WEIGHT || weight < MIN_WEIGHT || last - first > 0xffff) throw outOfRange(TYPE);
  const bytes = header(last - first, weight, negative ? NEGATIVE : POSITIVE, scale);
  for (let group = first; group < last; group++) {
    const digit = Number(padded.slice(group * GROUP, (group + 1) * GROUP));
    bytes.writeUInt16BE(digit, HEADER_BYTES + 2 * (group - first));
  }
  return bytes;
}

export const numericCodec: Codec = { decode, encode };
