import { describe, expect, it } from 'vitest';
import type { DatabaseError } from '../errors.js';
import type { AggregateDefinition, Schema, ViewDefinition } from '../types.js';
import { eventColumns, eventRelations } from './eventRelations.js';
import {
  ViewLimits,
  checkRelationNames,
  checkViewChange,
  dependents,
  readersFirst,
  typesRead,
  viewDefined,
} from './views.js';

function view(name: string, views: string[] = [], types: string[] = []): ViewDefinition {
  return { name, kind: 'view', query: 'SELECT 1', columns: [], types, views, populate: false };
}
function aggregate(
  type: string,
  fields: string[],
  events: Record<string, string[] | null>,
): AggregateDefinition {
  return {
    type,
    fields: fields.map((name) => ({ name, type: 'text' })),
    events: Object.entries(events).map(([name, list]) => ({ name, fields: list })),
    open: false,
    snapshotThreshold: 25,
    comment: null,
  };
}
const byName = (...list: ViewDefinition[]): Map<string, ViewDefinition> =>
  new Map(list.map((v) => [v.name, v]));
const typed = (...list: AggregateDefinition[]): Map<string, AggregateDefinition> =>
  new Map(list.map((a) => [a.type, a]));

describe('views that read views', () => {
  // d reads c and b, both read a: a diamond.
  const views = byName(
    view('a', [], ['patient']),
    view('c', ['a'], ['visit']),
    view('d', ['c', 'b']),
    view('b', ['a']),
  );

  it('each stands before those it reads', () => {
    expect(dependents(views, ['a'])).toEqual(['d', 'c', 'b']);
    expect(dependents(views, ['d'])).toEqual([]);
    expect(readersFirst(views, ['a', 'b', 'c', 'd'])).toEqual(['d', 'b', 'c', 'a']);
    // A circle, which nothing lets in, does not go on for ever.
    expect(readersFirst(byName(view('x', ['y']), view('y', ['x'])), ['x', 'y'])).toHaveLength(2);
  });

  it('read the types of what they read', () => {
    expect(typesRead(views, view('e', ['d']))).toEqual(['patient', 'visit']);
    expect(typesRead(views, view('e', ['b'], ['note']))).toEqual(['note', 'patient']);
  });
});

describe('a change of a view', () => {
  const schema: Schema = {
    revision: 1,
    aggregates: typed(aggregate('patient', [], {})),
    views: byName(view('a'), view('b', ['a'])),
  };
  function refusal(
    name: string,
    definition: ViewDefinition | null,
    eventType = 'view_created',
    on = schema,
  ): string {
    try {
      checkViewChange(on, { aggregateId: name, eventType }, definition);
      return 'taken';
    } catch (error) {
      return (error as DatabaseError).sqlstate;
    }
  }

  it.each([
    ['c', view('c', ['b']), 'view_created', 'taken'],
    ['a', view('a'), 'view_created', '42P07'],
    ['a', view('a'), 'view_replaced', 'taken'],
    ['gone', view('gone'), 'view_replaced', 'taken'],
    ['c', view('c', ['nothing']), 'view_created', '42P01'],
    ['a', view('a', ['b']), 'view_replaced', '42P17'],
    ['a', view('a', ['a']), 'view_replaced', '42P17'],
    ['patient', view('patient'), 'view_created', '42P07'],
    ['patient_events', view('patient_events'), 'view_created', '42P07'],
    ['patient_history', view('patient_history'), 'view_created', '42P07'],
    ['b', null, 'view_dropped', 'taken'],
    ['a', null, 'view_dropped', '2BP01'],
    ['nothing', null, 'view_dropped', '42P01'],
  ])('%s', (name, definition, eventType, outcome) => {
    expect(refusal(name, definition, eventType)).toBe(outcome);
  });

  it('stays within the limits', () => {
    const full = byName(...Array.from({ length: ViewLimits.views }, (_, i) => view(`v${i}`)));
    expect(refusal('more', view('more'), 'view_created', { ...schema, views: full })).toBe('54000');
    expect(refusal('v1', view('v1'), 'view_replaced', { ...schema, views: full })).toBe('taken');
    const long = { ...view('long'), query: 'x'.repeat(ViewLimits.keptBytes + 1) };
    expect(() => viewDefined(long, '', false)).toThrow('too long');
  });

  it('an aggregate takes no name of a view', () => {
    const taken = { ...schema, views: byName(view('toy_history')) };
    expect(() => checkRelationNames('toy', taken)).toThrow('relation "toy_history" already exists');
    expect(() => checkRelationNames('train', taken)).not.toThrow();
  });
});

describe('the relations of schema events', () => {
  const meant = (name: string, ...list: AggregateDefinition[]): string[] =>
    (eventRelations(typed(...list)).get(name) ?? []).map(
      (found) => `${found.aggregate.type}.${found.event.name}`,
    );

  it('have the event’s name where one aggregate has it, else the aggregate’s in front', () => {
    const [cat, dog] = [aggregate('cat', [], { fed: null, born: null }), aggregate('dog', [], { fed: null })];
    expect(meant('fed', cat)).toEqual(['cat.fed']);
    expect(meant('cat_fed', cat)).toEqual([]);
    expect(meant('fed', cat, dog)).toEqual(['cat.fed', 'dog.fed']);
    expect(meant('cat_fed', cat, dog)).toEqual(['cat.fed']);
    expect(meant('born', cat, dog)).toEqual(['cat.born']);
  });

  it('a later event never takes over the name of an earlier one in silence', () => {
    const [cat, dog] = [
      aggregate('cat', [], { fed: null }),
      aggregate('dog', [], { fed: null, cat_fed: null }),
    ];
    expect(meant('cat_fed', cat, dog)).toEqual(['dog.cat_fed', 'cat.fed']);
    const long = aggregate('a'.repeat(40), [], { ['e'.repeat(40)]: null });
    expect(meant(`${'a'.repeat(40)}_${'e'.repeat(40)}`, long, { ...long, type: 'b' })).toEqual([]);
  });

  it('have the fields the event may carry', () => {
    const names = (definition: AggregateDefinition): string[] => {
      const [event] = definition.events;
      if (event === undefined) throw new Error('no event');
      return eventColumns({ aggregate: definition, event }).map(({ name }) => name);
    };
    const tail = [
      'event_id',
      'metadata',
      'expected_version',
      'version',
      'position',
      'recorded_at',
      'actor',
      'event_hash',
    ];
    expect(names(aggregate('a', ['x', 'y'], { e: null }))).toEqual(['aggregate_id', 'x', 'y', ...tail]);
    expect(names(aggregate('a', ['x', 'y'], { e: ['y'] }))).toEqual(['aggregate_id', 'y', ...tail]);
    expect(names({ ...aggregate('a', ['x', 'y'], { e: ['y'] }), open: true })).toEqual([
      'aggregate_id',
      'x',
      'y',
      ...tail,
    ]);
    expect(names(aggregate('a', ['event_hash'], { e: null }))).toEqual([
      'aggregate_id',
      'event_hash',
      ...tail.slice(0, -1),
    ]);
  });
});
