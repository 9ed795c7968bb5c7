import type { DeleteStmt, InsertStmt, MergeStmt, Node, RangeVar, UpdateStmt } from 'libpg-query';
import type { AggregateDefinition } from '../engine/types.js';
import { kindOf, strings, unwrap } from './ast.js';
import { EVENTS_SCHEMA } from '../engine/schema/eventRelations.js';
import type { Catalogue } from './catalogue.js';
import { displayName, quoteLiteral } from './names.js';
import { castOperand } from './operands.js';
import { RESERVED_COLUMNS } from './statement.js';

const NEVER_CHANGED = 'Nothing is ever changed in place; record what happened as an event: ';
const NEVER_DELETED = 'Nothing is ever deleted; record what happened as an event: ';

/** The hint for a statement that would write: the INSERT … EVENTS to write instead, as far as it can be told. */
export function writeHint(node: Node | undefined, catalogue: Catalogue): string {
  const event = eventOf(writtenRelation(node));
  if (event !== undefined)
    return unwrap(node, 'InsertStmt') === undefined
      ? `${NEVER_EVENTS}INSERT INTO ${event} (aggregate_id, …) VALUES (…)`
      : `INSERT INTO ${event} is a statement of its own; use RETURNING to get at what it wrote.`;
  const update = unwrap(node, 'UpdateStmt');
  if (update !== undefined) return NEVER_CHANGED + fromUpdate(update, catalogue);
  const deletion = unwrap(node, 'DeleteStmt');
  if (deletion !== undefined) return NEVER_DELETED + fromDelete(deletion, catalogue);
  const insert = unwrap(node, 'InsertStmt');
  if (insert !== undefined) return 'Name the event: ' + fromInsert(insert, catalogue);
  const merge = unwrap(node, 'MergeStmt');
  if (merge !== undefined) return NEVER_CHANGED + fromMerge(merge, catalogue);
  const truncate = unwrap(node, 'TruncateStmt');
  if (truncate !== undefined)
    return NEVER_DELETED + template(unwrap(truncate.relations?.[0], 'RangeVar'), catalogue);
  return OTHER_HINTS[kindOf(node)] ?? 'Use CREATE AGGREGATE, INSERT … EVENTS and SELECT.';
}

const NEVER_EVENTS = 'An event stays as it is for ever; append another: ';

/** The table that a statement would write to. */
export function writtenRelation(node: Node | undefined): RangeVar | undefined {
  return (
    unwrap(node, 'UpdateStmt')?.relation ??
    unwrap(node, 'DeleteStmt')?.relation ??
    unwrap(node, 'InsertStmt')?.relation ??
    unwrap(node, 'MergeStmt')?.relation ??
    unwrap(unwrap(node, 'TruncateStmt')?.relations?.[0], 'RangeVar')
  );
}

/** The name, to be shown, of a relation of schema `events`. */
export function eventOf(relation: RangeVar | undefined): string | undefined {
  if (relation?.schemaname !== EVENTS_SCHEMA) return undefined;
  return `${EVENTS_SCHEMA}.${displayName(relation.relname ?? '')}`;
}

const OTHER_HINTS: Readonly<Record<string, string>> = {
  DropStmt: 'Nothing is ever dropped: an aggregate and its events stay.',
  DoStmt: 'Run the statements from the client; several INSERT … EVENTS in one transaction are atomic.',
  NotifyStmt: 'LISTEN receives a notification for every event appended.',
  GrantStmt: 'Rights are part of a token: CALL token_generate(…).',
  GrantRoleStmt: 'Rights are part of a token: CALL token_generate(…).',
  CreateRoleStmt: 'Identities are tokens: CALL token_generate(…).',
  VacuumStmt: 'The read model looks after itself.',
  ReindexStmt: 'The read model looks after itself.',
  ClusterStmt: 'The read model looks after itself.',
  CheckPointStmt: 'CALL checkpoint() signs the state of the store.',
  CreateTableAsStmt:
    'Relations come from CREATE AGGREGATE name (field type, …, EVENT name (field, …)); keep results in the client.',
};

/** The hint for CREATE of anything that is not an aggregate. */
export const CREATE_HINT =
  'Tables come from aggregates: CREATE AGGREGATE name (field type, …, EVENT event_name (field, …)).';
export const LOCK_HINT =
  'Rows need no locks: INSERT … EVENTS … EXPECT VERSION n fails with 40001 if another wrote first.';

function aggregateOf(relation: RangeVar | undefined, catalogue: Catalogue): AggregateDefinition | undefined {
  const schema = relation?.schemaname ?? 'public';
  return schema === 'public' && relation?.relname !== undefined
    ? catalogue.aggregate(relation.relname)
    : undefined;
}

/** The event that holds these fields and as few others as can be. */
function chooseEvent(aggregate: AggregateDefinition | undefined, fields: readonly string[]): string {
  const width = (event: AggregateDefinition['events'][number]): number =>
    event.fields?.length ?? aggregate?.fields.length ?? 0;
  const fitting = (aggregate?.events ?? [])
    .filter((event) => event.fields === null || fields.every((field) => event.fields?.includes(field)))
    .sort((left, right) => width(left) - width(right));
  const name = fitting[0]?.name;
  return name === undefined ? '<event_type>' : displayName(name);
}

function insertText(
  relation: RangeVar | undefined,
  event: string,
  columns: readonly string[],
  values: readonly string[],
): string {
  const name = displayName(relation?.relname ?? 'aggregate');
  const list = columns.map((column) => displayName(column)).join(', ');
  return `INSERT INTO ${name} EVENTS ${event} (${list}) VALUES (${values.join(', ')})`;
}

/** A value as it may be shown: a constant or parameter of the statement itself, or dots. */
function valueText(node: Node | undefined): string {
  const operand = castOperand(node)?.operand;
  if (operand === undefined) return '…';
  if (operand.kind === 'parameter') return `$${operand.number}`;
  if (operand.value === null) return 'NULL';
  return operand.value.length > 100 ? '…' : quoteLiteral(operand.value);
}

/** The value that a WHERE compares aggregate_id with. */
function identityText(where: Node | undefined): string {
  for (const part of unwrap(where, 'BoolExpr')?.args ?? [where]) {
    const expression = unwrap(part, 'A_Expr');
    const column = strings(unwrap(expression?.lexpr, 'ColumnRef')?.fields)?.at(-1);
    if (column === 'aggregate_id' && strings(expression?.name)?.[0] === '=')
      return valueText(expression?.rexpr);
  }
  return '…';
}

function fromUpdate(update: UpdateStmt, catalogue: Catalogue): string {
  const targets = (update.targetList ?? []).map((target) => unwrap(target, 'ResTarget'));
  const fields = targets.map((target) => target?.name ?? '').filter((name) => name !== 'aggregate_id');
  const values = targets
    .filter((target) => target?.name !== 'aggregate_id')
    .map((target) => valueText(target?.val));
  const event = chooseEvent(aggregateOf(update.relation, catalogue), fields);
  return insertText(
    update.relation,
    event,
    ['aggregate_id', ...fields],
    [identityText(update.whereClause), ...values],
  );
}

function fromDelete(deletion: DeleteStmt, catalogue: Catalogue): string {
  const aggregate = aggregateOf(deletion.relation, catalogue);
  const ending = /delet|remov|clos|cancel|end|archiv|discharg/;
  const event = aggregate?.events.find(({ name }) => ending.test(name))?.name;
  const shown = event === undefined ? '<event_type>' : displayName(event);
  return insertText(deletion.relation, shown, ['aggregate_id'], [identityText(deletion.whereClause)]);
}

function fromInsert(insert: InsertStmt, catalogue: Catalogue): string {
  const name = insert.relation?.relname ?? '';
  if (aggregateOf(insert.relation, catalogue) === undefined && catalogue.eventRelations(name).length > 0)
    return `INSERT INTO ${EVENTS_SCHEMA}.${displayName(name)} (aggregate_id, …) VALUES (…)`;
  const columns = (insert.cols ?? []).map((column) => unwrap(column, 'ResTarget')?.name ?? '');
  const reserved: readonly string[] = RESERVED_COLUMNS;
  const fields = columns.filter((column) => !reserved.includes(column));
  const row = unwrap(unwrap(insert.selectStmt, 'SelectStmt')?.valuesLists?.[0], 'List')?.items;
  const event = chooseEvent(aggregateOf(insert.relation, catalogue), fields);
  if (columns.length === 0)
    return insertText(insert.relation, event, ['aggregate_id', '…'], ['…', '…']).replace('"…"', '…');
  const values = columns.map((_, index) => valueText(row?.[index]));
  const named = columns.includes('aggregate_id');
  return insertText(
    insert.relation,
    event,
    named ? columns : ['aggregate_id', ...columns],
    named ? values : ['…', ...values],
  );
}

function fromMerge(merge: MergeStmt, catalogue: Catalogue): string {
  return template(merge.relation, catalogue);
}

function template(relation: RangeVar | undefined, catalogue: Catalogue): string {
  const event = chooseEvent(aggregateOf(relation, catalogue), []);
  return insertText(relation, event, ['aggregate_id', '…'], ['…', '…']).replace('"…"', '…');
}
