/**
 * PostgreSQL's plan of a read, told in the statement's own words: the functions that stand for engine relations and for
 * the transaction's own appends become the scans they are, with what the engine does for them.
 */
import { displayName } from '../../../sql/names.js';
import type { ExplainFormat, StateReference } from '../../../sql/statement.js';
import type { ScanReport } from './scan.js';

export interface PlanNotes {
  readonly format: ExplainFormat;
  /** By the number in the alias `engine:n` or `history:n`. */
  readonly scans: readonly ScanReport[];
  /** By the number in `appends:n` and `keys:n`: state with uncommitted appends over it. */
  readonly references: readonly StateReference[];
}

type Kind = 'engine' | 'history' | 'appends' | 'keys';
interface Marked {
  readonly node: string;
  readonly relation: string;
  readonly alias: string;
  readonly properties: readonly (readonly [string, string | Readonly<Record<string, number>>])[];
}

const MARK = /^(engine|history|appends|keys):(\d+)(?:_\d+)?$/;
/** The quotes as they are, and as YAML and XML escape them. */
const MARKS = /(?:\\"|&quot;|")(engine|history|appends|keys):(\d+)(?:_\d+)?(?:\\"|&quot;|")/g;

function marked(notes: PlanNotes, kind: string, number: string): Marked | null {
  const index = Number(number);
  if ((kind as Kind) === 'appends' || (kind as Kind) === 'keys') {
    const reference = notes.references[index];
    if (reference === undefined) return null;
    const relation = displayName(reference.aggregateType);
    const node = kind === 'keys' ? 'Appended Keys Scan' : 'Uncommitted Appends Scan';
    return {
      node,
      relation,
      alias: kind === 'keys' ? 'appended' : displayName(reference.alias),
      properties: [],
    };
  }
  const scan = notes.scans[index];
  if (scan === undefined) return null;
  const properties: [string, string | Record<string, number>][] = [];
  if (scan.conditions !== null) properties.push(['Engine Cond', scan.conditions]);
  const { counts, actual, milliseconds } = scan;
  if (Object.keys(counts).length > 0)
    properties.push([
      actual ? 'Engine Actual' : 'Engine Estimate',
      milliseconds === null ? counts : { ...counts, milliseconds: Number(milliseconds.toFixed(3)) },
    ]);
  if (scan.history !== null) properties.push(['History', scan.history]);
  const relation = scan.asOf === null ? scan.relation : `${scan.relation} AS OF ${scan.asOf}`;
  return { node: 'Engine Scan', relation, alias: scan.alias, properties };
}

/** One row of PostgreSQL's answer as the rows of ours: a line in text format, else the whole plan. */
export function annotatePlan(notes: PlanNotes, row: string): string[] {
  if (notes.format === 'text') return annotateLine(notes, row);
  if (notes.format === 'json') return [JSON.stringify(annotateJson(notes, JSON.parse(row)), null, 2)];
  const lines: string[] = [];
  for (const line of row.split('\n')) annotateMarkup(notes, line, lines);
  return [lines.join('\n')];
}

/** What a table of the past has around its columns; see `tableRows` in sql/rewrite.ts. */
const ONE_COLUMN = /COALESCE\(((?:"[^"]+"|\w+)(?:\.(?:"[^"]+"|\w+))?)\)/g;

function withoutMarks(notes: PlanNotes, text: string): string {
  const plain = notes.scans.some(({ table }) => table) ? text.replaceAll(ONE_COLUMN, '$1') : text;
  return plain.replaceAll(
    MARKS,
    (whole, kind: string, number: string) => marked(notes, kind, number)?.alias ?? whole,
  );
}

const FUNCTION_SCAN =
  /^(.*?)Function Scan on (?:pg_catalog\.)?json_to_recordset "(engine|appends|keys):(\d+)"(.*)$/s;
/** The call would show all the rows. */
const CALL = /^\s*(<Function-Call>|"?Function Call"?: ).*json_to_recordset\(/s;

/** A partition of a table of the past, under whatever node PostgreSQL reads it with. */
const PAST_SCAN =
  /^(.*?) on (?:eventful_history\.)?(h\d+(?:_latest|_replaced)?) "history:(\d+)(?:_\d+)?"(.*)$/s;

function versionsOf(table: string): string {
  return table.endsWith('_latest') ? 'latest versions' : 'replaced versions';
}

function named({ relation, alias }: Marked): string {
  return relation === alias || relation.startsWith(`${alias} AS OF `) ? relation : `${relation} ${alias}`;
}

function annotateLine(notes: PlanNotes, line: string): string[] {
  if (CALL.test(line)) return [];
  const past = PAST_SCAN.exec(line);
  const read = past === null ? null : marked(notes, 'history', past[3] ?? '');
  if (past !== null && read !== null) {
    const [, node = '', table = '', , rest = ''] = past;
    return [`${node} on ${named(read)}, ${versionsOf(table)}${withoutMarks(notes, rest)}`];
  }
  const scan = FUNCTION_SCAN.exec(line);
  const mark = scan === null ? null : marked(notes, scan[2] ?? '', scan[3] ?? '');
  if (scan === null || mark === null) return [withoutMarks(notes, line)];
  const [, before = '', , , after = ''] = scan;
  const indent = ' '.repeat(before.length + 2);
  return [
    `${before}${mark.node} on ${named(mark)}${withoutMarks(notes, after)}`,
    ...mark.properties.map(([key, value]) => `${indent}${key}: ${propertyText(value)}`),
  ];
}

/** `aggregates=1 events=3 time=0.412 ms` */
function propertyText(value: string | number | Readonly<Record<string, number>>): string {
  if (typeof value !== 'object') return String(value);
  return Object.entries(value)
    .map(([key, n]) => (key === 'milliseconds' ? `time=${n.toFixed(3)} ms` : `${key}=${n}`))
    .join(' ');
}

function annotateJson(notes: PlanNotes, value: unknown): unknown {
  if (typeof value === 'string') return withoutMarks(notes, value);
  if (Array.isArray(value)) return value.map((item) => annotateJson(notes, item));
  if (typeof value !== 'object' || value === null) return value;
  const alias = (value as { Alias?: unknown }).Alias;
  const match = typeof alias === 'string' ? MARK.exec(alias) : null;
  const mark = match === null ? null : marked(notes, match[1] ?? '', match[2] ?? '');
  const entries: [string, unknown][] = [];
  const past = match?.[1] === 'history';
  for (const [key, child] of Object.entries(value)) {
    if (mark !== null && past && key === 'Schema') continue;
    if (mark !== null && past && key === 'Relation Name')
      entries.push([key, mark.relation], ['Versions', versionsOf(String(child))]);
    else if (mark !== null && past && key === 'Alias') entries.push([key, mark.alias]);
    else if (mark !== null && past) entries.push([key, annotateJson(notes, child)]);
    else if (mark !== null && ['Function Name', 'Function Call', 'Schema'].includes(key)) continue;
    else if (mark !== null && key === 'Node Type')
      entries.push([key, mark.node], ['Relation Name', mark.relation]);
    else if (mark !== null && key === 'Alias')
      entries.push([key, mark.alias], ...Object.entries(Object.fromEntries(mark.properties)));
    else entries.push([key, annotateJson(notes, child)]);
  }
  return Object.fromEntries(entries);
}

/** A line of YAML or XML: the alias gets its name, what the engine does stands behind it, the function before it goes. */
function annotateMarkup(notes: PlanNotes, line: string, lines: string[]): void {
  if (CALL.test(line)) return;
  const alias = /^(\s*)(<Alias>|Alias: ")(engine|history|appends|keys):(\d+)/.exec(line);
  const mark = alias === null ? null : marked(notes, alias[3] ?? '', alias[4] ?? '');
  if (alias === null || mark === null) {
    lines.push(withoutMarks(notes, line));
    return;
  }
  const type = lines.findLastIndex((before) => /Node[ -]Type/.test(before));
  if (alias[3] === 'history') {
    markupOfPast(mark, alias[1] ?? '', alias[2] ?? '', lines, type);
    return;
  }
  const between = lines.splice(type).filter((before) => !/^\s*<?(Function[ -]Name|Schema)/.test(before));
  lines.push(...between.map((before) => before.replace('Function Scan', mark.node)));
  const [, indent = '', opening = ''] = alias;
  const added: (readonly [string, string])[] = [
    ['Relation Name', mark.relation],
    ['Alias', mark.alias],
    ...mark.properties.map(([key, value]) => [key, propertyText(value)] as const),
  ];
  for (const [key, value] of added)
    lines.push(
      opening === '<Alias>' ? xmlLine(indent, key, value) : `${indent}${key}: ${JSON.stringify(value)}`,
    );
}

function markupOfPast(mark: Marked, indent: string, opening: string, lines: string[], type: number): void {
  const add = (key: string, value: string): number =>
    lines.push(
      opening === '<Alias>' ? xmlLine(indent, key, value) : `${indent}${key}: ${JSON.stringify(value)}`,
    );
  const node = lines.splice(type);
  const table = /Relation[ -]Name.*?(h\d+_\w+)/.exec(node.join('\n'))?.[1] ?? '';
  lines.push(...node.filter((before) => !/^\s*<?(Relation[ -]Name|Schema)/.test(before)));
  add('Relation Name', mark.relation);
  add('Versions', versionsOf(table));
  add('Alias', mark.alias);
}

/** One element of EXPLAIN's XML: spaces in its name are hyphens. */
export function xmlLine(indent: string, key: string, value: string): string {
  const tag = key.replaceAll(/[^\w.-]/g, '-');
  const text = value.replace(/[&<>]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[c] ?? c);
  return `${indent}<${tag}>${text}</${tag}>`;
}
