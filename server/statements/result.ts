import { encodeCommandComplete, encodePortalSuspended } from '../protocol/backend/complete.js';
import {
  encodeDataRow,
  encodeRowDescription,
  encodeTextRow,
  type RowField,
} from '../protocol/backend/row.js';
import type { Format } from '../protocol/bytes.js';
import { formatAt } from '../protocol/frontend/bind.js';
import { typeModifier, typeOid, typeSize } from '../values/types.js';
import { encodeResult } from '../values/values.js';

/** A column of a result the server makes itself. */
export interface Column {
  readonly name: string;
  /** Canonical PostgreSQL type text. */
  readonly type: string;
}

/** Rows as text, as PostgreSQL would print the values. */
export interface Result {
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly (string | null)[])[];
  readonly tag: string;
}

function field(column: Column, format: Format): RowField {
  const oid = typeOid(column.type);
  return {
    name: column.name,
    tableOid: 0,
    columnNumber: 0,
    typeOid: oid,
    typeSize: typeSize(oid),
    typeModifier: typeModifier(column.type),
    format,
  };
}

/** RowDescriptions in text format, of columns that are kept with their statement. */
const described = new WeakMap<readonly Column[], Buffer>();

export function describeColumns(columns: readonly Column[], formats: readonly Format[]): Buffer {
  const isText = allText(formats);
  const known = isText ? described.get(columns) : undefined;
  if (known !== undefined) return known;
  const description = encodeRowDescription(columns.map((column, i) => field(column, formatAt(formats, i))));
  if (isText) described.set(columns, description);
  return description;
}

function allText(formats: readonly Format[]): boolean {
  for (const format of formats) if (format !== 0) return false;
  return true;
}

export function encodeRows(result: Pick<Result, 'columns' | 'rows'>, formats: readonly Format[]): Buffer[] {
  if (allText(formats)) return result.rows.map(encodeTextRow);
  const oids = result.columns.map((column) => typeOid(column.type));
  return result.rows.map((row) =>
    encodeDataRow(
      row.map((value, i) =>
        value === null ? null : encodeResult(value, oids[i] ?? 25, formatAt(formats, i)),
      ),
    ),
  );
}

/** Rows and CommandComplete. */
export function encodeOutcome(result: Result, formats: readonly Format[]): Buffer[] {
  const messages = encodeRows(result, formats);
  messages.push(encodeCommandComplete(result.tag));
  return messages;
}

/** A result of which some rows are sent. */
export interface Suspended {
  readonly result: Result;
  sent: number;
}

/** The next rows of a suspended result, then PortalSuspended, or CommandComplete once all were sent. */
export function nextRows(suspended: Suspended, maxRows: number, formats: readonly Format[]): Buffer[] {
  const { result, sent } = suspended;
  const end = maxRows > 0 ? Math.min(result.rows.length, sent + maxRows) : result.rows.length;
  suspended.sent = end;
  const rows = sent === 0 && end === result.rows.length ? result.rows : result.rows.slice(sent, end);
  const messages = encodeRows({ columns: result.columns, rows }, formats);
  const isComplete = end === result.rows.length && (maxRows <= 0 || end - sent < maxRows);
  // PostgreSQL counts the rows of this Execute, where it is about those of a query.
  const tag = sent > 0 && result.tag.startsWith('SELECT ') ? `SELECT ${end - sent}` : result.tag;
  messages.push(isComplete ? encodeCommandComplete(tag) : encodePortalSuspended());
  return messages;
}

/** Texts of whole seconds: making one takes longer than the rest of a row. */
const secondTexts = new Map<number, string>();
const SECOND_TEXTS_MAX = 4096;

function secondText(seconds: number): string {
  const known = secondTexts.get(seconds);
  if (known !== undefined) return known;
  if (secondTexts.size >= SECOND_TEXTS_MAX) secondTexts.clear();
  const iso = new Date(seconds * 1000).toISOString();
  const text = `${iso.slice(0, 10)} ${iso.slice(11, 19)}`;
  secondTexts.set(seconds, text);
  return text;
}

/** Microseconds since 1970 as PostgreSQL prints a timestamptz in UTC. */
export function timestampText(micros: bigint): string {
  // Exact up to the year 2255; times are those of clocks, and the engine keeps them as safe integers.
  const number = Number(micros);
  const seconds = Math.floor(number / 1_000_000);
  const fraction = number - seconds * 1_000_000;
  const base = secondText(seconds);
  if (fraction === 0) return `${base}+00`;
  return `${base}.${String(fraction).padStart(6, '0').replace(/0+$/, '')}+00`;
}
