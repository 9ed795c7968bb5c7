import type pg from 'pg';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProjectionSource } from '../engine/types.js';
import { table } from './schemaMirror.js';
import { sqlstateOf, type Session } from './session.js';

/** Which slots of the cluster can be trusted, and how its WAL positions look from outside. */
export interface Standing {
  /** Added to every WAL position a subscriber sees, so that a cluster made later is always ahead of an earlier one. */
  readonly lsnBase: bigint;
  /** Changes with every rebuild: a slot made before it lacks what happened meanwhile. */
  readonly incarnation: string;
  /** Where the WAL ends now, without the base. */
  readonly walEnd: bigint;
}

/** A logical slot as PostgreSQL has it. */
export interface SlotState {
  readonly active: boolean;
  /** PostgreSQL has thrown away WAL it would need. */
  readonly lost: boolean;
  /** Bytes of WAL it holds back. */
  readonly held: bigint;
}

/** Everything committed up to `position` is in the WAL before `lsn`. */
export interface WalSample {
  readonly position: bigint;
  readonly lsn: bigint;
}

const DROP_ATTEMPTS = 100;
const DROP_PAUSE_MS = 50;
/** How many aggregates one transaction sends again. */
const RESEND_ROWS = 500;

/** Slots, WAL positions and what has to be sent again: the superuser's side of logical replication. */
export class ReplicationHost {
  constructor(
    private readonly source: ProjectionSource,
    /** Shared with the projector: what it writes and what is sent again never run at the same time. */
    private readonly writing: Session,
    private readonly session: Session,
    private readonly applied: (position: bigint, signal?: AbortSignal) => Promise<void>,
  ) {}

  async standing(): Promise<Standing> {
    const { rows } = await this.session.query(
      `SELECT lsn_base, incarnation, pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS wal_end
       FROM eventful_internal.standing`,
    );
    return {
      lsnBase: BigInt(String(rows[0]?.['lsn_base'])),
      incarnation: String(rows[0]?.['incarnation']),
      walEnd: BigInt(String(rows[0]?.['wal_end'])),
    };
  }

  /** For a cluster whose clock was behind that of an earlier one, before anybody saw a position of it. */
  async raiseBase(lsnBase: bigint): Promise<void> {
    await this.session.query('UPDATE eventful_internal.standing SET lsn_base = $1::numeric', [
      String(lsnBase),
    ]);
  }

  /** null when PostgreSQL has no slot of that name. */
  async slot(name: string): Promise<SlotState | null> {
    const { rows } = await this.session.query(
      `SELECT active, wal_status IS NOT DISTINCT FROM 'lost' AS lost,
         coalesce(pg_wal_lsn_diff(pg_current_wal_insert_lsn(), restart_lsn), 0)::bigint AS held
       FROM pg_replication_slots WHERE slot_name = $1`,
      [name],
    );
    const [row] = rows;
    if (row === undefined) return null;
    return {
      active: row['active'] === true,
      lost: row['lost'] === true,
      held: BigInt(String(row['held'])),
    };
  }

  async createSlot(name: string, twoPhase: boolean): Promise<void> {
    await this.session.query('SELECT pg_create_logical_replication_slot($1, $2, false, $3)', [
      name,
      'pgoutput',
      twoPhase,
    ]);
  }

  /** Harmless when there is none. @throws pg's error 55006 while it is in use */
  async dropSlot(name: string): Promise<void> {
    await this.session.query(
      'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1',
      [name],
    );
  }

  /** Drops the permanent slots nobody knows of. */
  async dropOtherSlots(known: readonly string[]): Promise<void> {
    await this.session.query(
      `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
       WHERE slot_name <> ALL ($1::text[]) AND NOT temporary AND NOT active`,
      [known],
    );
  }

  /** The position is read first: what is committed by then lies before the WAL position read after it. */
  async sample(): Promise<WalSample | null> {
    const { rows } = await this.session.query(
      `SELECT position, pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS lsn FROM eventful_internal.cursor`,
    );
    const [row] = rows;
    if (row === undefined) return null;
    return { position: BigInt(String(row['position'])), lsn: BigInt(String(row['lsn'])) };
  }

  /**
   * Writes every row changed after `position` once more, as a DELETE and an INSERT in one transaction: whether a
   * subscriber has an older row, the same or none, it then has this one.
   * @param paced called between transactions; may wait, or throw to end it
   */
  async resend(position: bigint, paced: () => Promise<void>, signal: AbortSignal): Promise<void> {
    const { through, batches } = this.source.changedSince(position);
    await this.applied(through, signal);
    for await (const states of batches) {
      const byType = new Map<string, Set<string>>();
      for (const { aggregateType, aggregateId } of states) {
        const ids = byType.get(aggregateType) ?? new Set();
        byType.set(aggregateType, ids.add(aggregateId));
      }
      for (const [type, found] of byType) {
        const ids = [...found];
        for (let from = 0; from < ids.length; from += RESEND_ROWS) {
          await paced();
          await this.rewrite(type, ids.slice(from, from + RESEND_ROWS));
        }
      }
    }
  }

  private async rewrite(type: string, ids: readonly string[]): Promise<void> {
    const relation = table(type);
    await this.writing.run((client) =>
      client.query(
        `WITH gone AS (DELETE FROM ${relation} WHERE aggregate_id = ANY ($1::text[]) RETURNING *)
         INSERT INTO ${relation} SELECT * FROM gone`,
        [ids],
      ),
    );
  }
}

/**
 * Before a rebuild: its rows must reach nobody as if they were new, so every slot goes. Those that EventfulDB remembers
 * are made again when their subscriber comes back.
 */
export async function forgetSlots(client: pg.Client): Promise<void> {
  await client.query('UPDATE eventful_internal.standing SET incarnation = gen_random_uuid()::text');
  for (let attempt = 1; ; attempt++) {
    const { rows } = await client.query<{ name: string; pid: number | null }>(
      'SELECT slot_name AS name, active_pid AS pid FROM pg_replication_slots',
    );
    if (rows.length === 0) return;
    try {
      for (const { name, pid } of rows)
        if (pid === null) await client.query('SELECT pg_drop_replication_slot($1)', [name]);
        else await client.query('SELECT pg_terminate_backend($1)', [pid]);
    } catch (error) {
      // Taken, or gone, in between.
      if (!['55006', '42704'].includes(sqlstateOf(error) ?? '') || attempt >= DROP_ATTEMPTS) throw error;
    }
    if (attempt >= DROP_ATTEMPTS) throw new Error('replication slots are in use and cannot be dropped');
    await sleep(DROP_PAUSE_MS);
  }
}
