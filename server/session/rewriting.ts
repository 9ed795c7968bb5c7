/** How a read is given to the read model: engine rows and uncommitted appends come as JSON parameters. */
import type { ReadStatement, StateReference } from '../../sql/statement.js';
import { relationColumns, stateColumns, wantedColumns } from '../../sql/columns.js';
import { rewriteRead, type RewrittenRead, type RowTable } from '../../sql/rewrite.js';
import type { PlanNotes } from '../statements/explain/annotate.js';
import { estimateScan, measuredScan, tableScan, type ScanReport } from '../statements/explain/scan.js';
import { relationJson, type RelationContext } from '../statements/relations.js';
import { stateEncoder } from '../statements/rowJson.js';
import type { Parameters } from '../statements/append.js';
import { pastAnswers } from './past.js';
import type { SessionState } from './state.js';

export interface PreparedRead extends RewrittenRead {
  /** Parameters behind the client's own. */
  readonly extra: readonly Buffer[];
  readonly notes: PlanNotes | null;
}

/** The state references that the transaction's own appends change. */
export function overlaid(state: SessionState, read: ReadStatement): readonly StateReference[] {
  // What is prepared outlives the transaction, and is not made anew when it is executed.
  return state.transaction.isPreviewed && read.form !== 'prepare'
    ? read.stateReferences.filter((ref) => state.transaction.states(ref.aggregateType).length > 0)
    : [];
}

function storedColumns(state: SessionState, { aggregateType }: StateReference): ReadonlySet<string> {
  return new Set(stateColumns(aggregateType, state.engine.schema()).map(({ name }) => name));
}

/**
 * The text with every engine relation as a parameter or a table, and with `overlay` the transaction's appends as well.
 */
export function rewrite(
  state: SessionState,
  read: ReadStatement,
  overlay: boolean,
  tables: readonly (RowTable | null)[] = [],
): RewrittenRead {
  const schema = state.transaction.schema();
  const first = read.parameterCount + 1;
  const changed = overlay ? overlaid(state, read) : [];
  const rewritten = rewriteRead(
    read,
    {
      stored: (reference) => storedColumns(state, reference),
      engine: (index) => tables[index] ?? first + index,
      state: (index) => {
        const reference = read.stateReferences[index];
        const at = reference === undefined ? -1 : changed.indexOf(reference);
        return at < 0 ? null : first + read.engineRelations.length + at;
      },
    },
    (relation) =>
      'source' in relation ? relationColumns(relation, schema) : stateColumns(relation.aggregateType, schema),
    (relation) => wantedColumns(relation, schema),
  );
  return rewritten;
}

const NO_ROWS = Buffer.from('[]');

export interface EngineRows {
  /** The JSON of the engine relations, in their order; empty where a table has the rows. */
  readonly json: readonly Buffer[];
  readonly tables: readonly (RowTable | null)[];
  /** For EXPLAIN: what is to be said of them. */
  readonly notes: PlanNotes | null;
}

/** What the engine relations of a read hold. A mere EXPLAIN reads nothing of them. */
export async function engineRows(
  state: SessionState,
  read: ReadStatement,
  parameters: Parameters,
): Promise<EngineRows> {
  const context: RelationContext = {
    engine: state.engine,
    access: state.access,
    schema: state.transaction.schema(),
    parameters,
    timestamp: onceEach((text) => state.timestamp(text)),
    signal: state.signal,
  };
  const json: Buffer[] = [];
  const scans: ScanReport[] = [];
  const answers = await pastAnswers(state, read, context);
  for (const [index, relation] of read.engineRelations.entries()) {
    const answer = answers[index] ?? null;
    if (answer?.kind === 'table') {
      json.push(NO_ROWS);
      scans.push(tableScan(relation, context));
    } else if (read.explain === null) json.push(await relationJson(relation, context));
    else if (read.explain.analyze) {
      const measured = await measuredScan(relation, context, read.explain.timing, answer);
      json.push(measured.json);
      scans.push(measured.report);
    } else {
      json.push(NO_ROWS);
      scans.push(await estimateScan(relation, context, answer));
    }
  }
  const { explain, stateReferences: references } = read;
  const tables = answers.map((answer) => (answer?.kind === 'table' ? answer.table : null));
  return { json, tables, notes: explain === null ? null : { format: explain.format, scans, references } };
}

/** One text means one time throughout a statement, and is read once. */
function onceEach(read: (text: string) => Promise<bigint>): (text: string) => Promise<bigint> {
  const known = new Map<string, Promise<bigint>>();
  return (text) => {
    const time = known.get(text) ?? read(text);
    known.set(text, time);
    return time;
  };
}

/** The JSON of the transaction's own states, for the references it overlays. */
export function overlayRows(state: SessionState, read: ReadStatement): string[] {
  return overlaid(state, read).map(({ aggregateType }) => {
    const rows = state.transaction
      .states(aggregateType)
      .filter((row) => state.access.canRead(row.aggregateType, row.aggregateId));
    return `[${rows.map(stateEncoder(null)).join(',')}]`;
  });
}

/** A read in one go: text and extra parameters. */
export async function prepareRead(
  state: SessionState,
  read: ReadStatement,
  parameters: Parameters,
): Promise<PreparedRead> {
  const { json, tables, notes } = await engineRows(state, read, parameters);
  const rewritten = rewrite(state, read, true, tables);
  return {
    ...rewritten,
    extra: [...json, ...overlayRows(state, read).map((text) => Buffer.from(text))],
    notes,
  };
}

/** A read without parameters, the rows standing in its text (COPY takes none). */
export async function inlineRead(state: SessionState, read: ReadStatement): Promise<RewrittenRead> {
  const schema = state.transaction.schema();
  const { json: engine, tables } = await engineRows(state, read, () => null);
  const changed = overlaid(state, read);
  const own = overlayRows(state, read);
  return rewriteRead(
    read,
    {
      stored: (reference) => storedColumns(state, reference),
      engine: (index) => tables[index] ?? engine[index]?.toString() ?? '[]',
      state: (index) => {
        const reference = read.stateReferences[index];
        return reference === undefined ? null : (own[changed.indexOf(reference)] ?? null);
      },
    },
    (relation) =>
      'source' in relation ? relationColumns(relation, schema) : stateColumns(relation.aggregateType, schema),
    (relation) => wantedColumns(relation, schema),
  );
}
