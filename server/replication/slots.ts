/**
 * Slots of subscribers, through restarts and losses of the read model. A slot is in good standing when PostgreSQL still
 * has it and nothing happened past it; otherwise it is made anew when its subscriber comes back, and everything
 * changed since the position the subscriber certainly has is sent again (docs/decisions/0015-logical-replication.md).
 * Runs on the engine's thread, and is called from those of the sessions.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Engine } from '../../engine/engine.js';
import { DatabaseError, SqlState } from '../../engine/errors.js';
import type { Grant } from '../../engine/types.js';
import {
  MAX_SLOT_WAL_MB,
  type Logger,
  type ReadModel,
  type RoleLogin,
  type Standing,
} from '../../readmodel/index.js';
import type { Opened, Renewal, SessionReplication, SlotUse } from '../ports.js';
import { readsOf, requireNoLess } from './coverage.js';
import { SlotRegistry, type Slot } from './registry.js';

const SAMPLE_MS = 1000;
/** While rows are sent again, the subscriber may lag this many bytes. */
const RESEND_LAG = BigInt(MAX_SLOT_WAL_MB / 2) * 1024n * 1024n;
const PACE_MS = 200;
/** The lag is looked at once in so many transactions. */
const PACE_EVERY = 20;
const ATTEMPTS = 3;
/** More WAL than a read model writes in its life: 1 TiB. */
const BASE_STEP = 1n << 40n;

interface SlotServices {
  readonly engine: Engine;
  readonly readModel: ReadModel;
  readonly logger: Logger;
}

export class Slots implements SessionReplication {
  private readonly registry: SlotRegistry;
  private streams = 0;
  private timer: NodeJS.Timeout | null = null;
  private readonly renewing = new Set<string>();

  constructor(
    directory: string,
    private readonly services: SlotServices,
  ) {
    this.registry = new SlotRegistry(directory, services.engine);
  }

  /** Drops what PostgreSQL holds for nobody, and sees to it that WAL positions only grow. */
  async start(): Promise<void> {
    const { replication } = this.services.readModel;
    await replication.dropOtherSlots(this.registry.names);
    const { lsnBase } = await replication.standing();
    const before = this.registry.lsnBase;
    if (lsnBase < before) await replication.raiseBase(before + BASE_STEP);
    this.registry.setLsnBase(lsnBase < before ? before + BASE_STEP : lsnBase);
  }

  close(): void {
    this.pause();
    this.registry.close();
  }

  roleFor(grants: readonly Grant[]): Promise<RoleLogin> {
    return this.services.readModel.replicationRoleFor(grants);
  }

  standing(): Promise<Standing> {
    return this.services.readModel.replication.standing();
  }

  async announce(name: string, holder: string, kind: 'temporary' | 'one' | 'twoPhase'): Promise<Standing> {
    const standing = await this.standing();
    if (kind === 'temporary') this.registry.requireFree(name);
    // Everything applied by now is in the slot's snapshot, so the subscriber's copy begins at least there.
    else this.registry.add(name, holder, kind === 'twoPhase', this.services.readModel.appliedPosition);
    return standing;
  }

  announced(name: string, incarnation: string | null): Promise<void> {
    const slot = this.registry.get(name);
    if (slot === null || slot.renewals > 0) return Promise.resolve();
    if (incarnation === null) this.registry.remove(name);
    else {
      slot.incarnation = incarnation;
      this.registry.save();
    }
    return Promise.resolve();
  }

  async droppable(name: string, holder: string, admin: boolean): Promise<boolean> {
    const slot = this.require(name);
    if (!admin) requireOwn(slot, holder);
    return (await this.services.readModel.replication.slot(name)) !== null;
  }

  dropped(name: string): Promise<void> {
    this.registry.remove(name);
    return Promise.resolve();
  }

  async open({ name, holder, grants, everything }: SlotUse): Promise<Opened> {
    const slot = this.require(name);
    requireOwn(slot, holder);
    if (everything) requireNoLess(slot.reads, grants, name);
    const { engine, readModel } = this.services;
    if (slot.position > engine.committedPosition())
      throw new DatabaseError(
        SqlState.objectNotInPrerequisiteState,
        `the subscriber of slot "${name}" has changes this store does not have`,
        {
          detail: `It has everything up to position ${slot.position}, the store ends at ${engine.committedPosition()}.`,
          hint: 'The store was put back to an earlier state. Drop the subscription, empty its tables and create it anew.',
        },
      );
    const standing = await this.standing();
    const state = await readModel.replication.slot(name);
    const good = state !== null && !state.lost && slot.incarnation === standing.incarnation;
    if (everything) {
      slot.reads = readsOf(grants);
      this.registry.save();
    }
    // In use: PostgreSQL says so itself.
    if (good || state?.active === true) return { ...standing, renewal: null };
    return this.alone(name, () => this.renew(slot));
  }

  async follow(name: string, opened: Renewal, signal: AbortSignal): Promise<void> {
    const slot = this.require(name);
    this.sampleFrom();
    try {
      if (opened.renewal !== null) await this.catchUp(slot, opened, signal);
      if (!signal.aborted) await once(signal, 'abort');
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      this.streams -= 1;
      if (this.streams === 0) this.pause();
    }
  }

  flushed(name: string, incarnation: string, lsn: bigint): Promise<void> {
    const slot = this.registry.get(name);
    if (slot !== null) this.registry.flushed(slot, incarnation, lsn);
    return Promise.resolve();
  }

  private require(name: string): Slot {
    const slot = this.registry.get(name);
    if (slot !== null) return slot;
    throw new DatabaseError(SqlState.undefinedObject, `replication slot "${name}" does not exist`, {
      hint: 'If a subscription was made with it: drop the subscription (SET (slot_name = NONE) first), empty its tables and create it anew.',
    });
  }

  private async alone<T>(name: string, work: () => Promise<T>): Promise<T> {
    if (this.renewing.has(name))
      throw new DatabaseError(SqlState.objectInUse, `replication slot "${name}" is being made anew`);
    this.renewing.add(name);
    try {
      return await work();
    } finally {
      this.renewing.delete(name);
    }
  }

  private async renew(slot: Slot): Promise<Opened> {
    const { replication } = this.services.readModel;
    slot.incarnation = null;
    slot.renewals += 1;
    this.registry.save();
    for (let attempt = 1; ; attempt++) {
      // Not while the read model is being loaded: its rows would go out as new ones.
      await this.services.readModel.waitFor(slot.position);
      const before = await replication.standing();
      await replication.dropSlot(slot.name);
      await replication.createSlot(slot.name, slot.twoPhase);
      const standing = await replication.standing();
      if (standing.incarnation === before.incarnation) return { ...standing, renewal: slot.renewals };
      if (attempt >= ATTEMPTS)
        throw new DatabaseError(SqlState.cannotConnectNow, 'the read model is being rebuilt');
    }
  }

  /** Sends again what the subscriber may lack, while it streams; then the slot is in good standing. */
  private async catchUp(slot: Slot, opened: Renewal, signal: AbortSignal): Promise<void> {
    const { logger, readModel } = this.services;
    const { replication } = readModel;
    logger.info(
      { slot: slot.name, position: String(slot.position) },
      'sending a subscriber what it may lack',
    );
    let count = 0;
    await replication.resend(
      slot.position,
      async () => {
        signal.throwIfAborted();
        if (count++ % PACE_EVERY !== 0) return;
        while (((await replication.slot(slot.name))?.held ?? 0n) > RESEND_LAG)
          await sleep(PACE_MS, undefined, { signal });
      },
      signal,
    );
    const after = await replication.standing();
    signal.throwIfAborted();
    // Made anew once more, or the read model was: then somebody else sends it.
    if (slot.renewals !== opened.renewal || after.incarnation !== opened.incarnation) return;
    slot.samplesFrom = after.walEnd;
    slot.incarnation = opened.incarnation;
    this.registry.save();
  }

  /** A stream runs: the WAL is compared with the store's positions. */
  private sampleFrom(): void {
    this.streams += 1;
    if (this.timer !== null) return;
    this.timer = setInterval(() => void this.sample(), SAMPLE_MS);
    this.timer.unref();
    void this.sample();
  }

  private async sample(): Promise<void> {
    try {
      const sample = await this.services.readModel.replication.sample();
      if (sample !== null) this.registry.sampled(sample);
    } catch {
      // The read model is down; the position a subscriber has is then known a little later.
    }
  }

  private pause(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
  }
}

function requireOwn(slot: Slot, holder: string): void {
  if (slot.holder === holder) return;
  throw new DatabaseError(
    SqlState.insufficientPrivilege,
    `permission denied for replication slot "${slot.name}"`,
    {
      detail: 'It belongs to another token holder.',
      hint: 'Use a token of the same user or service, or another slot.',
    },
  );
}
