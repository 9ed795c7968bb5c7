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

/** Microseconds since 1970 as PostgreSQL prints a timestamptz in UTC. */
export function timestampText(micros: bigint): string {
  const seconds = micros / 1_000_000n;
  const fraction = micros % 1_000_000n;
  const iso = new Date(Number(seconds) * 1000).toISOString();
  const base = `${iso.slice(0, 10)} ${iso.slice(11, 19)}`;
  const digits = fraction === 0n ? '' : `.${fraction.toString().padStart(6, '0').replace(/0+$/, '')}`;
  return `${base}${digits}+00`;
}
