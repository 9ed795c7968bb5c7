import type { Node } from 'libpg-query';
import { findAsOf } from './asOf.js';
import type { AsOfText } from './asOf.js';
import { holdsStar, unwrap } from './ast.js';
import type { Catalogue } from './catalogue.js';
import { ColumnUses } from './columnUse.js';
import { explainOptions } from './explainOptions.js';
import type { Token } from './lexer.js';
import { displayName, quoteName } from './names.js';
import { isLookup } from './lookup.js';
import { pointRead } from './pointRead.js';
import { parsePostgres } from './postgres.js';
import { ReadAnalysis, refuseUnbound } from './readAnalysis.js';
import { refusal, refuseStatement } from './refuse.js';
import { TokenIndex } from './relations.js';
import type { EngineRelation, ExplainOptions, ReadStatement } from './statement.js';
import { blank } from './text.js';
import type { SqlText } from './text.js';

/** One statement with everything known about its text. */
export interface ParsedText {
  readonly text: SqlText;
  readonly tokens: readonly Token[];
  readonly asOf: readonly AsOfText[];
  readonly node: Node;
}

/** Parses a statement of PostgreSQL's grammar in which aggregates may carry AS OF. */
export function parseText(text: SqlText, tokens: readonly Token[]): ParsedText {
  const asOf = findAsOf(text, tokens);
  return { text, tokens, asOf, node: parsePostgres(text, blank(text.bytes, asOf)) };
}

/** PostgreSQL numbers parameters in 16 bits. */
const MAXIMUM_PARAMETER = 65_535;
const TYPE_OIDS = { version: 20, position: 20, timestamp: 1184 } as const;

/** The read that a statement is, or undefined if it is none. */
export function readStatement(parsed: ParsedText, catalogue: Catalogue): ReadStatement | undefined {
  const { text, tokens, asOf, node } = parsed;
  const analysis = new ReadAnalysis(text, catalogue, new TokenIndex(tokens), asOf);
  const form = analyse(analysis, node);
  if (form === undefined) return undefined;
  analysis.finish();
  const unbound = asOf.find((clause) => !analysis.bound.has(clause));
  if (unbound !== undefined) throw refuseUnbound(text, unbound);
  if (form === 'prepare' && analysis.engineRelations.length > 0) {
    const hint = "Prepare it through the driver (the protocol's Parse message) instead of SQL's PREPARE.";
    throw refusal(
      text,
      'PREPARE of a query on events, history or past state',
      hint,
      analysis.engineRelations[0]?.start,
    );
  }
  const byStart = (left: { start: number }, right: { start: number }): number => left.start - right.start;
  return {
    kind: 'read',
    form,
    sql: text.sql,
    offset: text.offset,
    engineRelations: withUse(analysis.engineRelations, node).sort(byStart),
    stateReferences: analysis.stateReferences.sort(byStart),
    hasStar: analysis.stateReferences.length > 0 && holdsStar(node),
    explain: explainOf(node),
    ...parameters(parsed),
    point: form === 'select' ? pointRead(node, catalogue, asOf) : null,
    isLookup: form === 'select' && asOf.length === 0 && isLookup(node, catalogue),
  };
}

function withUse(relations: readonly Omit<EngineRelation, 'use'>[], node: Node): EngineRelation[] {
  if (relations.length === 0) return [];
  const uses = new ColumnUses(node);
  return relations.map((relation) => ({ ...relation, use: uses.of(relation.alias) }));
}

function explainOf(node: Node): ExplainOptions | null {
  const explain = unwrap(node, 'ExplainStmt');
  return explain === undefined ? null : explainOptions(explain);
}

function analyse(analysis: ReadAnalysis, node: Node | undefined): ReadStatement['form'] | undefined {
  if (unwrap(node, 'SelectStmt') !== undefined) {
    analysis.query(node);
    return 'select';
  }
  const explain = unwrap(node, 'ExplainStmt');
  if (explain !== undefined) {
    const form = analyse(analysis, explain.query);
    if (form === 'select' || form === 'execute' || form === 'declare') return 'explain';
    throw refuseStatement(analysis.text, explain.query, analysis.catalogue);
  }
  const declare = unwrap(node, 'DeclareCursorStmt');
  if (declare !== undefined) {
    analysis.query(declare.query);
    return 'declare';
  }
  const prepare = unwrap(node, 'PrepareStmt');
  if (prepare !== undefined) {
    analysis.query(prepare.query);
    return 'prepare';
  }
  if (unwrap(node, 'ExecuteStmt') !== undefined) return 'execute';
  if (unwrap(node, 'FetchStmt') !== undefined) return 'fetch';
  return unwrap(node, 'CopyStmt') === undefined ? undefined : analyseCopy(analysis, node);
}

function analyseCopy(analysis: ReadAnalysis, node: Node | undefined): 'copy' {
  const copy = unwrap(node, 'CopyStmt');
  const { text } = analysis;
  if (copy?.is_from === true) {
    const name = displayName(copy.relation?.relname ?? 'patient');
    const hint =
      `Append in bulk with COPY ${name} EVENTS <event> (aggregate_id, …) FROM STDIN, ` +
      `or row by row with INSERT INTO ${name} EVENTS <event> (aggregate_id, …) VALUES (…).`;
    throw refusal(text, 'COPY … FROM', hint, copy.relation?.location);
  }
  if (copy?.filename !== undefined || copy?.is_program === true) {
    throw refusal(text, 'COPY to a file or program', 'Use COPY … TO STDOUT, or \\copy in psql.');
  }
  if (copy?.query !== undefined) analysis.query(copy.query);
  else if (copy?.relation !== undefined) {
    const columns = (copy.attlist ?? []).map((column) => quoteName(unwrap(column, 'String')?.sval ?? ''));
    const before = `(SELECT ${columns.length === 0 ? '*' : columns.join(', ')} FROM `;
    analysis.table(copy.relation, new Set(), undefined, { before, after: ')' });
    if (columns.length > 0) includeColumnList(analysis);
  }
  return 'copy';
}

/** COPY name (a, b) TO: the list goes into the subquery and out of the text. */
function includeColumnList(analysis: ReadAnalysis): void {
  const closing = analysis.index.tokens.find((token) => token.word === ')');
  if (closing === undefined) return;
  const widen = <T extends { readonly end: number }>(place: T): T => ({ ...place, end: closing.end });
  analysis.engineRelations.splice(0, Infinity, ...analysis.engineRelations.map(widen));
  analysis.stateReferences.splice(0, Infinity, ...analysis.stateReferences.map(widen));
}

/** The highest parameter, and the types of those that PostgreSQL never gets to see. */
function parameters(parsed: ParsedText): Pick<ReadStatement, 'parameterCount' | 'asOfParameterTypes'> {
  const { text, tokens, asOf } = parsed;
  const seen = new Set<number>();
  const hidden = new Map<number, number>();
  let parameterCount = 0;
  for (const token of tokens) {
    if (token.kind !== 'parameter') continue;
    const number = Number(text.slice(token).slice(1));
    if (number < 1 || number > MAXIMUM_PARAMETER) {
      throw text.error('42P02', `there is no parameter $${number}`, token.start);
    }
    parameterCount = Math.max(parameterCount, number);
    const clause = asOf.find(({ start, end }) => start <= token.start && token.end <= end);
    if (clause === undefined) seen.add(number);
    else hidden.set(number, TYPE_OIDS[clause.clause.kind]);
  }
  for (const number of seen) hidden.delete(number);
  return { parameterCount, asOfParameterTypes: hidden };
}
