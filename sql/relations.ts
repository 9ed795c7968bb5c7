import type { RangeVar } from 'libpg-query';
import type { AsOfText } from './asOf.js';
import { EVENTS_SCHEMA } from '../engine/schema/eventRelations.js';
import type { Catalogue } from './catalogue.js';
import type { Token } from './lexer.js';
import type { EngineRelation } from './statement.js';
import type { ByteRange } from './text.js';

/** Relations of schema `eventful` that only the engine can fill. */
const SYSTEM_RELATIONS: ReadonlySet<string> = new Set([
  'aggregates',
  'event_types',
  'fields',
  'checkpoints',
  'tokens',
]);

export type ResolvedRelation =
  | { readonly kind: 'aggregate'; readonly aggregateType: string }
  | { readonly kind: 'engine'; readonly source: EngineRelation['source'] }
  | { readonly kind: 'other' };

/** What a name in FROM stands for; names of common table expressions must have been ruled out. */
export function resolveRelation(relation: RangeVar, catalogue: Catalogue): ResolvedRelation {
  const name = relation.relname ?? '';
  const schema = relation.schemaname ?? 'public';
  if (schema === 'eventful') {
    if (name === 'events') return { kind: 'engine', source: { kind: 'events', aggregateType: null } };
    return SYSTEM_RELATIONS.has(name)
      ? { kind: 'engine', source: { kind: 'system', name } }
      : { kind: 'other' };
  }
  if (schema === EVENTS_SCHEMA) return eventRelation(name, catalogue);
  if (schema !== 'public') return { kind: 'other' };
  if (catalogue.aggregate(name) !== undefined) return { kind: 'aggregate', aggregateType: name };
  for (const kind of ['events', 'history'] as const) {
    const aggregateType = name.slice(0, -kind.length - 1);
    if (name.endsWith(`_${kind}`) && catalogue.aggregate(aggregateType) !== undefined) {
      return { kind: 'engine', source: { kind, aggregateType } };
    }
  }
  return { kind: 'other' };
}

function eventRelation(name: string, catalogue: Catalogue): ResolvedRelation {
  const [found, other] = catalogue.eventRelations(name);
  if (found === undefined || other !== undefined) return { kind: 'other' };
  const { aggregate, event } = found;
  return {
    kind: 'engine',
    source: { kind: 'event', aggregateType: aggregate.type, eventType: event.name },
  };
}

/** Finds tokens by the byte they begin at. */
export class TokenIndex {
  readonly #byStart = new Map<number, number>();

  constructor(readonly tokens: readonly Token[]) {
    tokens.forEach((token, index) => this.#byStart.set(token.start, index));
  }

  at(byte: number | undefined): number {
    return this.#byStart.get(byte ?? -1) ?? -1;
  }
}

export interface Extent extends ByteRange {
  /** True for the bare command TABLE name, which stands for SELECT * FROM name. */
  readonly bareTable: boolean;
}

/** The bytes that a relation takes up: its qualified name, AS OF, and PostgreSQL's ONLY, `*` and TABLE around it. */
export function relationExtent(relation: RangeVar, index: TokenIndex, asOf: AsOfText | undefined): Extent {
  const { tokens } = index;
  let first = index.at(relation.location);
  const parts =
    1 + (relation.schemaname === undefined ? 0 : 1) + (relation.catalogname === undefined ? 0 : 1);
  let last = first + 2 * parts - 2;
  if (asOf !== undefined) while ((tokens[last + 1]?.start ?? Infinity) < asOf.end) last++;
  else if (relation.inh === true && tokens[last + 1]?.word === '*') last++;
  if (relation.inh !== true) {
    if (tokens[first - 1]?.word === 'only') first--;
    else if (tokens[first - 1]?.word === '(' && tokens[first - 2]?.word === 'only') {
      first -= 2;
      last++;
    }
  }
  const bareTable = tokens[first - 1]?.word === 'table';
  if (bareTable) first--;
  return { start: tokens[first]?.start ?? 0, end: tokens[last]?.end ?? 0, bareTable };
}

/**
 * The bytes to delete from a column written as `schema.table.column`, so that it reads `table.column`: once a
 * relation is replaced by a subquery its schema can no longer be named.
 */
export function qualifierRange(
  location: number,
  qualifiers: number,
  index: TokenIndex,
): ByteRange | undefined {
  const { tokens } = index;
  const first = index.at(location);
  const table = tokens[first + 2 * qualifiers];
  return first < 0 || table === undefined ? undefined : { start: location, end: table.start };
}
