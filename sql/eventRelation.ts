/** The relations of schema `events` as statements name them. */
import type { Node, RangeVar } from 'libpg-query';
import { SqlState } from '../engine/errors.js';
import { EVENTS_SCHEMA, eventColumns, type EventRelation } from '../engine/schema/eventRelations.js';
import type { Catalogue } from './catalogue.js';
import type { Token } from './lexer.js';
import { displayName, nameOf, nearestHint } from './names.js';
import type { SqlText } from './text.js';

/** Whether the tokens of a qualified name are `events.name` or `database.events.name`. */
export function isEventName(text: SqlText, name: readonly Token[]): boolean {
  const schema = name.at(-3);
  return (
    (name.length === 3 || name.length === 5) && schema !== undefined && nameOf(text, schema) === EVENTS_SCHEMA
  );
}

/** The columns that can be given, as the nodes of a column list. */
export function insertable(relation: EventRelation): Node[] {
  const columns = eventColumns(relation).filter(({ kind }) => kind !== 'server');
  return columns.map(({ name }) => ({ ResTarget: { name, location: -1 } }));
}

/** The event behind events.name. @throws DatabaseError 42P01 for no event, 42P09 for one of several */
export function requireEventRelation(
  text: SqlText,
  relation: RangeVar | undefined,
  catalogue: Catalogue,
): EventRelation {
  const { relname = '', catalogname = 'eventful', location } = relation ?? {};
  if (catalogname !== 'eventful') {
    const message = `cross-database references are not implemented: "${catalogname}.${EVENTS_SCHEMA}.${relname}"`;
    throw text.error(SqlState.featureNotSupported, message, location);
  }
  const meant = catalogue.eventRelations(relname);
  const [found, other] = meant;
  if (found !== undefined && other === undefined) return found;
  if (found === undefined) {
    const hint =
      nearestHint(relname, catalogue.eventRelationNames(), 'relation') ??
      'Each event that an aggregate declares is a relation of this schema.';
    const message = `relation "${EVENTS_SCHEMA}.${relname}" does not exist`;
    throw text.error(SqlState.undefinedTable, message, location, { hint });
  }
  const ways = meant.map(
    ({ aggregate, event }) => `INSERT INTO ${displayName(aggregate.type)} EVENTS ${displayName(event.name)}`,
  );
  const named = meant.map(({ aggregate, event }) => `${aggregate.type}_${event.name}`);
  const usable = named.filter((name) => name !== relname && catalogue.eventRelations(name).length === 1);
  const relations = usable.map((name) => `${EVENTS_SCHEMA}.${displayName(name)}`);
  throw text.error('42P09', `relation "${EVENTS_SCHEMA}.${relname}" is ambiguous`, location, {
    detail: `The aggregates ${meant.map(({ aggregate }) => `"${aggregate.type}"`).join(', ')} have events that it could mean.`,
    hint: `Write ${[...relations, ...ways].join(' or ')}.`,
  });
}
