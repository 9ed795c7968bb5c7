/** How a read is given to the read model: engine rows and uncommitted appends come as JSON parameters. */
import type { ReadStatement, StateReference } from '../../sql/statement.js';
import { relationColumns, stateColumns } from '../../sql/columns.js';
import { rewriteRead, type RewrittenRead } from '../../sql/rewrite.js';
import { stateEncoder, relationJson } from '../statements/relations.js';
import type { Parameters } from '../statements/append.js';
import type { SessionState } from './state.js';

export interface PreparedRead extends RewrittenRead {
  /** Parameters behind the client's own. */
  readonly extra: readonly string[];
}

/** The state references that the transaction's own appends change. */
export function overlaid(state: SessionState, read: ReadStatement): readonly StateReference[] {
  return state.transaction.isPreviewed
    ? read.stateReferences.filter((ref) => state.transaction.states(ref.aggregateType).length > 0)
    : [];
}

function storedColumns(state: SessionState, { aggregateType }: StateReference): ReadonlySet<string> {
  return new Set(stateColumns(aggregateType, state.engine.schema()).map(({ name }) => name));
}

/** The text with every engine relation as a parameter, and with `overlay` the transaction's appends as well. */
export function rewrite(state: SessionState, read: ReadStatement, overlay: boolean): RewrittenRead {
  const schema = state.transaction.schema();
  const first = read.parameterCount + 1;
  const changed = overlay ? overlaid(state, read) : [];
  const rewritten = rewriteRead(
    read,
    {
      stored: (reference) => storedColumns(state, reference),
      engine: (index) => first + index,
      state: (index) => {
        const reference = read.stateReferences[index];
        const at = reference === undefined ? -1 : changed.indexOf(reference);
        return at < 0 ? null : first + read.engineRelations.length + at;
      },
    },
    (relation) =>
      'source' in relation ? relationColumns(relation, schema) : stateColumns(relation.aggregateType, schema),
  );
  return rewritten;
}

/** The JSON of the engine relations, in their order. */
export async function engineRows(
  state: SessionState,
  read: ReadStatement,
  parameters: Parameters,
): Promise<string[]> {
  const rows: string[] = [];
  for (const relation of read.engineRelations) {
    rows.push(
      await relationJson(relation, {
        engine: state.engine,
        access: state.access,
        schema: state.transaction.schema(),
        parameters,
        timestamp: (text) => state.timestamp(text),
        signal: state.signal,
      }),
    );
  }
  return rows;
}

/** The JSON of the transaction's own states, for the references it overlays. */
export function overlayRows(state: SessionState, read: ReadStatement): string[] {
  const schema = state.transaction.schema();
  return overlaid(state, read).map(({ aggregateType }) => {
    const encode = stateEncoder(schema, aggregateType);
    const rows = state.transaction
      .states(aggregateType)
      .filter((row) => state.access.canRead(row.aggregateType, row.aggregateId));
    return `[${rows.map((row) => `{${encode(row)}}`).join(',')}]`;
  });
}

/** A read in one go: text and extra parameters. */
export async function prepareRead(
  state: SessionState,
  read: ReadStatement,
  parameters: Parameters,
): Promise<PreparedRead> {
  const rewritten = rewrite(state, read, true);
  const extra = [...(await engineRows(state, read, parameters)), ...overlayRows(state, read)];
  return { ...rewritten, extra };
}

/** A read without parameters, the rows standing in its text (COPY takes none). */
export async function inlineRead(state: SessionState, read: ReadStatement): Promise<RewrittenRead> {
  const schema = state.transaction.schema();
  const engine = await engineRows(state, read, () => null);
  const changed = overlaid(state, read);
  const own = overlayRows(state, read);
  return rewriteRead(
    read,
    {
      stored: (reference) => storedColumns(state, reference),
      engine: (index) => engine[index] ?? '[]',
      state: (index) => {
        const reference = read.stateReferences[index];
        return reference === undefined ? null : (own[changed.indexOf(reference)] ?? null);
      },
    },
    (relation) =>
      'source' in relation ? relationColumns(relation, schema) : stateColumns(relation.aggregateType, schema),
  );
}
