import { encodeCommandComplete } from '../protocol/backend/complete.js';
import { encodeDataRow, encodeRowDescription, type RowField } from '../protocol/backend/row.js';
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

export function describeColumns(columns: readonly Column[], formats: readonly Format[]): Buffer {
  return encodeRowDescription(columns.map((column, i) => field(column, formatAt(formats, i))));
}

export function encodeRows(result: Pick<Result, 'columns' | 'rows'>, formats: readonly Format[]): Buffer[] {
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
  return [...encodeRows(result, formats), encodeCommandComplete(result.tag)];
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
  const base = secondText(Number(micros / 1_000_000n));
  const fraction = Number(micros % 1_000_000n);
  if (fraction === 0) return `${base}+00`;
  return `${base}.${String(fraction).padStart(6, '0').replace(/0+$/, '')}+00`;
}
