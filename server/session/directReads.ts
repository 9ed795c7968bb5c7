/**
 * Reads of one aggregate by its id that the engine answers without the read model. The answer is the same to the byte:
 * the result's description comes from the read model, asked once per statement, and where a value would be printed in
 * another way than it is stored, the read is relayed like all others.
 */
import type { AggregateDefinition, AsOf, StateRow } from '../../engine/types.js';
import { stateColumns } from '../../sql/columns.js';
import type { PointRead, Statement } from '../../sql/statement.js';
import type { RowField } from '../protocol/backend/row.js';
import { formatAt, type Bind } from '../protocol/frontend/bind.js';
import { operandValue, type Parameters } from '../statements/append.js';
import { timestampText, type Column, type Result } from '../statements/result.js';
import { printedValue } from '../values/stored.js';
import { TypeOid } from '../values/types.js';
import { hasBinaryFormat } from '../values/values.js';
import { parametersOf } from './binding.js';
import type { LocalPortal, Prepared } from './prepared.js';
import type { SessionState } from './state.js';

/** What the read model says of a statement. */
export interface Description {
  readonly parameterTypes: readonly number[];
  readonly fields: readonly RowField[];
}

interface Known extends Description {
  readonly columns: readonly Column[];
  /** The read model that said it; another has other table OIDs. */
  readonly pid: number | null;
}

/** Statements remembered for one state of an aggregate's definition. */
const KNOWN_MAX = 1000;
/** A longer text is not remembered. */
const TEXT_MAX = 8192;

/** By definition, which is another object after each change: so nothing outlives what it was said of. */
const known = new WeakMap<AggregateDefinition, Map<string, Known>>();

const TEXT_TYPES: ReadonlySet<number> = new Set([TypeOid.text, TypeOid.varchar]);
const UTC = /^(?:(?:Etc\/)?(?:UTC|UCT|Universal|Zulu|GMT|Greenwich)|GMT0)$/i;

function pointOf(statement: Statement): PointRead | null {
  return statement.kind === 'read' ? statement.point : null;
}

function keyOf(statement: Statement, givenTypes: readonly number[]): string {
  return statement.kind === 'read' ? `${givenTypes.join()} ${statement.sql}` : '';
}

export class DirectReads {
  constructor(private readonly state: SessionState) {}

  /** What was learnt of a statement, if it still holds for this session. */
  known(statement: Statement, givenTypes: readonly number[]): Known | null {
    const point = pointOf(statement);
    const definition = point === null ? undefined : this.definition(point);
    if (definition === undefined || !this.sees(point)) return null;
    const found = known.get(definition)?.get(keyOf(statement, givenTypes));
    return found?.pid === this.state.services.readModel.pid ? found : null;
  }

  /** True where it is worth asking the read model for a description. */
  wants(statement: Statement, givenTypes: readonly number[]): boolean {
    const point = pointOf(statement);
    return (
      point !== null &&
      statement.kind === 'read' &&
      statement.sql.length <= TEXT_MAX &&
      this.sees(point) &&
      this.known(statement, givenTypes) === null
    );
  }

  /** Remembers what the read model said, if the engine can answer such a result. */
  learn(statement: Statement, givenTypes: readonly number[], { parameterTypes, fields }: Description): void {
    const point = pointOf(statement);
    const definition = point === null ? undefined : this.definition(point);
    if (point === null || definition === undefined) return;
    const { id } = point;
    if (id.kind === 'parameter' && !TEXT_TYPES.has(parameterTypes[id.number - 1] ?? 0)) return;
    const all = new Map(
      stateColumns(point.aggregateType, this.state.engine.schema()).map((column) => [column.name, column]),
    );
    const columns = (point.columns ?? fields.map(({ name }) => name)).map((name) => all.get(name));
    const complete = columns.filter((column) => column !== undefined);
    if (complete.length !== fields.length) return;
    const statements = known.get(definition) ?? new Map<string, Known>();
    if (statements.size >= KNOWN_MAX) statements.clear();
    const { pid } = this.state.services.readModel;
    statements.set(keyOf(statement, givenTypes), { parameterTypes, fields, columns: complete, pid });
    known.set(definition, statements);
  }

  /** The portal with its answer; null where the read model has to give it. */
  async bind(message: Bind, prepared: Prepared): Promise<LocalPortal | null> {
    const { state } = this;
    const point = pointOf(prepared.statement);
    if (point === null || state.explicit || state.failed || !state.transaction.isEmpty) return null;
    const said = this.known(prepared.statement, prepared.givenTypes);
    if (said === null || !fits(message, said)) return null;
    const parameters = parametersOf(message, said.parameterTypes);
    const id = operandValue(point.id, parameters);
    const asOf = point.asOf === null ? null : asOfOf(point, parameters);
    if (asOf === undefined) return null;
    const row = id === null ? null : await this.read(point.aggregateType, id, asOf);
    const values = row === null ? [] : this.values(row, said.columns);
    if (values === null) return null;
    const result: Result = {
      columns: said.columns,
      rows: row === null ? [] : [values],
      tag: `SELECT ${row === null ? 0 : 1}`,
    };
    const fields = said.fields.map((field, i) => ({ ...field, format: formatAt(message.resultFormats, i) }));
    return {
      kind: 'local',
      prepared,
      parameters: [],
      resultFormats: message.resultFormats,
      executed: false,
      suspended: null,
      direct: { fields, result },
    };
  }

  private async read(type: string, id: string, asOf: AsOf | null): Promise<StateRow | null> {
    const { engine } = this.state;
    if (asOf === null) return engine.state(type, id);
    for await (const rows of engine.states(type, [id], asOf, this.state.signal)) return rows[0] ?? null;
    return null;
  }

  /** The row as PostgreSQL prints it; null where only PostgreSQL knows how. */
  private values(row: StateRow, columns: readonly Column[]): (string | null)[] | null {
    const values: (string | null)[] = [];
    for (const { name, type } of columns) {
      const own = this.ownValue(row, name);
      const stored = own === undefined ? (row.fields[name] ?? null) : own;
      const timed = type.startsWith('timestamp') || type === 'date';
      if (timed && !this.state.printsIso(UTC)) return null;
      const printed = own !== undefined || stored === null ? stored : printedValue(stored, type);
      if (printed === null && stored !== null) return null;
      values.push(printed);
    }
    return values;
  }

  /** The columns every aggregate has; undefined for a field. */
  private ownValue(row: StateRow, name: string): string | undefined {
    switch (name) {
      case 'aggregate_id':
        return row.aggregateId;
      case 'version':
        return String(row.version);
      case 'created_at':
        return timestampText(row.createdAt);
      case 'updated_at':
        return timestampText(row.updatedAt);
      case 'archived':
        return row.archived ? 't' : 'f';
      default:
        return undefined;
    }
  }

  private definition({ aggregateType }: PointRead): AggregateDefinition | undefined {
    return this.state.engine.schema().aggregates.get(aggregateType);
  }

  /** The session sees all aggregates of the type, under their own name. */
  private sees(point: PointRead | null): boolean {
    return point !== null && this.state.plainNames && this.state.access.canReadAll(point.aggregateType);
  }
}

/** Wrong counts and formats without a codec are the read model's to refuse. */
function fits({ parameters, parameterFormats, resultFormats }: Bind, said: Known): boolean {
  if (parameters.length !== said.parameterTypes.length) return false;
  if (parameterFormats.length > 1 && parameterFormats.length !== parameters.length) return false;
  if (resultFormats.length > 1 && resultFormats.length !== said.fields.length) return false;
  return said.fields.every(
    ({ typeOid }, i) => formatAt(resultFormats, i) === 0 || (typeOid !== 0 && hasBinaryFormat(typeOid)),
  );
}

/** The moment to look back to; undefined for what the read model's path has to judge. */
function asOfOf({ asOf }: PointRead, parameters: Parameters): AsOf | undefined {
  const text = asOf === null ? null : operandValue(asOf.operand, parameters);
  if (asOf === null || text === null || asOf.kind === 'timestamp' || !/^\d{1,18}$/.test(text))
    return undefined;
  const number = BigInt(text);
  return asOf.kind === 'version'
    ? { kind: 'version', version: number }
    : { kind: 'position', position: number };
}
