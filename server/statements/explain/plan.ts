/** Plans of the dialect's own statements in EXPLAIN's four formats, laid out as PostgreSQL lays out its own. */
import type { ExplainFormat, ExplainStatement } from '../../../sql/statement.js';
import type { Column, Result } from '../result.js';
import { xmlLine } from './annotate.js';

/** PostgreSQL's plan of the query that gives the rows. */
export type SourcePlan =
  { readonly lines: readonly string[] } | { readonly json: Readonly<Record<string, unknown>> };

export interface PlanNode {
  /** `Append Events` */
  readonly node: string;
  /** The aggregate or procedure. */
  readonly on: string;
  /** Numbers, in brackets behind the node in text format: `Actual Events` → `actual events=2`. */
  readonly facts: readonly (readonly [string, number])[];
  readonly properties: readonly (readonly [string, string])[];
  readonly source: SourcePlan | null;
}

const COLUMN_TYPES: Readonly<Record<ExplainFormat, string>> = {
  text: 'text',
  json: 'json',
  yaml: 'text',
  // As a type of its own it would need a name in our catalogue of types; every client reads both as text.
  xml: 'text',
};

export function planColumns({ options }: ExplainStatement): readonly Column[] {
  return [{ name: 'QUERY PLAN', type: COLUMN_TYPES[options.format] }];
}

/**
 * The rows an EXPLAIN answers.
 * @param rows how many rows or events the statement gave; null when it was not run
 * @param started when the statement began, by `performance.now()`
 */
export function finishPlan(
  explain: ExplainStatement,
  plan: PlanNode,
  rows: number | null,
  started: number,
): Result {
  const milliseconds = rows === null || !explain.options.summary ? null : performance.now() - started;
  const lines = renderPlan(explain.options.format, plan, milliseconds);
  return { columns: planColumns(explain), rows: lines.map((line) => [line]), tag: 'EXPLAIN' };
}

function renderPlan(format: ExplainFormat, plan: PlanNode, milliseconds: number | null): string[] {
  if (format === 'text') return textLines(plan, milliseconds);
  const time = milliseconds === null ? {} : { 'Execution Time': Number(milliseconds.toFixed(3)) };
  const whole = { Plan: planObject(plan), ...time };
  if (format === 'json') return [JSON.stringify([whole], null, 2)];
  if (format === 'yaml') return [yamlLines([whole], '').join('\n')];
  const inner = xmlLines(whole, '    ').join('\n');
  const open = '<explain xmlns="http://www.postgresql.org/2009/explain">';
  return [`${open}\n  <Query>\n${inner}\n  </Query>\n</explain>`];
}

function textLines({ node, on, facts, properties, source }: PlanNode, milliseconds: number | null): string[] {
  const numbers = facts.map(([key, n]) => `${key.toLowerCase()}=${n}`).join(' ');
  const lines = [`${node} on ${on}${numbers === '' ? '' : `  (${numbers})`}`];
  for (const [key, value] of properties) lines.push(`  ${key}: ${value}`);
  if (source !== null && 'lines' in source)
    source.lines.forEach((line, i) => lines.push(i === 0 ? `  ->  ${line}` : `      ${line}`));
  if (milliseconds !== null) lines.push(`Execution Time: ${milliseconds.toFixed(3)} ms`);
  return lines;
}

function planObject({ node, on, facts, properties, source }: PlanNode): Record<string, unknown> {
  return {
    'Node Type': node,
    'Relation Name': on,
    ...Object.fromEntries(facts),
    ...Object.fromEntries(properties),
    ...(source !== null && 'json' in source ? { Plans: [source.json] } : {}),
  };
}

function isBranch(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

/** As PostgreSQL writes YAML: strings in quotes, lists by dashes. */
function yamlLines(value: object, indent: string): string[] {
  if (Array.isArray(value))
    return value.flatMap((item: unknown) => {
      if (!isBranch(item)) return [`${indent}- ${JSON.stringify(item)}`];
      const [first = '', ...rest] = yamlLines(item, `${indent}  `);
      return [`${indent}- ${first.trimStart()}`, ...rest];
    });
  return Object.entries(value).flatMap(([key, child]: [string, unknown]) =>
    isBranch(child)
      ? [`${indent}${key}:`, ...yamlLines(child, `${indent}  `)]
      : [`${indent}${key}: ${JSON.stringify(child)}`],
  );
}

function xmlLines(value: object, indent: string): string[] {
  return Object.entries(value).flatMap(([key, child]: [string, unknown]) => {
    const tag = Array.isArray(value) ? 'Plan' : key.replaceAll(/[^\w.-]/g, '-');
    if (isBranch(child))
      return [`${indent}<${tag}>`, ...xmlLines(child, `${indent}  `), `${indent}</${tag}>`];
    return [xmlLine(indent, tag, String(child))];
  });
}
