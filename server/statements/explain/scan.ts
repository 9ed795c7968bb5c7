/** What EXPLAIN says of a relation that the engine fills: which conditions it takes over, and how much it reads. */
import type { PastAnswer } from '../../../readmodel/index.js';
import { displayName, quoteLiteral } from '../../../sql/names.js';
import type { Condition, EngineRelation } from '../../../sql/statement.js';
import { operandValue, type Parameters } from '../append.js';
import { narrow, relationJson, resolveAsOf, type RelationContext } from '../relations.js';

/** One engine relation of an explained read. */
export interface ScanReport {
  /** As the statement names it: `patient`, `patient_history`, `eventful.events`. */
  readonly relation: string;
  readonly alias: string;
  /** `VERSION 3`; null where the relation has no AS OF. */
  readonly asOf: string | null;
  /** The conditions the engine applies, null for none. */
  readonly conditions: string | null;
  /** What is read: an estimate, or with ANALYZE what was. */
  readonly counts: Readonly<Record<string, number>>;
  readonly actual: boolean;
  /** How long the engine took, with ANALYZE; milliseconds. */
  readonly milliseconds: number | null;
  /** A table of the past has the rows. */
  readonly table: boolean;
  /** Why a look-back over all aggregates is not answered from a table of the past; null where that needs no reason. */
  readonly history: string | null;
}

const MAX_VALUES_SHOWN = 10;

function describe(
  relation: EngineRelation,
  parameters: Parameters,
): Pick<ScanReport, 'relation' | 'alias' | 'asOf' | 'conditions'> {
  const { source, alias, conditions } = relation;
  const asOf = source.kind === 'state' ? source.asOf : null;
  const used = conditions.filter(({ column }) => APPLIED[source.kind].includes(column));
  return {
    relation: relationName(source),
    alias: displayName(alias),
    asOf:
      asOf === null ? null : `${asOf.kind.toUpperCase()} ${literal(operandValue(asOf.operand, parameters))}`,
    conditions:
      used.length === 0 ? null : used.map((condition) => conditionText(condition, parameters)).join(' AND '),
  };
}

/** What the engine itself narrows by. */
const APPLIED: Readonly<Record<EngineRelation['source']['kind'], readonly Condition['column'][]>> = {
  state: ['aggregate_id'],
  history: ['aggregate_id'],
  events: ['aggregate_id', 'event_type', 'version', 'position'],
  event: ['aggregate_id', 'version', 'position'],
  system: [],
};

function relationName(source: EngineRelation['source']): string {
  if (source.kind === 'system') return `eventful.${source.name}`;
  if (source.kind === 'state') return displayName(source.aggregateType);
  if (source.kind === 'event') return `events.${displayName(source.eventType)}`;
  return source.aggregateType === null
    ? 'eventful.events'
    : displayName(`${source.aggregateType}_${source.kind}`);
}

function literal(value: string | null): string {
  if (value === null) return 'NULL';
  return /^-?\d{1,18}$/.test(value) ? value : quoteLiteral(value);
}

function conditionText({ column, operator, values, array }: Condition, parameters: Parameters): string {
  const texts = values.map((operand) => operandValue(operand, parameters));
  const show = (text: string | null): string =>
    text !== null && (column === 'aggregate_id' || column === 'event_type')
      ? quoteLiteral(text)
      : literal(text);
  if (array) return `${column} = ANY (${quoteLiteral(texts[0] ?? '{}')})`;
  if (operator !== 'in') return `${column} ${operator} ${show(texts[0] ?? null)}`;
  const shown = texts.slice(0, MAX_VALUES_SHOWN).map(show).join(', ');
  const more = texts.length - MAX_VALUES_SHOWN;
  return `${column} IN (${shown}${more > 0 ? `, … ${more} more` : ''})`;
}

/** How many aggregates there are is told only to those who may read them all. */
function mayCount(
  relation: EngineRelation,
  ids: readonly string[] | null,
  { access }: RelationContext,
): boolean {
  const { source } = relation;
  if (source.kind === 'system') return false;
  const { aggregateType: type } = source;
  if (ids === null) return type === null ? access.everything : access.canReadAll(type);
  return type === null ? access.everything : ids.every((id) => access.canRead(type, id));
}

function historyNote(
  relation: EngineRelation,
  answer: PastAnswer | null,
  context: RelationContext,
): string | null {
  if (answer?.kind !== 'engine' || answer.why === 'few') return null;
  if (answer.why === 'unmade') return 'none yet, it is made when this is run';
  return mayCount(relation, null, context) ? `none, ${answer.reason}` : 'none';
}

/** A relation that a table has: PostgreSQL's plan tells the rest. */
export function tableScan(relation: EngineRelation, { parameters }: RelationContext): ScanReport {
  return {
    ...describe(relation, parameters),
    conditions: null,
    counts: {},
    actual: false,
    milliseconds: null,
    table: true,
    history: null,
  };
}

/** What reading the relation would take; nothing of it is read but a sample. */
export async function estimateScan(
  relation: EngineRelation,
  context: RelationContext,
  answer: PastAnswer | null,
): Promise<ScanReport> {
  const { source, conditions } = relation;
  const { engine, access, parameters } = context;
  if (source.kind !== 'system' && source.aggregateType !== null) access.requireReadSome(source.aggregateType);
  const history = historyNote(relation, answer, context);
  const report = {
    ...describe(relation, parameters),
    actual: false,
    milliseconds: null,
    table: false,
    history,
  };
  const { ids, filter } = narrow(conditions, parameters);
  if (source.kind === 'system' || !mayCount(relation, ids, context)) return { ...report, counts: {} };
  const byAggregate =
    source.aggregateType !== null && ((source.kind !== 'events' && source.kind !== 'event') || ids !== null);
  if (!byAggregate) {
    const last = engine.committedPosition();
    const to = filter.toPosition ?? last;
    const from = filter.fromPosition ?? 1n;
    const span = (to < last ? to : last) - (from > 1n ? from : 1n) + 1n;
    return { ...report, counts: { positions: Math.max(0, Number(span)) } };
  }
  const asOf = source.kind === 'state' ? await resolveAsOf(source.asOf, context) : null;
  const { aggregates, snapshots, events } = await engine.estimateRead(source.aggregateType, ids, asOf);
  return {
    ...report,
    counts: source.kind === 'state' ? { aggregates, snapshots, events } : { aggregates, events },
  };
}

/** Reads the relation and tells what that took. */
export async function measuredScan(
  relation: EngineRelation,
  context: RelationContext,
  timing: boolean,
  answer: PastAnswer | null,
): Promise<{ readonly json: Buffer; readonly report: ScanReport }> {
  const counts = { aggregates: 0, snapshots: 0, events: 0, cached: 0, rows: 0 };
  const started = performance.now();
  const json = await relationJson(relation, context, counts);
  const milliseconds = performance.now() - started;
  const { ids } = narrow(relation.conditions, context.parameters);
  const { rows, aggregates, snapshots, events, cached } = counts;
  const read = {
    state: { aggregates, snapshots, events, ...(cached > 0 ? { cached } : {}) },
    history: { aggregates, events },
    events: { events },
    event: { events },
    system: {},
  }[relation.source.kind];
  return {
    json,
    report: {
      ...describe(relation, context.parameters),
      counts: {
        ...(mayCount(relation, ids, context) ? read : {}),
        rows,
        ...(timing ? { bytes: Buffer.byteLength(json) } : {}),
      },
      actual: true,
      milliseconds: timing ? milliseconds : null,
      table: false,
      history: historyNote(relation, answer, context),
    },
  };
}
