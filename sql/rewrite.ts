import type { ResultColumn } from './columns.js';
import { quoteLiteral, quoteName } from './names.js';
import type { EngineRelation, ReadStatement, StateReference } from './statement.js';
import { countCharacters, fromBytes, toBytes } from './text.js';
import type { ByteRange } from './text.js';

/**
 * Where the rows of a relation come from: a number is the parameter `$n` that carries them as JSON, a text is the JSON
 * itself, for statements that take no parameters (COPY, PREPARE).
 */
export type RowSource = number | string;

/** A table that has the rows of a relation, and others. */
export interface RowTable {
  /** Qualified, written as it is. */
  readonly relation: string;
  /** The columns it has; others are NULL. */
  readonly columns: readonly string[];
  /** Which of its rows. */
  readonly condition: string;
}

export interface Replacement {
  /** For each engine relation, by its index in the statement. */
  readonly engine: (index: number) => RowSource | RowTable;
  /** For each state reference, by its index: the rows that overlay the table's own; null leaves it alone. */
  readonly state?: (index: number) => RowSource | null;
  /** The columns the stored table has, where the open transaction has added to them. */
  readonly stored?: (reference: StateReference) => ReadonlySet<string>;
}

export interface RewrittenRead {
  readonly sql: string;
  /** A position in `sql`, counted from 1 in characters, as one in the text the client sent. */
  readonly map: (position: number) => number;
}

interface Edit extends ByteRange {
  readonly text: string;
}

type Columns = (relation: EngineRelation | StateReference) => readonly ResultColumn[];
/** The names of the columns whose values are there; null: all of them. */
type Wanted = (relation: EngineRelation) => ReadonlySet<string> | null;

/**
 * Replaces the relations of a read by subqueries over JSON, one array of objects for each, or over a table. Nothing else of the text is
 * changed, and AS OF goes with the name in front of it.
 */
export function rewriteRead(
  read: ReadStatement,
  replace: Replacement,
  columns: Columns,
  wanted: Wanted = () => null,
): RewrittenRead {
  const edits: Edit[] = [];
  read.engineRelations.forEach((relation, index) => {
    const source = replace.engine(index);
    const subquery =
      typeof source === 'object'
        ? tableRows(source, columns(relation), explained(read, `history:${index}`))
        : engineRows(source, columns(relation), wanted(relation), explained(read, `engine:${index}`));
    addEdits(edits, relation, subquery);
  });
  read.stateReferences.forEach((reference, index) => {
    const source = replace.state?.(index) ?? null;
    if (source !== null)
      addEdits(
        edits,
        reference,
        overlay(
          reference,
          recordset(source, columns(reference), explained(read, `appends:${index}`)),
          keysOf(source, explained(read, `keys:${index}`, 'k')),
          columns(reference),
          replace.stored?.(reference) ?? null,
        ),
      );
  });
  edits.sort((left, right) => left.start - right.start);
  return apply(read, edits);
}

function addEdits(edits: Edit[], place: EngineRelation | StateReference, subquery: string): void {
  const { frame, implicitAlias, start, end } = place;
  const alias = implicitAlias === null ? '' : ` AS ${quoteName(implicitAlias)}`;
  edits.push({ start, end, text: toBytes(frame.before + subquery + alias + frame.after) });
  for (const qualifier of frame.qualifiers) {
    // The same column can be qualified once only, however many relations claim it.
    if (!edits.some((edit) => edit.start === qualifier.start)) edits.push({ ...qualifier, text: '' });
  }
}

function json(source: RowSource): string {
  return `${typeof source === 'number' ? `$${source}` : quoteLiteral(source)}::json`;
}

/** Columns that nobody reads are there, so that names are found and errors say the same, but have no values. */
function engineRows(
  source: RowSource,
  columns: readonly ResultColumn[],
  wanted: ReadonlySet<string> | null,
  alias: string,
): string {
  const [first] = columns;
  if (wanted === null || first === undefined) return `(SELECT * FROM ${recordset(source, columns, alias)})`;
  const given = columns.filter(({ name }) => wanted.has(name));
  const list = columns.map(({ name, type }) =>
    wanted.has(name) ? `${quoteName(alias)}.${quoteName(name)}` : `NULL::${type} AS ${quoteName(name)}`,
  );
  return `(SELECT ${list.join(', ')} FROM ${recordset(source, given.length > 0 ? given : [first], alias)})`;
}

function recordset(source: RowSource, columns: readonly ResultColumn[], alias: string): string {
  return jsonRows(json(source), columns, alias);
}

/**
 * Rows from an array of JSON objects, as an item of FROM. Columns of JSON types come as text: as JSON, the value null would be
 * no value.
 * @param source an expression of type json
 */
export function jsonRows(source: string, columns: readonly ResultColumn[], alias: string): string {
  const isJson = (type: string): boolean => type === 'json' || type === 'jsonb';
  const name = quoteName(alias);
  const list = columns.map(
    (column) => `${quoteName(column.name)} ${isJson(column.type) ? 'text' : column.type}`,
  );
  const rows = `json_to_recordset(${source}) AS ${name}(${list.join(', ')})`;
  if (!columns.some(({ type }) => isJson(type))) return rows;
  const shown = columns.map((column) => {
    const value = `${name}.${quoteName(column.name)}`;
    return isJson(column.type) ? `${value}::${column.type} AS ${quoteName(column.name)}` : value;
  });
  return `(SELECT ${shown.join(', ')} FROM ${rows}) AS ${name}`;
}

/** COALESCE of one value is that value; without it, clients would be told that the columns are those of the table. */
function tableRows(source: RowTable, columns: readonly ResultColumn[], alias: string): string {
  const list = columns.map(({ name, type }) => {
    const column = quoteName(name);
    return source.columns.includes(name)
      ? `COALESCE(${quoteName(alias)}.${column}) AS ${column}`
      : `NULL::${type} AS ${column}`;
  });
  return `(SELECT ${list.join(', ')} FROM ${source.relation} AS ${quoteName(alias)} WHERE ${source.condition})`;
}

/** In a plan the name tells which relation of the statement a node stands for; elsewhere nobody sees it. */
function explained(read: ReadStatement, alias: string, otherwise = 't'): string {
  return read.explain === null ? otherwise : alias;
}

function keysOf(source: RowSource, alias: string): string {
  const name = quoteName(alias);
  return `SELECT ${name}."aggregate_id" FROM json_to_recordset(${json(source)}) AS ${name}("aggregate_id" text)`;
}

/** The column as the table has it; one that only the open transaction knows is NULL in what is stored. */
function storedColumn({ name, type }: ResultColumn, stored: ReadonlySet<string> | null): string {
  return stored?.has(name) === false ? `NULL::${type} AS ${quoteName(name)}` : quoteName(name);
}

/** The table's rows, but for those aggregates of which the JSON has a newer state. */
function overlay(
  reference: StateReference,
  own: string,
  keys: string,
  columns: readonly ResultColumn[],
  stored: ReadonlySet<string> | null,
): string {
  const list = columns.map(({ name }) => quoteName(name)).join(', ');
  const table = `public.${quoteName(reference.aggregateType)}`;
  const kept = columns.map((column) => storedColumn(column, stored)).join(', ');
  const rows = `SELECT ${kept} FROM ${table} WHERE "aggregate_id" <> ALL (ARRAY(${keys}))`;
  return `(${rows} UNION ALL SELECT ${list} FROM ${own})`;
}

function apply(read: ReadStatement, edits: readonly Edit[]): RewrittenRead {
  const bytes = toBytes(read.sql);
  let sql = '';
  let at = 0;
  /** Pairs of character positions (from 0) at which rewritten and original text run side by side again. */
  const anchors: { readonly rewritten: number; readonly original: number; readonly inside: boolean }[] = [];
  let rewritten = 0;
  let original = 0;
  for (const edit of edits) {
    anchors.push({ rewritten, original, inside: false });
    rewritten += countCharacters(bytes, at, edit.start);
    original += countCharacters(bytes, at, edit.start);
    anchors.push({ rewritten, original, inside: true });
    sql += bytes.slice(at, edit.start) + edit.text;
    rewritten += countCharacters(edit.text, 0, edit.text.length);
    original += countCharacters(bytes, edit.start, edit.end);
    at = edit.end;
  }
  anchors.push({ rewritten, original, inside: false });
  sql += bytes.slice(at);
  const map = (position: number): number => {
    const anchor = anchors.findLast((candidate) => candidate.rewritten < position) ?? anchors[0];
    if (anchor === undefined) return position + read.offset;
    // Inside a replacement every place stands for the name that was replaced.
    const within = anchor.inside ? 1 : position - anchor.rewritten;
    return anchor.original + within + read.offset;
  };
  return { sql: fromBytes(sql), map };
}
