import { UsageError } from './report.js';

const SECONDS: Readonly<Record<string, number>> = {
  s: 1,
  m: 60,
  h: 3600,
  d: 86_400,
  w: 7 * 86_400,
  y: 365 * 86_400,
};
/** A date or a time with its zone, as ISO 8601 writes them; without a zone it is UTC. */
const ISO = /^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$/;
const LONGEST_SECONDS = 100 * 365 * 86_400;

/**
 * When something expires: a duration from now (`90s`, `15m`, `12h`, `30d`, `4w`, `1y`) or an ISO date or time.
 * @throws UsageError when it is neither, has passed, or is more than a century away
 */
export function parseExpiration(text: string, now: Date): Date {
  const expiration = parseDuration(text, now) ?? parseDate(text);
  if (expiration === null || Number.isNaN(expiration.getTime())) {
    throw new UsageError(`"${text}" is neither a duration nor a date`, {
      hint: 'Write a duration such as 12h or 30d, or a date such as 2030-12-31.',
    });
  }
  const seconds = (expiration.getTime() - now.getTime()) / 1000;
  if (seconds <= 0) throw new UsageError(`the expiration "${text}" is not in the future`);
  if (seconds > LONGEST_SECONDS) throw new UsageError(`the expiration "${text}" is more than 100 years away`);
  return expiration;
}

function parseDuration(text: string, now: Date): Date | null {
  const match = /^(\d{1,9})\s*([smhdwy])$/.exec(text.trim());
  if (match === null) return null;
  return new Date(now.getTime() + Number(match[1]) * (SECONDS[match[2] ?? ''] ?? 0) * 1000);
}

function parseDate(text: string): Date | null {
  const match = ISO.exec(text.trim());
  if (match === null) return null;
  const [, time, , , zone] = match;
  const written = text.trim().replace(' ', 'T');
  return new Date(time === undefined || zone !== undefined ? written : `${written}Z`);
}
