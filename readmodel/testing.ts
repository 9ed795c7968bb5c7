import pg from 'pg';
import type {
  AggregateDefinition,
  CommittedEvent,
  CommittedGroup,
  Fields,
  ProjectionSource,
  Schema,
  StateRow,
} from '../engine/types.js';
import type { ReadModel } from './index.js';

/** An engine in memory, as much of it as the projector needs. For tests only. */
export class FakeSource implements ProjectionSource {
  readonly listeners = new Set<(group: CommittedGroup) => void>();
  readonly states = new Map<string, StateRow>();
  readonly events: CommittedEvent[] = [];
  position = 0n;
  current: Schema = { revision: 0, aggregates: new Map(), views: new Map() };
  /** How often changedSince was asked. */
  catchUps = 0;

  constructor(readonly storeId: string) {}

  committedPosition(): bigint {
    return this.position;
  }
  schema(): Schema {
    return this.current;
  }
  onCommit(listener: (group: CommittedGroup) => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }
  changedSince(position: bigint): { through: bigint; batches: AsyncIterable<readonly StateRow[]> } {
    this.catchUps += 1;
    return {
      through: this.position,
      batches: batched([...this.states.values()].filter((s) => s.position > position)),
    };
  }
  /** Of a source that is never another one. */
  leaf = 'leaf';

  async leafAt(position: bigint): Promise<string> {
    return position === 0n ? '' : `${this.leaf} ${position}`;
  }
  async *eventsBetween(after: bigint, through: bigint): AsyncGenerator<readonly CommittedEvent[]> {
    yield this.events.filter(({ position }) => position > after && position <= through);
  }
  allStates(type: string): AsyncIterable<readonly StateRow[]> {
    return batched([...this.states.values()].filter((state) => state.aggregateType === type));
  }

  /** Declares or changes a type; `tell` false: as when nobody listened. */
  define(definition: AggregateDefinition): void {
    const aggregates = new Map(this.current.aggregates).set(definition.type, definition);
    this.current = { ...this.current, revision: this.current.revision + 1, aggregates };
    this.tell([], this.current);
  }

  /** One commit with one event for each of `changes`. */
  append(
    type: string,
    changes: readonly (readonly [id: string, fields: Fields])[],
    schema: Schema | null = null,
  ): bigint {
    if (schema !== null) this.current = schema;
    const states = changes.map(([id, fields]) => this.put(type, id, fields));
    this.tell(states, schema);
    return this.position;
  }

  put(type: string, id: string, fields: Fields): StateRow {
    const key = `${type}\0${id}`;
    const before = this.states.get(key);
    this.position += 1n;
    const now = BigInt(Date.UTC(2026, 0, 1)) * 1000n + this.position;
    const state: StateRow = {
      aggregateType: type,
      aggregateId: id,
      version: (before?.version ?? 0n) + 1n,
      position: this.position,
      createdAt: before?.createdAt ?? now,
      updatedAt: now,
      archived: false,
      fields: { ...before?.fields, ...fields },
    };
    this.states.set(key, state);
    return state;
  }

  private tell(states: readonly StateRow[], schema: Schema | null): void {
    const events = states.map(({ position, aggregateType, aggregateId, version }) => {
      return { position, aggregateType, aggregateId, version, eventType: `${aggregateType}_changed` };
    });
    this.events.push(...events);
    const firstPosition = states[0]?.position ?? this.position;
    for (const listener of this.listeners) {
      listener({
        firstPosition,
        lastPosition: this.position,
        leaf: `${this.leaf} ${this.position}`,
        states,
        events,
        schema,
      });
    }
  }
}

async function* batched(states: readonly StateRow[]): AsyncGenerator<readonly StateRow[]> {
  for (let from = 0; from < states.length; from += 1000) yield states.slice(from, from + 1000);
}

export function definition(
  type: string,
  fields: Readonly<Record<string, string>>,
  comment: string | null = null,
): AggregateDefinition {
  const list = Object.entries(fields).map(([name, of]) => ({ name, type: of }));
  return { type, fields: list, events: [], open: false, snapshotThreshold: 25, comment };
}

/** Connects as the role of some grants, as a relayed client would. */
export async function connectAs(model: ReadModel, ...grants: readonly string[]): Promise<pg.Client> {
  const parsed = grants.map((grant) => {
    const [action, aggregateType = '', aggregateId = ''] = grant.split(':');
    return { action: action as 'read' | 'admin', aggregateType, aggregateId };
  });
  const client = new pg.Client({ ...model.connection(await model.roleFor(parsed)) });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}
