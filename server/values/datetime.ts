/**
 * date, time, timestamp, timestamptz. Binary: days (32 bits) or microseconds (64 bits) since 2000-01-01, the extremes
 * being ±infinity. Text: ISO, timestamptz in UTC (`2026-01-01 00:00:00+00`), ` BC` behind years before 1.
 */
import { DatabaseError, SqlState } from '../../engine/errors.js';
import { civilFromDays, daysFromCivil, isCivilDate } from './calendar.js';
import type { Codec } from './codec.js';
import { checkSize } from './codec.js';

const DAY = 86_400_000_000n;
const SECOND = 1_000_000n;
const MAX_INT64 = (1n << 63n) - 1n;
const MIN_INT64 = -(1n << 63n);
const MAX_INT32 = 0x7fff_ffff;
const MIN_INT32 = -0x8000_0000;
/** 4714-11-24 BC, Julian day 0: the first day PostgreSQL has. */
const MIN_DAYS = -2_451_545;
/** 5874898-01-01 and 294277-01-01: the first ones it has no more. */
const END_DAYS = 2_145_031_949;
const END_TIMESTAMP = 9_223_371_331_200_000_000n;
const MIN_TIMESTAMP = BigInt(MIN_DAYS) * DAY;

const DATE_PART = String.raw`(\d{4,7})-(\d{2})-(\d{2})`;
const TIME_PART = String.raw`(\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?`;
const ZONE_PART = String.raw`(Z|[+-]\d{2}(?::?\d{2}(?::?\d{2})?)?)`;
const STAMP = new RegExp(`^${DATE_PART}(?:[ T]${TIME_PART})? ?${ZONE_PART}?( BC)?$`, 'i');
const TIME = new RegExp(`^${TIME_PART}$`);

function badFormat(type: string): DatabaseError {
  return new DatabaseError(SqlState.invalidDatetimeFormat, `invalid input syntax for type ${type}`);
}

function overflow(type: string): DatabaseError {
  return new DatabaseError(SqlState.datetimeFieldOverflow, `${type} out of range`);
}

function two(value: number | bigint): string {
  return String(value).padStart(2, '0');
}

/** The date's text, and apart from it the suffix that goes to the very end. */
function dateText(days: number): { text: string; suffix: string } {
  const { year, month, day } = civilFromDays(days);
  const shown = year > 0 ? year : 1 - year;
  const text = `${String(shown).padStart(4, '0')}-${two(month)}-${two(day)}`;
  return { text, suffix: year > 0 ? '' : ' BC' };
}

/** Microseconds since midnight → `HH:MM:SS` and, trimmed of zeros, a fraction. */
function timeText(micros: bigint): string {
  const seconds = micros / SECOND;
  const fraction = String(micros % SECOND)
    .padStart(6, '0')
    .replace(/0+$/, '');
  const clock = `${two(seconds / 3600n)}:${two((seconds / 60n) % 60n)}:${two(seconds % 60n)}`;
  return fraction === '' ? clock : `${clock}.${fraction}`;
}

/** The four groups of TIME_PART → microseconds since midnight; null when they are no time of day. */
function clockMicros(groups: readonly (string | undefined)[]): bigint | null {
  const [hour = '0', minute = '0', second = '0', fraction = ''] = groups;
  if (Number(minute) > 59 || Number(second) > 60) return null;
  const rounded = BigInt(Math.round(Number(`0.${fraction}0`) * 1e6));
  const micros = (BigInt(hour) * 3600n + BigInt(minute) * 60n + BigInt(second)) * SECOND + rounded;
  return micros <= DAY ? micros : null;
}

/** `+05:30` → microseconds east of UTC. */
function zoneMicros(zone: string | undefined): bigint {
  if (zone === undefined || zone.toUpperCase() === 'Z') return 0n;
  const [hours = '00', minutes = '00', seconds = '00'] = zone.slice(1).replaceAll(':', '').match(/../g) ?? [];
  const micros = (BigInt(hours) * 3600n + BigInt(minutes) * 60n + BigInt(seconds)) * SECOND;
  return zone.startsWith('-') ? -micros : micros;
}

interface Stamp {
  readonly days: number;
  readonly micros: bigint;
  readonly zone: bigint;
}

function parseStamp(text: string, type: string): Stamp {
  const match = STAMP.exec(text.trim());
  if (match === null) throw badFormat(type);
  const shown = Number(match[1]);
  const date = {
    year: match[9] === undefined ? shown : 1 - shown,
    month: Number(match[2]),
    day: Number(match[3]),
  };
  const micros = clockMicros(match.slice(4, 8));
  if (shown === 0 || micros === null || !isCivilDate(date)) {
    throw new DatabaseError(
      SqlState.datetimeFieldOverflow,
      `date/time field value out of range for type ${type}`,
    );
  }
  return { days: daysFromCivil(date), micros, zone: zoneMicros(match[8]) };
}

function infinity(text: string): 1 | -1 | 0 {
  const word = text.trim().toLowerCase();
  if (word === 'infinity' || word === '+infinity') return 1;
  return word === '-infinity' ? -1 : 0;
}

export const dateCodec: Codec = {
  decode(bytes) {
    checkSize(bytes, 4, 'date');
    const days = bytes.readInt32BE(0);
    if (days === MAX_INT32) return 'infinity';
    if (days === MIN_INT32) return '-infinity';
    if (days < MIN_DAYS || days >= END_DAYS) throw overflow('date');
    const { text, suffix } = dateText(days);
    return text + suffix;
  },
  encode(text) {
    const bytes = Buffer.allocUnsafe(4);
    const endless = infinity(text);
    if (endless !== 0) {
      bytes.writeInt32BE(endless > 0 ? MAX_INT32 : MIN_INT32);
      return bytes;
    }
    const { days } = parseStamp(text, 'date');
    if (days < MIN_DAYS || days >= END_DAYS) throw overflow('date');
    bytes.writeInt32BE(days);
    return bytes;
  },
};

export const timeCodec: Codec = {
  decode(bytes) {
    checkSize(bytes, 8, 'time');
    const micros = bytes.readBigInt64BE(0);
    if (micros < 0n || micros > DAY) throw overflow('time');
    return timeText(micros);
  },
  encode(text) {
    const match = TIME.exec(text.trim());
    if (match === null) throw badFormat('time');
    const micros = clockMicros(match.slice(1, 5));
    if (micros === null) throw overflow('time');
    const bytes = Buffer.allocUnsafe(8);
    bytes.writeBigInt64BE(micros);
    return bytes;
  },
};

function timestampCodec(type: string, zoned: boolean): Codec {
  return {
    decode(bytes) {
      checkSize(bytes, 8, type);
      return formatTimestamp(bytes.readBigInt64BE(0), type, zoned);
    },
    encode(text) {
      const bytes = Buffer.allocUnsafe(8);
      const endless = infinity(text);
      bytes.writeBigInt64BE(
        endless === 0 ? stampMicros(text, type, zoned) : endless > 0 ? MAX_INT64 : MIN_INT64,
      );
      return bytes;
    },
  };
}

function formatTimestamp(micros: bigint, type: string, zoned: boolean): string {
  if (micros === MAX_INT64) return 'infinity';
  if (micros === MIN_INT64) return '-infinity';
  if (micros < MIN_TIMESTAMP || micros >= END_TIMESTAMP) throw overflow(type);
  // bigint division rounds toward zero; a time of day must not be negative.
  const ofDay = ((micros % DAY) + DAY) % DAY;
  const { text, suffix } = dateText(Number((micros - ofDay) / DAY));
  return `${text} ${timeText(ofDay)}${zoned ? '+00' : ''}${suffix}`;
}

/** A timestamp without zone ignores an offset, as PostgreSQL does; one with zone and no offset given is in UTC. */
function stampMicros(text: string, type: string, zoned: boolean): bigint {
  const { days, micros, zone } = parseStamp(text, type);
  const total = BigInt(days) * DAY + micros - (zoned ? zone : 0n);
  if (total < MIN_TIMESTAMP || total >= END_TIMESTAMP) throw overflow(type);
  return total;
}

export const timestampCodecWithoutZone = timestampCodec('timestamp', false);
export const timestampCodecWithZone = timestampCodec('timestamp with time zone', true);
