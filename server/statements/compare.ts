import type { StateRow } from '../../engine/types.js';
import type { VerifyOptions } from '../../engine/verify/verify.js';
import { stateColumns } from '../../sql/columns.js';
import { quoteName } from '../../sql/names.js';
import { jsonRows } from '../../sql/rewrite.js';
import type { SessionEngine, SessionReadModel } from '../ports.js';
import { stateEncoder } from './rowJson.js';

const IDS = 10_000;

type Beside = { readonly engine: SessionEngine; readonly readModel: SessionReadModel };

/** What a verification of the engine takes from the read model. */
export function readModelFor(services: Beside): Required<Pick<VerifyOptions, 'compare' | 'ids'>> {
  return {
    compare: (states) => compareStates(services, states),
    ids: (type) => idsOf(services.readModel, type),
  };
}

/** All ids of a type that the read model has. */
async function* idsOf(readModel: SessionReadModel, type: string): AsyncGenerator<readonly string[]> {
  const sql = `SELECT aggregate_id FROM public.${quoteName(type)} WHERE aggregate_id > $1 ORDER BY 1 LIMIT ${IDS}`;
  for (let after = ''; ;) {
    const { rows } = await readModel.query(sql, [after]);
    const ids = (rows as { aggregate_id: string }[]).map((row) => row.aggregate_id);
    yield ids;
    const last = ids.at(-1);
    if (last === undefined || ids.length < IDS) return;
    after = last;
  }
}

/**
 * Holds folded states against the read model's rows, both cast to the columns' types by PostgreSQL itself.
 * @returns the first aggregate whose row is another than the fold, or is missing
 */
async function compareStates(
  { engine, readModel }: Beside,
  states: readonly StateRow[],
): Promise<{ state: StateRow; reason: string } | null> {
  await readModel.waitFor(engine.committedPosition());
  const byType = new Map<string, StateRow[]>();
  for (const state of states) {
    const list = byType.get(state.aggregateType);
    if (list === undefined) byType.set(state.aggregateType, [state]);
    else list.push(state);
  }
  const schema = engine.schema();
  for (const [type, rows] of byType) {
    const json = `[${rows.map(stateEncoder(null)).join(',')}]`;
    const columns = stateColumns(type, schema);
    const table = `public.${quoteName(type)}`;
    // A row that has moved on since is not a difference: the fold is of an older version.
    const sql =
      `SELECT f.aggregate_id, p.aggregate_id IS NULL AS missing FROM ${jsonRows('$1::json', columns, 'f')} ` +
      `LEFT JOIN ${table} p ON p.aggregate_id = f.aggregate_id ` +
      `WHERE p.aggregate_id IS NULL OR (p.version <= f.version AND p::text IS DISTINCT FROM ROW(f.*)::${table}::text) LIMIT 1`;
    const found = (await readModel.query(sql, [json])).rows[0] as
      { aggregate_id: string; missing: boolean } | undefined;
    if (found === undefined) continue;
    const state = rows.find((row) => row.aggregateId === found.aggregate_id);
    if (state === undefined) continue;
    const reason = found.missing
      ? 'the read model has no row for it'
      : "the read model's row is not the fold of its events";
    return { state, reason };
  }
  return null;
}
