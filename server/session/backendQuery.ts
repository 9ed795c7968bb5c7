/** Questions a session asks the read model for itself, between the client's own messages. */
import { DatabaseError, SqlState } from '../../engine/errors.js';
import type { ReadStatement } from '../../sql/statement.js';
import { errorFromFields, type ErrorFields } from '../protocol/backend/error.js';
import {
  decodeParameterDescription,
  PARAMETER_DESCRIPTION,
} from '../protocol/backend/parameter-description.js';
import { DATA_ROW, ROW_DESCRIPTION, decodeDataRow, decodeRowDescription } from '../protocol/backend/row.js';
import type { Frame } from '../protocol/frames.js';
import { encodeBind } from '../protocol/frontend/bind.js';
import { encodeClose } from '../protocol/frontend/close.js';
import { encodeSync } from '../protocol/frontend/control.js';
import { encodeDescribe } from '../protocol/frontend/describe.js';
import { encodeExecute } from '../protocol/frontend/execute.js';
import { encodeParse } from '../protocol/frontend/parse.js';
import type { Expected, Relay } from '../relay/relay.js';
import type { Parameters } from '../statements/append.js';
import type { PlanNotes } from '../statements/explain/annotate.js';
import { prepareRead } from './rewriting.js';
import { REFRESH_SQL } from './settings.js';
import type { SessionState } from './state.js';
import { MAX_PENDING_EVENTS } from './transaction.js';

/** Names a client is most unlikely to use; each question closes what the one before left. */
const STATEMENT = 'eventful internal';
const PORTAL = 'eventful internal';
/** Bytes of the rows that INSERT … SELECT may append in one statement. */
const MAX_BYTES = 256 * 1024 * 1024;

/** Later than any event, in microseconds since 1970. */
const FOREVER = 2n ** 62n;

export interface QueryRows {
  readonly columns: number;
  readonly rows: (string | null)[][];
}

/** Sends messages of our own and throws the first error; later ones are skipped by the read model until Sync. */
async function exchange(
  relay: Relay,
  messages: readonly (readonly [Expected, Buffer])[],
  look: (frame: Frame) => void,
): Promise<void> {
  let failure: DatabaseError | null = null;
  const sink = {
    message: look,
    error: (fields: ErrorFields): void => {
      failure ??= errorFromFields(fields);
    },
  };
  for (const [kind, bytes] of messages) relay.send(bytes, kind, sink);
  relay.flush();
  await relay.idle();
  if (failure === null) return;
  // The client will be told and will Sync for itself; simple queries have no Sync of their own.
  relay.send(encodeSync(), 'sync', { message: () => undefined, error: () => undefined });
  await relay.idle();
  throw failure as DatabaseError;
}

/** Ends the implicit transaction that a question has opened. */
async function endQuestion(state: SessionState): Promise<void> {
  const relay = state.openRelay;
  if (relay === null) return;
  relay.send(encodeSync(), 'sync', { message: () => undefined, error: () => undefined });
  await relay.idle();
}

/** Runs a statement of our own on the session's connection; rows as text. */
async function ask(
  state: SessionState,
  sql: string,
  types: readonly number[],
  values: readonly (string | Buffer | null)[],
): Promise<QueryRows> {
  await state.relayAnswered();
  const relay = await state.relayReady();
  const rows: (string | null)[][] = [];
  let columns = 0;
  let bytes = 0;
  let tooLarge = false;
  const look = (frame: Frame): void => {
    if (frame.type === ROW_DESCRIPTION) columns = decodeRowDescription(frame.body).length;
    if (frame.type !== DATA_ROW) return;
    bytes += frame.raw.length;
    tooLarge ||= rows.length >= MAX_PENDING_EVENTS || bytes > MAX_BYTES;
    if (!tooLarge) rows.push(decodeDataRow(frame.body).map((value) => value?.toString('utf8') ?? null));
  };
  const parameters = values.map((value) => (typeof value === 'string' ? Buffer.from(value) : value));
  await exchange(
    relay,
    [
      ['close', encodeClose({ target: 'statement', name: STATEMENT })],
      ['parse', encodeParse({ statement: STATEMENT, text: sql, parameterTypes: types })],
      [
        'bind',
        encodeBind({
          portal: PORTAL,
          statement: STATEMENT,
          parameterFormats: [],
          parameters,
          resultFormats: [],
        }),
      ],
      ['describe', encodeDescribe({ target: 'portal', name: PORTAL })],
      ['execute', encodeExecute(PORTAL)],
      ['close', encodeClose({ target: 'portal', name: PORTAL })],
    ],
    look,
  );
  if (tooLarge)
    throw new DatabaseError(
      SqlState.programLimitExceeded,
      'the query returns too many rows to append at once',
    );
  return { columns, rows };
}

/**
 * Runs the query of an INSERT … EVENTS … SELECT; its rows as text.
 * @param explain EXPLAIN and its options: the rows are then the query's plan
 */
export async function runQuery(
  state: SessionState,
  read: ReadStatement,
  parameters: Parameters,
  parameterTypes: readonly number[],
  explain = '',
): Promise<QueryRows & { readonly notes: PlanNotes | null }> {
  await state.waitForReads();
  const { sql, extra, notes } = await prepareRead(state, read, parameters);
  const own = Array.from({ length: read.parameterCount }, (_, i) => parameters(i + 1));
  const types = [
    ...Array.from({ length: read.parameterCount }, (_, i) => parameterTypes[i] ?? 0),
    ...extra.map(() => 114),
  ];
  return { ...(await ask(state, `${explain}${sql}`, types, [...own, ...extra])), notes };
}

/** The types the read model infers for the parameters of a query. */
export async function describeParameters(
  state: SessionState,
  sql: string,
  types: readonly number[],
): Promise<number[]> {
  await state.relayAnswered();
  const relay = await state.relayReady();
  let found: number[] = [];
  await exchange(
    relay,
    [
      ['close', encodeClose({ target: 'statement', name: STATEMENT })],
      ['parse', encodeParse({ statement: STATEMENT, text: sql, parameterTypes: types })],
      ['describe', encodeDescribe({ target: 'statement', name: STATEMENT })],
    ],
    (frame) => {
      if (frame.type === PARAMETER_DESCRIPTION) found = decodeParameterDescription(frame.body);
    },
  );
  return found;
}

/** A timestamp's text as this session's TimeZone and DateStyle read it, in microseconds since 1970. */
export async function readTimestamp(state: SessionState, text: string): Promise<bigint> {
  const infinite = /^\s*([+-]?)infinity\s*$/i.exec(text);
  if (infinite !== null) return infinite[1] === '-' ? 0n : FOREVER;
  const iso = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|\+00(:?00)?)$/.exec(text);
  if (iso !== null) {
    const seconds = Date.parse(`${text.slice(0, 10)}T${text.slice(11, 19)}Z`);
    if (!Number.isNaN(seconds))
      return BigInt(seconds) * 1000n + BigInt((iso[1] ?? '.0').slice(1).padEnd(6, '0'));
  }
  const sql = `SELECT (extract(epoch FROM $1::timestamptz) * 1000000)::bigint`;
  const micros = (await ask(state, sql, [25], [text])).rows[0]?.[0] ?? null;
  if (micros === null)
    throw new DatabaseError(SqlState.invalidDatetimeFormat, 'the timestamp must be a moment in time');
  return BigInt(micros);
}

/** Does the next statement get a snapshot of its own, or one that an earlier statement may have taken? */
export async function readsLatest(state: SessionState): Promise<boolean> {
  const sql = `SELECT current_setting('transaction_isolation')`;
  return ['read committed', 'read uncommitted'].includes((await ask(state, sql, [], [])).rows[0]?.[0] ?? '');
}

/** Learns what functions have done to the settings we act on; again after the transaction that may undo it. */
export async function refreshSettings(state: SessionState): Promise<void> {
  const { settings } = state;
  if (state.openRelay === null || state.failed) return;
  const { rows } = await ask(state, REFRESH_SQL, [], []);
  // An implicit transaction of our own must not stay open behind ReadyForQuery.
  await endQuestion(state);
  settings.refresh(rows[0] ?? []);
  settings.stale = state.explicit;
}
