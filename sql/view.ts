/** CREATE VIEW, CREATE MATERIALIZED VIEW, REFRESH MATERIALIZED VIEW and DROP VIEW: the only DDL of PostgreSQL there is. */
import type { CreateTableAsStmt, Node, RangeVar, ViewStmt } from 'libpg-query';
import { SqlState } from '../engine/errors.js';
import { VIEWS_SCHEMA, ViewLimits } from '../engine/schema/views.js';
import { findTopLevel } from './appendClauses.js';
import { isObject, strings, unwrap } from './ast.js';
import type { Catalogue } from './catalogue.js';
import type { Token } from './lexer.js';
import { parseText } from './read.js';
import { ReadAnalysis } from './readAnalysis.js';
import { refusal } from './refuse.js';
import { TokenIndex } from './relations.js';
import type { CreateViewStatement, DropViewStatement, RefreshViewStatement, Statement } from './statement.js';
import type { SqlText } from './text.js';

const PLACE_HINT = `Views live in a schema of their own: CREATE VIEW ${VIEWS_SCHEMA}.name AS SELECT ….`;

/** The statement about views that the tokens begin, undefined for any other. */
export function viewStatement(
  text: SqlText,
  tokens: readonly Token[],
  catalogue: Catalogue,
): Statement | undefined {
  const words = tokens.slice(0, 6).map(({ word }) => word);
  if (words[0] === 'create') {
    const rest = words.slice(words[1] === 'or' && words[2] === 'replace' ? 3 : 1);
    while (['global', 'local', 'temp', 'temporary', 'recursive'].includes(rest[0] ?? '')) rest.shift();
    return startsView(rest) ? createView(text, tokens, catalogue) : undefined;
  }
  if (words[0] === 'drop' && startsView(words.slice(1))) return dropView(text, tokens);
  return words[0] === 'refresh' && startsView(words.slice(1)) ? refreshView(text, tokens) : undefined;
}

function startsView(words: readonly string[]): boolean {
  return words[0] === 'view' || (words[0] === 'materialized' && words[1] === 'view');
}

function createView(text: SqlText, tokens: readonly Token[], catalogue: Catalogue): CreateViewStatement {
  const parsed = parseText(text, tokens);
  const view = unwrap(parsed.node, 'ViewStmt');
  const table = unwrap(parsed.node, 'CreateTableAsStmt');
  if (view !== undefined) refuseViewClauses(text, tokens, view);
  if (table !== undefined) refuseTableClauses(text, tokens, table);
  const relation = view?.view ?? table?.into?.rel;
  const name = viewName(text, relation);
  const parameter = tokens.find(({ kind }) => kind === 'parameter');
  if (parameter !== undefined)
    throw text.error(SqlState.undefinedParameter, 'views must not contain parameters', parameter.start);
  const analysis = new ReadAnalysis(text, catalogue, new TokenIndex(tokens), parsed.asOf);
  const query = view?.query ?? table?.query;
  analysis.query(query);
  refuseEngineRelations(text, analysis, parsed.asOf[0]?.start);
  const range = queryRange(text, tokens, view !== undefined);
  return {
    kind: 'createView',
    name,
    materialized: view === undefined,
    orReplace: view?.replace === true,
    ifNotExists: table?.if_not_exists === true,
    columns: strings(view?.aliases ?? table?.into?.colNames) ?? [],
    query: text.slice(range),
    queryOffset: text.position(range.start) - 1,
    types: [...new Set(analysis.stateReferences.map(({ aggregateType }) => aggregateType))],
    views: analysis.otherRelations.map((other) => readView(text, other)),
    functions: [...functionNames(query)],
    populate: table !== undefined && table.into?.skipData !== true,
  };
}

function refuseViewClauses(text: SqlText, tokens: readonly Token[], view: ViewStmt): void {
  if ((view.view?.relpersistence ?? 'p') !== 'p')
    throw refusal(text, 'a temporary view', 'Leave TEMPORARY out, or use WITH name AS (…) in the query.');
  const recursive = tokens.findIndex(({ word }) => word === 'view');
  if (tokens[recursive - 1]?.word === 'recursive')
    throw refusal(text, 'CREATE RECURSIVE VIEW', 'Write CREATE VIEW name AS WITH RECURSIVE ….');
  if ((view.withCheckOption ?? 'NO_CHECK_OPTION') !== 'NO_CHECK_OPTION')
    throw refusal(text, 'WITH CHECK OPTION', 'Nothing can be written through a view.');
  for (const node of view.options ?? []) {
    const option = unwrap(node, 'DefElem');
    const value = unwrap(option?.arg, 'String')?.sval ?? 'true';
    if (option?.defname === 'security_invoker' && /^(true|on|1|yes)$/i.test(value)) continue;
    const hint = 'Leave the options out: a view always shows what its reader may see (security_invoker).';
    throw refusal(text, `the view option ${option?.defname ?? ''}`, hint, option?.location);
  }
}

function refuseTableClauses(text: SqlText, tokens: readonly Token[], table: CreateTableAsStmt): void {
  const { into } = table;
  if (
    (into?.options?.length ?? 0) > 0 ||
    into?.tableSpaceName !== undefined ||
    into?.accessMethod !== undefined
  )
    throw refusal(text, 'a storage option of a materialized view', 'Leave it out.', tokens[0]?.start);
}

/** The name of a view that a statement makes, refreshes or drops. */
function viewName(text: SqlText, relation: RangeVar | undefined): string {
  const { relname = '', schemaname = VIEWS_SCHEMA, catalogname = 'eventful', location } = relation ?? {};
  if (schemaname !== VIEWS_SCHEMA || catalogname !== 'eventful')
    throw refusal(text, `a view in schema "${schemaname}"`, PLACE_HINT, location);
  if (relname.startsWith('pg_') || relname === '__proto__')
    throw text.error(SqlState.reservedName, `unacceptable view name "${relname}"`, location, {
      detail: 'The prefix "pg_" is reserved.',
    });
  return relname;
}

function refuseEngineRelations(text: SqlText, analysis: ReadAnalysis, asOf: number | undefined): void {
  const relation = analysis.engineRelations[0];
  if (relation === undefined && asOf === undefined) return;
  const hint =
    'A view reads the current state of aggregates, and other views; query past states, history and events directly.';
  throw refusal(text, 'a view of events, history or past state', hint, relation?.start ?? asOf);
}

/** A relation in a view's query that is no aggregate must be another view. */
function readView(text: SqlText, relation: RangeVar): { name: string; position: number } {
  const { relname = '', schemaname = VIEWS_SCHEMA, location = 0 } = relation;
  if (schemaname !== VIEWS_SCHEMA || relname.startsWith('pg_')) {
    const hint = 'A view reads aggregates and other views.';
    throw refusal(text, `a view of schema "${relation.schemaname ?? 'pg_catalog'}"`, hint, location);
  }
  return { name: relname, position: text.position(location) };
}

/** From behind AS to the end, or to WITH DATA. */
function queryRange(text: SqlText, tokens: readonly Token[], plain: boolean): { start: number; end: number } {
  const as = findTopLevel(tokens, 0, (at) => tokens[at]?.word === 'as');
  const start = tokens[as + 1]?.start ?? text.bytes.length;
  // Only behind WITH: a column may be called data.
  const [before, no, data] = tokens.slice(-3).map(({ word }) => word);
  const clause = data !== 'data' ? 0 : no === 'with' ? 2 : before === 'with' && no === 'no' ? 3 : 0;
  const last = tokens.length - 1 - (plain ? 0 : clause);
  const end = tokens[last]?.end ?? text.bytes.length;
  if (end - start > ViewLimits.queryBytes)
    throw text.error(
      SqlState.programLimitExceeded,
      `the query of a view can have at most ${ViewLimits.queryBytes} bytes`,
      start,
    );
  return { start, end };
}

function functionNames(value: unknown, names = new Set<string>()): Set<string> {
  if (!isObject(value)) return names;
  for (const [key, child] of Object.entries(value)) {
    if (key === 'FuncCall' && isObject(child)) {
      const name = strings(child.funcname as Node[] | undefined)?.at(-1);
      if (name !== undefined) names.add(name);
    }
    functionNames(child, names);
  }
  return names;
}

function refreshView(text: SqlText, tokens: readonly Token[]): RefreshViewStatement {
  const statement = unwrap(parseText(text, tokens).node, 'RefreshMatViewStmt');
  if (statement === undefined) throw text.syntaxError(tokens[0]);
  if (statement.concurrent === true) {
    const hint =
      'Leave CONCURRENTLY out: it needs a unique index; readers wait while the view is filled anew.';
    throw refusal(text, 'REFRESH MATERIALIZED VIEW CONCURRENTLY', hint, tokens[3]?.start);
  }
  return {
    kind: 'refreshView',
    name: viewName(text, statement.relation),
    withData: statement.skipData !== true,
  };
}

function dropView(text: SqlText, tokens: readonly Token[]): DropViewStatement {
  const statement = unwrap(parseText(text, tokens).node, 'DropStmt');
  if (statement === undefined) throw text.syntaxError(tokens[0]);
  const names = (statement.objects ?? []).map((object) => {
    const parts = strings(unwrap(object, 'List')?.items) ?? [];
    const schema = parts.at(-2) ?? VIEWS_SCHEMA;
    if (schema !== VIEWS_SCHEMA)
      throw refusal(
        text,
        `DROP VIEW in schema "${schema}"`,
        'Only views that CREATE VIEW has made can be dropped.',
        tokens[0]?.start,
      );
    return parts.at(-1) ?? '';
  });
  return {
    kind: 'dropView',
    names,
    materialized: statement.removeType === 'OBJECT_MATVIEW',
    ifExists: statement.missing_ok === true,
    cascade: statement.behavior === 'DROP_CASCADE',
  };
}
