/** EXPLAIN: what the engine will do for a statement, and PostgreSQL's own plan of what it does. */
import type { Appended } from '../../engine/commit/appended.js';
import { DatabaseError } from '../../engine/errors.js';
import type { NewEvent } from '../../engine/types.js';
import { displayName, quoteLiteral } from '../../sql/names.js';
import type { AppendStatement, CallStatement, ExplainStatement } from '../../sql/statement.js';
import { DATA_ROW, decodeDataRow, encodeTextRow } from '../protocol/backend/row.js';
import type { Frame } from '../protocol/frames.js';
import { operandValue, type Parameters } from '../statements/append.js';
import { annotatePlan, type PlanNotes } from '../statements/explain/annotate.js';
import type { PlanNode, SourcePlan } from '../statements/explain/plan.js';
import { runQuery } from './backendQuery.js';
import type { SessionState } from './state.js';

/** A message of the read model's answer to an EXPLAIN; rows of its plan in the statement's own words. */
export function annotated(
  notes: PlanNotes | null,
  frame: Frame,
  otherwise: (frame: Frame) => Buffer | null = ({ raw }) => raw,
): Buffer | null {
  if (notes === null || frame.type !== DATA_ROW) return otherwise(frame);
  const row = decodeDataRow(frame.body)[0]?.toString('utf8') ?? '';
  return Buffer.concat(annotatePlan(notes, row).map((line) => encodeTextRow([line])));
}

const MAX_SHOWN = 10;

/** PostgreSQL's plan of the query an append takes its rows from; null where it has none. */
export async function sourcePlan(
  state: SessionState,
  { options, flags }: ExplainStatement,
  { source }: AppendStatement,
  parameters: Parameters,
  parameterTypes: readonly number[],
): Promise<SourcePlan | null> {
  if (source.kind !== 'query') return null;
  const format = options.format === 'text' ? 'text' : 'json';
  const read = { ...source.read, explain: { ...options, format } as const };
  const head = `EXPLAIN (${[...flags, `ANALYZE ${options.analyze}`, `FORMAT ${format}`].join(', ')}) `;
  const { rows, notes } = await runQuery(state, read, parameters, parameterTypes, head);
  const plan = rows.flatMap(([row]) => (notes === null ? [row ?? ''] : annotatePlan(notes, row ?? '')));
  // The times of planning and running it belong to the whole statement.
  if (format === 'text') return { lines: plan.filter((line) => !/^(Planning|Execution) Time: /.test(line)) };
  const [whole] = JSON.parse(plan.join('\n')) as { Plan: Record<string, unknown> }[];
  return { json: whole?.Plan ?? {} };
}

function appendProperties(statement: AppendStatement, parameters: Parameters): [string, string][] {
  const { expected, eventType, ignoreDuplicate, columns } = statement;
  const version = expected.kind === 'operand' ? operandValue(expected.version, parameters) : null;
  const byRow = columns.includes('expected_version') ? ', or as each row says' : '';
  const expectation = {
    any: 'any version',
    exists: 'that the aggregate exists',
    version: `version ${expected.kind === 'version' ? expected.version : ''}`,
    operand: `version ${version ?? 'null'}`,
  }[expected.kind];
  return [
    ['Event Type', eventType === null ? 'as each row says' : displayName(eventType)],
    ['Expect', `${expectation}${byRow}`],
    ...(ignoreDuplicate
      ? ([['On Conflict', 'do nothing for an event_id that exists']] as [string, string][])
      : []),
  ];
}

function results(rows: readonly Appended[]): string {
  const shown = rows
    .slice(0, MAX_SHOWN)
    .map(
      (row) => `${quoteLiteral(row.aggregateId)} version ${row.version}${row.duplicate ? ' (exists)' : ''}`,
    );
  return `${shown.join(', ')}${rows.length > MAX_SHOWN ? `, … ${rows.length - MAX_SHOWN} more` : ''}`;
}

function aggregatesOf(events: readonly { readonly aggregateId: string }[]): number {
  return new Set(events.map(({ aggregateId }) => aggregateId)).size;
}

/**
 * What an append would do. Its events are checked against the store and the open transaction and then dropped.
 * @param events null where only running the query would tell
 */
export async function plannedAppend(
  state: SessionState,
  statement: AppendStatement,
  events: readonly NewEvent[] | null,
  parameters: Parameters,
  source: SourcePlan | null,
): Promise<PlanNode> {
  const properties = appendProperties(statement, parameters);
  const facts: [string, number][] = [];
  if (events === null) properties.push(['Check', 'of each row of the query, when it is run']);
  else {
    facts.push(['Events', events.length], ['Aggregates', aggregatesOf(events)]);
    properties.push(...(await check(state, events)));
  }
  return { node: 'Append Events', on: displayName(statement.aggregateType), facts, properties, source };
}

async function check(state: SessionState, events: readonly NewEvent[]): Promise<[string, string][]> {
  try {
    for (const event of events) state.access.requireAppend(event.aggregateType, event.aggregateId);
    return [
      ['Check', 'passed: right to append, event types and fields, event ids, expected versions, write limit'],
      ['Would Append', results(await state.transaction.dryRun(events))],
    ];
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    const detail = error.detail === undefined ? '' : ` (${error.detail})`;
    return [['Check', `would fail with ${error.sqlstate}: ${error.message}${detail}`]];
  }
}

/** What an append has done. */
export function doneAppend(
  statement: AppendStatement,
  rows: readonly Appended[],
  final: boolean,
  parameters: Parameters,
  source: SourcePlan | null,
): PlanNode {
  const properties = appendProperties(statement, parameters);
  const appended = rows.filter(({ duplicate }) => !duplicate);
  const facts: [string, number][] = [
    ['Actual Events', appended.length],
    ['Duplicates', rows.length - appended.length],
    ['Aggregates', aggregatesOf(appended)],
  ];
  const [first, last] = [appended[0], appended.at(-1)];
  if (final && first !== undefined && last !== undefined)
    facts.push(['First Position', Number(first.position)], ['Last Position', Number(last.position)]);
  if (rows.length > 0) properties.push(['Appended', results(rows)]);
  return { node: 'Append Events', on: displayName(statement.aggregateType), facts, properties, source };
}

const READS_ONLY = new Set(['verify', 'prove']);

export async function callPlan(
  state: SessionState,
  { options }: ExplainStatement,
  statement: CallStatement,
  parameters: Parameters,
): Promise<PlanNode> {
  const { procedure, args, names } = statement;
  const values = args.map((operand) => operandValue(operand, parameters));
  const shown = values.map((value, i) => {
    const name = names[i] ?? null;
    return `${name === null ? '' : `${name} => `}${value === null ? 'NULL' : quoteLiteral(value)}`;
  });
  const properties: [string, string][] = [
    // A token's grants are no secret, and no procedure takes a secret.
    ...(shown.length > 0 ? ([['Arguments', shown.join(', ')]] as [string, string][]) : []),
    [
      'Effect',
      READS_ONLY.has(procedure) ? 'reads only' : 'writes at once, whatever becomes of the transaction',
    ],
  ];
  const facts =
    procedure === 'verify' && !options.analyze ? await verifyEstimate(state, statement, values) : [];
  return { node: 'Procedure Call', on: procedure, facts, properties, source: null };
}

/** How much CALL verify would hash. */
async function verifyEstimate(
  state: SessionState,
  { names }: CallStatement,
  values: readonly (string | null)[],
): Promise<[string, number][]> {
  const argument = (name: string, at: number): string | null => {
    const named = names.indexOf(name);
    return (named >= 0 ? values[named] : names[at] === null ? values[at] : null) ?? null;
  };
  const [type, id] = [argument('type', 0), argument('id', 1)];
  if (type !== null && id !== null) state.access.requireRead(type, id);
  else state.access.requireReadAll(type);
  if (type === null) return [['Events', Number(state.engine.committedPosition())]];
  const { aggregates, events } = await state.engine.estimateRead(type, id === null ? null : [id], null);
  return [
    ['Aggregates', aggregates],
    ['Events', events],
  ];
}
