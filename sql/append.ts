import type { InsertStmt, Node, SelectStmt, SetToDefault } from 'libpg-query';
import { SqlState } from '../engine/errors.js';
import type { DatabaseError } from '../engine/errors.js';
import type { AggregateDefinition, EventTypeDefinition } from '../engine/types.js';
import { parseClauses } from './appendClauses.js';
import type { AppendClauses } from './appendClauses.js';
import { appendColumns } from './appendColumns.js';
import { findAsOf } from './asOf.js';
import { holdsStar, unwrap } from './ast.js';
import { requireAggregate } from './catalogue.js';
import type { Catalogue } from './catalogue.js';
import { lexStatements } from './lexer.js';
import type { Token } from './lexer.js';
import { nearestHint } from './names.js';
import { castOperand } from './operands.js';
import { parsePostgres } from './postgres.js';
import { parseText, readStatement } from './read.js';
import { refusal, refuseHiddenAppend } from './refuse.js';
import { returningItems } from './returning.js';
import type { AppendSource, AppendStatement, AppendValue, ReadStatement } from './statement.js';
import { blank, fromBytes } from './text.js';
import type { SqlText } from './text.js';

const MAXIMUM_ROWS = 100_000;

/**
 * INSERT INTO aggregate EVENTS [event] (columns) VALUES …|SELECT … [EXPECT …] [ON CONFLICT (event_id) DO NOTHING]
 * [RETURNING …]. The dialect's words are blanked out, so that PostgreSQL's parser reads the INSERT that remains.
 */
export function parseAppend(
  text: SqlText,
  tokens: readonly Token[],
  insert: number,
  catalogue: Catalogue,
): AppendStatement {
  refuseHiddenAppend(text, tokens, insert + 1);
  refuseHiddenAppend(text, tokens.slice(0, insert));
  const clauses = parseClauses(text, tokens, insert);
  const plain = blank(text.bytes, clauses.dialect);
  const node = parsePostgres(text, blank(plain, findAsOf(text, tokens)));
  const statement = unwrap(node, 'InsertStmt');
  if (statement === undefined) throw text.syntaxError(tokens[insert]);
  const aggregate = targetAggregate(text, statement, catalogue);
  const event = clauses.eventType === null ? null : eventType(text, aggregate, clauses.eventType);
  const target = { aggregate, event, expects: clauses.expected !== null };
  const columns = appendColumns(text, statement.cols ?? [], target);
  return {
    kind: 'append',
    aggregateType: aggregate.type,
    eventType: event?.name ?? null,
    columns: columns.map(({ name }) => name),
    rowsMayBeShort: false,
    source: appendSource(text, { statement, clauses, plain, columns, catalogue, defaults: false }),
    expected: clauses.expected ?? { kind: 'any' },
    ignoreDuplicate: ignoresDuplicate(text, statement),
    returning: returningItems(text, statement.returningClause, null),
  };
}

function targetAggregate(text: SqlText, statement: InsertStmt, catalogue: Catalogue): AggregateDefinition {
  const { relname = '', schemaname = 'public', location } = statement.relation ?? {};
  if (schemaname !== 'public') {
    throw text.error('3F000', `schema "${schemaname}" cannot hold aggregates`, location, {
      hint: 'Aggregates live in the schema public.',
    });
  }
  return requireAggregate(text, catalogue, relname, location);
}

function eventType(
  text: SqlText,
  aggregate: AggregateDefinition,
  named: { name: string; start: number },
): EventTypeDefinition {
  const event = aggregate.events.find(({ name }) => name === named.name);
  if (event !== undefined) return event;
  const names = aggregate.events.map(({ name }) => name);
  const message = `event "${named.name}" of aggregate "${aggregate.type}" does not exist`;
  const hint =
    nearestHint(named.name, names, 'event') ??
    (names.length > 0 ? `Its events are ${names.slice(0, 20).join(', ')}.` : 'It declares no events.');
  throw text.error(SqlState.undefinedObject, message, named.start, { hint });
}

export function ignoresDuplicate(text: SqlText, statement: InsertStmt): boolean {
  const conflict = statement.onConflictClause;
  if (conflict === undefined) return false;
  const elements = conflict.infer?.indexElems ?? [];
  const named = elements.map((element) => unwrap(element, 'IndexElem')?.name);
  const plain = conflict.infer === undefined || (named.length === 1 && named[0] === 'event_id');
  const bare = conflict.infer?.whereClause === undefined && conflict.infer?.conname === undefined;
  if (conflict.action === 'ONCONFLICT_NOTHING' && plain && bare) return true;
  throw refusal(
    text,
    'this ON CONFLICT clause',
    'Only ON CONFLICT (event_id) DO NOTHING can follow.',
    conflict.location,
  );
}

interface Column {
  readonly name: string;
  readonly location: number;
}

export interface SourceParts {
  readonly statement: InsertStmt;
  readonly clauses: Pick<AppendClauses, 'aroundQuery'>;
  /** The statement without the dialect's words. */
  readonly plain: string;
  readonly columns: readonly Column[];
  readonly catalogue: Catalogue;
  /** DEFAULT may stand in VALUES: it leaves the column out of its row. */
  readonly defaults: boolean;
}

/** Where the rows come from. @throws DatabaseError 42601 when they do not fit the columns */
export function appendSource(text: SqlText, parts: SourceParts): AppendSource {
  const { statement, clauses, plain, columns, catalogue } = parts;
  if (statement.override !== undefined && statement.override !== 'OVERRIDING_NOT_SET') {
    throw refusal(text, 'OVERRIDING', 'Leave it out: the server sets no column that could be given.');
  }
  const select = unwrap(statement.selectStmt, 'SelectStmt');
  if (select === undefined) {
    throw refusal(
      text,
      'DEFAULT VALUES',
      'Give at least aggregate_id: VALUES (…).',
      statement.relation?.location,
    );
  }
  const lists = select.valuesLists;
  if (lists !== undefined) checkRows(text, lists, columns);
  const rows = lists === undefined || !isPlainValues(statement, select) ? undefined : constantRows(lists);
  const placed = rows !== undefined && parts.defaults ? undefined : firstDefault(lists);
  if (placed !== undefined) throw refuseDefault(text, placed, parts.defaults);
  if (rows !== undefined) return { kind: 'values', rows };
  if (lists === undefined) checkWidth(text, select, columns);
  const query = text.withBytes(blank(plain, clauses.aroundQuery));
  return { kind: 'query', read: queryStatement(query, catalogue) };
}

/** VALUES alone, without WITH, ORDER BY or LIMIT. */
function isPlainValues(statement: InsertStmt, select: SelectStmt): boolean {
  const { withClause, sortClause, limitCount, limitOffset } = select;
  return [statement.withClause, withClause, sortClause, limitCount, limitOffset].every(
    (clause) => clause === undefined,
  );
}

/** The query that gives the rows is analysed as a statement of its own, at the place where it stands. */
function queryStatement(query: SqlText, catalogue: Catalogue): ReadStatement {
  const tokens = lexStatements(fromBytes(query.bytes))[0]?.tokens ?? [];
  const read = readStatement(parseText(query, tokens), catalogue);
  if (read === undefined) throw query.syntaxError(tokens[0]);
  return read;
}

function checkRows(text: SqlText, lists: readonly Node[], columns: readonly Column[]): void {
  if (lists.length > MAXIMUM_ROWS) {
    const hint = 'Use several statements in one transaction.';
    throw text.error(
      SqlState.programLimitExceeded,
      `one statement can append at most ${MAXIMUM_ROWS} events`,
      undefined,
      { hint },
    );
  }
  const width = unwrap(lists[0], 'List')?.items?.length ?? 0;
  for (const list of lists) {
    const items = unwrap(list, 'List')?.items ?? [];
    if (items.length !== width) {
      throw text.error(
        SqlState.syntaxError,
        'VALUES lists must all be the same length',
        locationOf(items[0]),
      );
    }
  }
  const first = unwrap(lists[0], 'List')?.items ?? [];
  if (width > columns.length) {
    const message = 'INSERT has more expressions than target columns';
    throw text.error(SqlState.syntaxError, message, locationOf(first[columns.length]));
  }
  if (width < columns.length) missing(text, columns[width]);
}

function firstDefault(lists: readonly Node[] | undefined): SetToDefault | undefined {
  const items = (lists ?? []).flatMap((list) => unwrap(list, 'List')?.items ?? []);
  return items.map((item) => unwrap(item, 'SetToDefault')).find((item) => item !== undefined);
}

function refuseDefault(text: SqlText, { location }: SetToDefault, beside: boolean): DatabaseError {
  if (beside) {
    const hint = 'Give every other value of the statement as a constant or a parameter.';
    return refusal(text, 'DEFAULT beside an expression', hint, location);
  }
  const hint = 'Leave the column out to keep a field as it is; NULL clears it.';
  return refusal(text, 'DEFAULT in INSERT … EVENTS', hint, location);
}

function missing(text: SqlText, column: Column | undefined): never {
  throw text.error(SqlState.syntaxError, 'INSERT has more target columns than expressions', column?.location);
}

/** The width of a SELECT that shows it before it runs: one without a star. */
export function visibleWidth(select: SelectStmt): number | undefined {
  const targets = (select.targetList ?? []).map((target) => unwrap(target, 'ResTarget'));
  if (select.op !== 'SETOP_NONE' || select.targetList === undefined) return undefined;
  return targets.some((target) => holdsStar(target?.val)) ? undefined : targets.length;
}

function checkWidth(text: SqlText, select: SelectStmt, columns: readonly Column[]): void {
  if (visibleWidth(select) === undefined) return;
  const targets = (select.targetList ?? []).map((target) => unwrap(target, 'ResTarget'));
  if (targets.length > columns.length) {
    const message = 'INSERT has more expressions than target columns';
    throw text.error(SqlState.syntaxError, message, targets[columns.length]?.location);
  }
  if (targets.length < columns.length) missing(text, columns[targets.length]);
}

function locationOf(node: Node | undefined): number | undefined {
  if (node === undefined) return undefined;
  const cast = unwrap(node, 'TypeCast');
  if (cast !== undefined) return locationOf(cast.arg);
  const content: unknown = Object.values(node)[0];
  return typeof content === 'object' && content !== null && 'location' in content
    ? Number(content.location)
    : undefined;
}

/** The rows, if every value in them is a constant, a parameter or DEFAULT. */
function constantRows(lists: readonly Node[]): AppendValue[][] | undefined {
  const rows: AppendValue[][] = [];
  for (const list of lists) {
    const row: AppendValue[] = [];
    for (const item of unwrap(list, 'List')?.items ?? []) {
      const isDefault = unwrap(item, 'SetToDefault') !== undefined;
      const operand = isDefault ? ({ kind: 'default' } as const) : castOperand(item)?.operand;
      if (operand === undefined) return undefined;
      row.push(operand);
    }
    rows.push(row);
  }
  return rows;
}
