import type { FuncCall, Node, RangeVar, SelectStmt } from 'libpg-query';
import { SqlState } from '../engine/errors.js';
import type { AsOfText } from './asOf.js';
import { constantText, isObject, strings, unwrap } from './ast.js';
import type { Catalogue } from './catalogue.js';
import { requireAggregate } from './catalogue.js';
import { EVENTS_SCHEMA } from '../engine/schema/eventRelations.js';
import { collectConditions } from './conditions.js';
import { requireEventRelation } from './eventRelation.js';
import { qualifierRange, relationExtent, resolveRelation } from './relations.js';
import type { TokenIndex } from './relations.js';
import { refuseLocking, refuseStatement, refusal } from './refuse.js';
import { refuseSetting } from './settings.js';
import type { Condition, EngineRelation, RelationFrame, StateReference } from './statement.js';
import type { SqlText } from './text.js';

/** Names of common table expressions in sight; they hide tables of the same name. */
type Scope = ReadonlySet<string>;

/** The SELECT around a relation, as far as its conditions need it. */
interface Surroundings {
  readonly where: Node | undefined;
  readonly alone: boolean;
  /** False under a join with an alias of its own, which hides the names inside. */
  readonly visible: boolean;
}

interface QualifiedColumn {
  readonly location: number;
  readonly names: readonly string[];
}

const NO_SURROUNDINGS: Surroundings = { where: undefined, alone: false, visible: false };

/**
 * Walks a query's syntax tree: refuses what would write, and finds the relations that the engine has to fill. Statement
 * kinds are allowed by name; whatever else turns up inside a query is refused.
 */
export class ReadAnalysis {
  readonly engineRelations: Omit<EngineRelation, 'use'>[] = [];
  readonly stateReferences: StateReference[] = [];
  /** Relations that are neither an aggregate's nor the engine's: views, catalogues, or nothing at all. */
  readonly otherRelations: RangeVar[] = [];
  /** AS OF clauses that stood behind a table. */
  readonly bound = new Set<AsOfText>();
  readonly #columns: QualifiedColumn[] = [];
  readonly #references: {
    readonly relation: RangeVar;
    readonly qualifiers: { start: number; end: number }[];
  }[] = [];

  constructor(
    readonly text: SqlText,
    readonly catalogue: Catalogue,
    readonly index: TokenIndex,
    readonly asOf: readonly AsOfText[],
  ) {}

  /** Analyses a query that must be a SELECT, VALUES or TABLE. */
  query(node: Node | undefined, scope: Scope = new Set()): void {
    const select = unwrap(node, 'SelectStmt');
    if (select === undefined) throw refuseStatement(this.text, node, this.catalogue);
    this.select(select, scope);
  }

  /** Ends the walk: decides which schema qualifiers must go with the relations found. */
  finish(): void {
    for (const { relation, qualifiers } of this.#references) {
      if (relation.schemaname === undefined || relation.alias !== undefined) continue;
      const own = [relation.schemaname, relation.relname].join('\0');
      for (const { location, names } of this.#columns) {
        if (names.slice(-3, -1).join('\0') !== own) continue;
        const range = qualifierRange(location, names.length - 2, this.index);
        if (range !== undefined) qualifiers.push(range);
      }
    }
  }

  private select(select: SelectStmt, outer: Scope): void {
    if (select.intoClause !== undefined) {
      const hint = 'Relations come from CREATE AGGREGATE; keep results in the client.';
      throw refusal(this.text, 'SELECT INTO', hint, select.intoClause.rel?.location);
    }
    const locking = select.lockingClause?.[0];
    if (locking !== undefined) throw refuseLocking(this.text, this.lockingLocation());
    const scope = this.commonTables(select, outer);
    if (select.larg !== undefined) this.select(select.larg, scope);
    if (select.rarg !== undefined) this.select(select.rarg, scope);
    const from = select.fromClause ?? [];
    const around = { where: select.whereClause, alone: from.length === 1, visible: true };
    for (const item of from) this.fromItem(item, scope, around);
    const handled = new Set(['withClause', 'fromClause', 'larg', 'rarg']);
    for (const [key, value] of Object.entries(select)) if (!handled.has(key)) this.walk(value, scope);
  }

  /** The syntax tree does not say where FOR UPDATE stands. */
  private lockingLocation(): number | undefined {
    const { tokens } = this.index;
    const strengths = new Set(['update', 'share', 'no', 'key']);
    return tokens.find((token, at) => token.word === 'for' && strengths.has(tokens[at + 1]?.word ?? ''))
      ?.start;
  }

  private commonTables(select: SelectStmt, outer: Scope): Scope {
    const scope = new Set(outer);
    const tables = (select.withClause?.ctes ?? []).map((node) => unwrap(node, 'CommonTableExpr'));
    const recursive = select.withClause?.recursive === true;
    if (recursive) for (const table of tables) scope.add(table?.ctename ?? '');
    for (const table of tables) {
      this.query(table?.ctequery, new Set(scope));
      scope.add(table?.ctename ?? '');
    }
    return scope;
  }

  private fromItem(node: Node, scope: Scope, around: Surroundings): void {
    const table = unwrap(node, 'RangeVar');
    if (table !== undefined) return this.table(table, scope, around);
    const join = unwrap(node, 'JoinExpr');
    if (join !== undefined) {
      const inside = { ...around, alone: false, visible: around.visible && join.alias === undefined };
      if (join.larg !== undefined) this.fromItem(join.larg, scope, inside);
      if (join.rarg !== undefined) this.fromItem(join.rarg, scope, inside);
      return this.walk(join.quals, scope);
    }
    const sample = unwrap(node, 'RangeTableSample');
    if (sample !== undefined) this.sampled(unwrap(sample.relation, 'RangeVar'), scope);
    this.walk(sample?.args ?? node, scope);
  }

  /** TABLESAMPLE works on tables only, so that a sampled relation cannot be replaced. */
  private sampled(relation: RangeVar | undefined, scope: Scope): void {
    if (relation === undefined || this.isCommonTable(relation, scope)) return;
    const asOf = this.asOf.find((clause) => clause.nameStart === relation.location);
    if (asOf !== undefined || resolveRelation(relation, this.catalogue).kind === 'engine') {
      const hint = 'Use a condition on aggregate_id or position instead.';
      throw refusal(this.text, 'TABLESAMPLE of events, history or past state', hint, relation.location);
    }
  }

  private isCommonTable(relation: RangeVar, scope: Scope): boolean {
    return relation.schemaname === undefined && scope.has(relation.relname ?? '');
  }

  /** A table in COPY, or in FROM with the WHERE that filters it. */
  table(relation: RangeVar, scope: Scope, around = NO_SURROUNDINGS, frame?: Partial<RelationFrame>): void {
    const asOf = this.asOf.find((clause) => clause.nameStart === relation.location);
    if (asOf !== undefined) this.bound.add(asOf);
    const common = this.isCommonTable(relation, scope);
    const resolved = common ? ({ kind: 'other' } as const) : resolveRelation(relation, this.catalogue);
    if (asOf !== undefined && resolved.kind !== 'aggregate')
      throw this.notAnAggregate(relation, common || resolved.kind === 'engine', asOf);
    if (resolved.kind === 'other') {
      if (!common) this.otherRelations.push(relation);
      if (relation.schemaname === EVENTS_SCHEMA) requireEventRelation(this.text, relation, this.catalogue);
      return;
    }
    const { start, end, bareTable } = relationExtent(relation, this.index, asOf);
    const qualifiers: { start: number; end: number }[] = [];
    this.#references.push({ relation, qualifiers });
    const place = {
      start,
      end,
      implicitAlias: relation.alias === undefined ? (relation.relname ?? '') : null,
      alias: relation.alias?.aliasname ?? relation.relname ?? '',
      frame: { before: bareTable ? 'SELECT * FROM ' : '', after: '', qualifiers, ...frame },
    };
    if (resolved.kind === 'engine') {
      this.engineRelations.push({
        ...place,
        source: resolved.source,
        conditions: conditionsOf(relation, resolved.source.kind, around),
      });
    } else if (asOf !== undefined) {
      const source = { kind: 'state' as const, aggregateType: resolved.aggregateType, asOf: asOf.clause };
      this.engineRelations.push({ ...place, source, conditions: conditionsOf(relation, 'state', around) });
    } else this.stateReferences.push({ ...place, aggregateType: resolved.aggregateType });
  }

  private notAnAggregate(relation: RangeVar, known: boolean, asOf: AsOfText): Error {
    const name = relation.relname ?? '';
    const foreign = relation.schemaname !== undefined && relation.schemaname !== 'public';
    if (!known && !foreign && !name.startsWith('pg_')) {
      requireAggregate(this.text, this.catalogue, name, relation.location);
    }
    const hint = 'AS OF looks back at aggregates only; events and history carry their own position and time.';
    return this.text.error('42809', `"${name}" is not an aggregate`, asOf.nameStart, { hint });
  }

  private walk(value: unknown, scope: Scope): void {
    if (!isObject(value)) return;
    if (Array.isArray(value)) {
      for (const item of value) this.walk(item, scope);
      return;
    }
    for (const [key, child] of Object.entries(value)) {
      if (key === 'SelectStmt') this.select(child as SelectStmt, scope);
      else if (key === 'RangeVar') this.table(child as RangeVar, scope);
      else if (key.endsWith('Stmt'))
        throw refuseStatement(this.text, value as unknown as Node, this.catalogue);
      else {
        if (key === 'FuncCall') this.call(child as FuncCall);
        if (key === 'ColumnRef') this.column(child);
        this.walk(child, scope);
      }
    }
  }

  private column(reference: unknown): void {
    if (!isObject(reference) || !Array.isArray(reference.fields) || typeof reference.location !== 'number')
      return;
    const fields = reference.fields as Node[];
    if (fields.length < 3) return;
    const names = fields.map((field) => unwrap(field, 'String')?.sval ?? '*');
    this.#columns.push({ location: reference.location, names });
  }

  /** set_config() changes the same settings as SET does. */
  private call(call: FuncCall): void {
    if (strings(call.funcname)?.at(-1) !== 'set_config') return;
    const [name, value] = (call.args ?? []).map((argument) => unwrap(argument, 'A_Const'));
    const setting = name === undefined ? undefined : constantText(name);
    const given = value === undefined ? undefined : constantText(value);
    if (typeof setting !== 'string') return;
    if (setting.toLowerCase().startsWith('eventful.'))
      throw refusal(this.text, 'set_config of an eventful setting', `Use SET ${setting} = …`, call.location);
    refuseSetting(this.text, setting.toLowerCase(), given, call.location);
  }
}

function conditionsOf(
  relation: RangeVar,
  kind: EngineRelation['source']['kind'],
  around: Surroundings,
): Condition[] {
  // Column aliases (`AS p(a, b)`) rename what a condition would name.
  if (!around.visible || (relation.alias?.colnames?.length ?? 0) > 0) return [];
  const alias = relation.alias?.aliasname ?? relation.relname ?? '';
  return collectConditions(around.where, { kind, alias, alone: around.alone });
}

/** Reports an AS OF clause that stands behind no table. */
export function refuseUnbound(text: SqlText, clause: AsOfText): Error {
  const hint = 'AS OF stands directly behind the name of an aggregate in FROM, in front of its alias.';
  return text.error(
    SqlState.syntaxError,
    'AS OF does not follow the name of an aggregate',
    clause.start + 1,
    { hint },
  );
}
