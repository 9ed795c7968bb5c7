import type { CopyStmt, DefElem, Node } from 'libpg-query';
import { SqlState } from '../engine/errors.js';
import { findTopLevel } from './appendClauses.js';
import { appendColumns } from './appendColumns.js';
import { unwrap } from './ast.js';
import { requireAggregate, type Catalogue } from './catalogue.js';
import { insertable, isEventName, requireEventRelation } from './eventRelation.js';
import type { Token } from './lexer.js';
import { isName, nearestHint } from './names.js';
import { parsePostgres } from './postgres.js';
import { refusal } from './refuse.js';
import type { CopyAppendStatement } from './statement.js';
import { blank, type SqlText } from './text.js';
import { TokenCursor } from './tokenCursor.js';

/** Whether the statement is COPY aggregate EVENTS …, or COPY events.name … FROM. */
export function isCopyAppend(text: SqlText, tokens: readonly Token[]): boolean {
  return tokens[0]?.word === 'copy' && (namesEvents(tokens) || isRelationCopy(text, tokens));
}

function namesEvents(tokens: readonly Token[]): boolean {
  return tokens[eventsIndex(tokens)]?.word === 'events';
}

/** Without EVENTS, COPY … TO reads the relation. */
function isRelationCopy(text: SqlText, tokens: readonly Token[]): boolean {
  const end = eventsIndex(tokens);
  if (end < 0 || !isEventName(text, tokens.slice(1, end))) return false;
  const direction = findTopLevel(tokens, end, (at) => ['from', 'to'].includes(tokens[at]?.word ?? ''));
  return tokens[direction]?.word === 'from';
}

function eventsIndex(tokens: readonly Token[]): number {
  let at = 1;
  if (!isName(tokens[at])) return -1;
  while (tokens[at + 1]?.word === '.' && isName(tokens[at + 2])) at += 2;
  return at + 1;
}

/**
 * COPY aggregate EVENTS [event] (columns) FROM STDIN [WITH (FORMAT csv, HEADER, …)]. The dialect's words are blanked
 * out, so that PostgreSQL's parser reads the COPY that remains.
 */
export function parseCopyAppend(
  text: SqlText,
  tokens: readonly Token[],
  catalogue: Catalogue,
): CopyAppendStatement {
  if (!namesEvents(tokens)) return parseRelationCopy(text, tokens, catalogue);
  const events = eventsIndex(tokens);
  const cursor = new TokenCursor(text, tokens, events + 1);
  const named = cursor.at('(') || cursor.at('from') ? null : cursor.name();
  const range = { start: tokens[events]?.start ?? 0, end: tokens[cursor.index - 1]?.end ?? 0 };
  const statement = unwrap(parsePostgres(text, blank(text.bytes, [range])), 'CopyStmt');
  if (statement === undefined) throw text.syntaxError(tokens[0]);
  checkSource(text, statement, tokens[0]);
  if (statement.attlist === undefined)
    throw text.error(SqlState.syntaxError, 'COPY … EVENTS needs a column list', tokens[0]?.start, {
      hint: 'Name the columns: COPY patient EVENTS patient_updated (aggregate_id, status) FROM STDIN.',
    });
  const relation = statement.relation;
  const aggregate = requireAggregate(text, catalogue, relation?.relname ?? '', relation?.location);
  const event = named === null ? null : aggregate.events.find(({ name }) => name === named.name);
  if (event === undefined) {
    const names = aggregate.events.map(({ name }) => name);
    const hint = nearestHint(named?.name ?? '', names, 'event');
    const message = `event "${named?.name ?? ''}" of aggregate "${aggregate.type}" does not exist`;
    throw text.error(SqlState.undefinedObject, message, named?.start, hint === undefined ? {} : { hint });
  }
  const columns = appendColumns(text, columnNodes(statement, tokens), {
    aggregate,
    event,
    expects: false,
  });
  return {
    kind: 'copy',
    aggregateType: aggregate.type,
    eventType: event?.name ?? null,
    columns: columns.map(({ name }) => name),
    ...options(text, statement),
  };
}

/** COPY events.name [(columns)] FROM STDIN: as PostgreSQL's, without a list it takes every column that can be given. */
function parseRelationCopy(
  text: SqlText,
  tokens: readonly Token[],
  catalogue: Catalogue,
): CopyAppendStatement {
  const statement = unwrap(parsePostgres(text), 'CopyStmt');
  if (statement === undefined) throw text.syntaxError(tokens[0]);
  checkSource(text, statement, tokens[0]);
  const relation = requireEventRelation(text, statement.relation, catalogue);
  const { aggregate, event } = relation;
  const nodes = statement.attlist === undefined ? insertable(relation) : columnNodes(statement, tokens);
  const columns = appendColumns(text, nodes, { aggregate, event, expects: false });
  return {
    kind: 'copy',
    aggregateType: aggregate.type,
    eventType: event.name,
    columns: columns.map(({ name }) => name),
    ...options(text, statement),
  };
}

function checkSource(text: SqlText, statement: CopyStmt, first: Token | undefined): void {
  if (statement.is_from !== true)
    throw refusal(
      text,
      'COPY … EVENTS … TO',
      'Read events with COPY (SELECT … FROM patient_events) TO STDOUT.',
    );
  if (statement.filename !== undefined || statement.is_program === true)
    throw refusal(
      text,
      'COPY … EVENTS from a file',
      'Send the data through the client: FROM STDIN.',
      first?.start,
    );
  if (statement.whereClause !== undefined)
    throw refusal(text, 'WHERE in COPY … EVENTS', 'Filter the data before it is sent.');
}

/** The column list as the nodes an INSERT would have, each with its place. */
function columnNodes(statement: CopyStmt, tokens: readonly Token[]): Node[] {
  const open = tokens.findIndex((token) => token.word === '(');
  const places = tokens.slice(open + 1).filter((token) => isName(token));
  return (statement.attlist ?? []).map((node, i) => ({
    ResTarget: { name: unwrap(node, 'String')?.sval ?? '', location: places[i]?.start ?? 0 },
  }));
}

type Options = Pick<CopyAppendStatement, 'format' | 'header' | 'delimiter' | 'nullText' | 'quote' | 'escape'>;

function options(text: SqlText, statement: CopyStmt): Options {
  const given = new Map<string, { value: string; location: number }>();
  for (const node of statement.options ?? []) {
    const option = unwrap(node, 'DefElem');
    if (option === undefined) continue;
    const name = option.defname ?? '';
    if (given.has(name))
      throw text.error(SqlState.syntaxError, 'conflicting or redundant options', option.location);
    given.set(name, { value: optionValue(option), location: option.location ?? 0 });
  }
  const format = given.get('format')?.value.toLowerCase() ?? 'text';
  if (format === 'binary')
    throw refusal(text, 'COPY … EVENTS in binary format', 'Use text or csv.', given.get('format')?.location);
  if (format !== 'text' && format !== 'csv')
    throw text.error(SqlState.invalidParameterValue, `COPY format "${format}" not recognized`);
  const known = new Set(['format', 'header', 'delimiter', 'null', 'quote', 'escape', 'encoding']);
  for (const [name, { location }] of given) {
    if (!known.has(name)) throw refusal(text, `the COPY option ${name}`, 'Leave it out.', location);
  }
  const csv = format === 'csv';
  const quote = single(text, given.get('quote')?.value ?? '"', 'quote');
  return {
    format,
    header: /^(true|on|1|match|)$/i.test(given.get('header')?.value ?? 'off'),
    delimiter: single(text, given.get('delimiter')?.value ?? (csv ? ',' : '\t'), 'delimiter'),
    nullText: given.get('null')?.value ?? (csv ? '' : '\\N'),
    quote,
    escape: single(text, given.get('escape')?.value ?? quote, 'escape'),
  };
}

function optionValue(option: DefElem): string {
  const string = unwrap(option.arg, 'String')?.sval;
  if (string !== undefined) return string;
  const boolean = unwrap(option.arg, 'Boolean');
  if (boolean !== undefined) return boolean.boolval === true ? 'true' : 'false';
  const integer = unwrap(option.arg, 'Integer');
  return integer === undefined ? '' : String(integer.ival ?? 0);
}

function single(text: SqlText, value: string, name: string): string {
  if (Buffer.byteLength(value) === 1 && !/[\r\n\\]/.test(value)) return value;
  throw text.error(SqlState.invalidParameterValue, `COPY ${name} must be a single one-byte character`);
}
