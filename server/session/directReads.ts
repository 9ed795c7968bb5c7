/**
 * Reads of one aggregate by its id that the engine answers without the read model. The answer is the same to the byte:
 * the result's description comes from the read model, asked once per statement, and where a value would be printed in
 * another way than it is stored, the read is relayed like all others.
 */
import { fieldOf } from '../../engine/fold.js';
import type { AggregateDefinition, AsOf, StateRow } from '../../engine/types.js';
import { stateColumns } from '../../sql/columns.js';
import type { PointRead, Statement } from '../../sql/statement.js';
import { encodeRowDescription, type RowField } from '../protocol/backend/row.js';
import type { Format } from '../protocol/bytes.js';
import { formatAt, type Bind } from '../protocol/frontend/bind.js';
import { operandValue, type Parameters } from '../statements/append.js';
import { timestampText, type Column } from '../statements/result.js';
import { printedValue } from '../values/stored.js';
import { TypeOid } from '../values/types.js';
import { hasBinaryFormat } from '../values/values.js';
import { parametersOf } from './binding.js';
import { hasSameFields, type LocalPortal, type Prepared } from './prepared.js';
import type { SessionState } from './state.js';

type NumberedAsOf = Exclude<AsOf, { readonly kind: 'timestamp' }>;

/** What the read model says of a statement. */
export interface Description {
  readonly parameterTypes: readonly number[];
  readonly fields: readonly RowField[];
}

interface Known extends Description {
  readonly columns: readonly Column[];
  /** A column's text depends on DateStyle or TimeZone. */
  readonly isTimed: boolean;
  /** RowDescriptions by the formats asked for. */
  readonly descriptions: Map<string, Buffer>;
  /** The read model that said it; another has other table OIDs. */
  readonly pid: number | null;
}

/** Statements remembered for one state of an aggregate's definition. */
const KNOWN_MAX = 1000;
/** A longer text is not remembered. */
const TEXT_MAX = 8192;
/** Results may be asked for in many mixtures of formats; clients use one or two. */
const DESCRIPTIONS_MAX = 16;

/** By definition, which is another object after each change: so nothing outlives what it was said of. */
const known = new WeakMap<AggregateDefinition, Map<string, Known>>();

/** What was found last for a prepared statement. */
const found = new WeakMap<Prepared, { readonly definition: AggregateDefinition; readonly known: Known }>();

const TEXT_TYPES: ReadonlySet<number> = new Set([TypeOid.text, TypeOid.varchar]);
const NONE: readonly never[] = [];

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
    return found !== undefined && this.holds(found) ? found : null;
  }

  /** While the read model is down, what the one before it said: the row is the same, and nobody else could tell. */
  private holds(known: Known): boolean {
    const { pid } = this.state.services.readModel;
    return pid === null || known.pid === pid;
  }

  /** As `known`, without putting the key together each time. */
  private knownOf(prepared: Prepared, point: PointRead): Known | null {
    const definition = this.definition(point);
    const last = found.get(prepared);
    if (definition === undefined || last?.definition !== definition || !this.holds(last.known)) {
      const { aggregateType, columns } = point;
      // What the client was told is another result; who has that statement, or still knows what it was, has to answer.
      if (columns === null && !hasSameFields(prepared, aggregateType, this.state.engine.schema()))
        return null;
      const known = this.known(prepared.statement, prepared.givenTypes);
      if (definition !== undefined && known !== null) found.set(prepared, { definition, known });
      return known;
    }
    return this.sees(point) ? last.known : null;
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
    // A text whose * was written out when it was prepared may show fewer than there are by now.
    if (complete.length !== fields.length || (point.columns === null && fields.length !== all.size)) return;
    const statements = known.get(definition) ?? new Map<string, Known>();
    if (statements.size >= KNOWN_MAX) statements.clear();
    const { pid } = this.state.services.readModel;
    statements.set(keyOf(statement, givenTypes), {
      parameterTypes,
      fields,
      columns: complete,
      isTimed: complete.some(({ type }) => type.startsWith('timestamp') || type === 'date'),
      descriptions: new Map(),
      pid,
    });
    known.set(definition, statements);
  }

  /** The portal with its answer, at once where the engine has it at hand; null where the read model has to give it. */
  bind(message: Bind, prepared: Prepared): LocalPortal | null | Promise<LocalPortal | null> {
    const { state } = this;
    const point = pointOf(prepared.statement);
    if (point === null || state.explicit || state.failed || !state.transaction.isEmpty) return null;
    const said = this.knownOf(prepared, point);
    if (said === null || !fits(message, said)) return null;
    const parameters = parametersOf(message, said.parameterTypes);
    if (!wantsTheRow(point, parameters)) return null;
    const id = operandValue(point.id, parameters);
    const asOf = point.asOf === null ? null : asOfOf(point, parameters);
    if (asOf === undefined) return null;
    if (id === null) return this.portal(message, prepared, said, null);
    if (asOf?.kind === 'position') return this.bindLater(message, prepared, said, this.at(point, id, asOf));
    const { engine } = state;
    const version = asOf?.version ?? null;
    const now = engine.stateNow(point.aggregateType, id, version);
    return now === undefined
      ? this.bindLater(message, prepared, said, engine.state(point.aggregateType, id, version))
      : this.portal(message, prepared, said, now);
  }

  private async bindLater(
    message: Bind,
    prepared: Prepared,
    said: Known,
    row: Promise<StateRow | null>,
  ): Promise<LocalPortal | null> {
    return this.portal(message, prepared, said, await row);
  }

  private async at(point: PointRead, id: string, asOf: AsOf): Promise<StateRow | null> {
    const { engine, signal } = this.state;
    for await (const rows of engine.states(point.aggregateType, [id], asOf, signal)) return rows[0] ?? null;
    return null;
  }

  private portal(
    { resultFormats }: Bind,
    prepared: Prepared,
    said: Known,
    row: StateRow | null,
  ): LocalPortal | null {
    const values = row === null ? null : this.values(row, said);
    if (row !== null && values === null) return null;
    const { columns } = said;
    return {
      kind: 'local',
      prepared,
      parameters: NONE,
      resultFormats,
      executed: false,
      suspended: null,
      direct: {
        description: descriptionOf(said, resultFormats),
        result:
          values === null
            ? { columns, rows: NONE, tag: 'SELECT 0' }
            : { columns, rows: [values], tag: 'SELECT 1' },
      },
    };
  }

  /** The row as PostgreSQL prints it; null where only PostgreSQL knows how. */
  private values(row: StateRow, { columns, isTimed }: Known): (string | null)[] | null {
    // A SET on its way there may change how times are printed.
    if (isTimed && (!this.state.printsIsoInUtc || this.state.openRelay?.busy === true)) return null;
    const values: (string | null)[] = [];
    for (const { name, type } of columns) {
      const own = this.ownValue(row, name);
      const stored = own === undefined ? fieldOf(row.fields, name) : own;
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

/** Written once for all that ask for the same formats. */
function descriptionOf({ fields, descriptions }: Known, formats: readonly Format[]): Buffer {
  const key = formats.join();
  const written = descriptions.get(key);
  if (written !== undefined) return written;
  const description = encodeRowDescription(
    fields.map((field, i) => ({ ...field, format: formatAt(formats, i) })),
  );
  if (descriptions.size >= DESCRIPTIONS_MAX) descriptions.clear();
  descriptions.set(key, description);
  return description;
}

/** Whether LIMIT and OFFSET leave one row as it is. What they say otherwise, or NULL, is the read model's to judge. */
function wantsTheRow({ limit, offset }: PointRead, parameters: Parameters): boolean {
  const most = limit === null ? '1' : operandValue(limit, parameters);
  const before = offset === null ? '0' : operandValue(offset, parameters);
  return /^[1-9]\d{0,17}$/.test(most ?? '') && before === '0';
}

/** The moment to look back to; undefined for what the read model's path has to judge. */
function asOfOf({ asOf }: PointRead, parameters: Parameters): NumberedAsOf | undefined {
  const text = asOf === null ? null : operandValue(asOf.operand, parameters);
  if (asOf === null || text === null || asOf.kind === 'timestamp' || !/^\d{1,18}$/.test(text))
    return undefined;
  const number = BigInt(text);
  return asOf.kind === 'version'
    ? { kind: 'version', version: number }
    : { kind: 'position', position: number };
}
