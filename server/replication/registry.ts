/**
 * The slots subscribers hold, kept beside the store because the read model can be lost: whose they are, and up to which
 * position of the store their subscriber certainly has everything.
 */
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Engine } from '../../engine/engine.js';
import { DatabaseError, SqlState } from '../../engine/errors.js';
import { MAX_REPLICATION_SLOTS, type WalSample } from '../../readmodel/index.js';

const FILE = 'replication';
const FORMAT = 1;
/** The rest is for temporary slots. */
const MAX_SLOTS = MAX_REPLICATION_SLOTS - 4;
const MAX_SLOTS_PER_HOLDER = MAX_SLOTS / 2;
const SAVE_MS = 5000;
const MAX_SAMPLES = 512;

/** Encrypts the file: it names token holders and aggregate types. */
export type Vault = Pick<Engine, 'sealFile' | 'openFile'>;

/** Everything, or the types a token reads in whole. */
export type Reads = '*' | readonly string[];

export interface Slot {
  readonly name: string;
  /** `type:id` of the token holder who made it. */
  readonly holder: string;
  readonly twoPhase: boolean;
  /** The subscriber has everything up to here, and maybe more. */
  position: bigint;
  /** The read model's incarnation in which the slot misses nothing; null when it may. */
  incarnation: string | null;
  /** WAL samples below this say nothing: what was sent again ends here. */
  samplesFrom: bigint;
  /** Grows each time the slot is made anew. */
  renewals: number;
  /** What was read through publication `eventful`; null before the first time. */
  reads: Reads | null;
}

interface Stored {
  readonly name: string;
  readonly holder: string;
  readonly twoPhase: boolean;
  readonly position: string;
  readonly incarnation: string | null;
  readonly samplesFrom: string;
  readonly renewals: number;
  readonly reads: Reads | null;
}

interface File {
  readonly format: number;
  readonly lsnBase: string;
  readonly slots: readonly Stored[];
}

export class SlotRegistry {
  private readonly slots = new Map<string, Slot>();
  private samples: WalSample[] = [];
  private base: bigint;
  private timer: NodeJS.Timeout | null = null;
  private readonly path: string;

  /** @param directory of the store. @throws DatabaseError F0000 when its file cannot be read */
  constructor(
    directory: string,
    private readonly vault: Vault,
  ) {
    this.path = join(directory, FILE);
    const { lsnBase, slots } = load(this.path, vault);
    this.base = lsnBase;
    for (const slot of slots) this.slots.set(slot.name, slot);
  }

  /** Of the latest read model: an earlier one never had a larger. */
  get lsnBase(): bigint {
    return this.base;
  }

  setLsnBase(lsnBase: bigint): void {
    if (lsnBase === this.base) return;
    this.base = lsnBase;
    this.save();
  }

  get names(): readonly string[] {
    return [...this.slots.keys()];
  }

  get(name: string): Slot | null {
    return this.slots.get(name) ?? null;
  }

  /** @throws DatabaseError 42710 */
  requireFree(name: string): void {
    if (this.slots.has(name))
      throw new DatabaseError(SqlState.duplicateObject, `replication slot "${name}" already exists`);
  }

  /** Stored before it returns. @throws DatabaseError 42710, 53400 */
  add(name: string, holder: string, twoPhase: boolean, position: bigint): Slot {
    this.requireFree(name);
    const own = [...this.slots.values()].filter((slot) => slot.holder === holder).length;
    if (this.slots.size >= MAX_SLOTS || own >= MAX_SLOTS_PER_HOLDER)
      throw new DatabaseError(SqlState.configurationLimitExceeded, 'all replication slots are in use', {
        detail: `There may be ${MAX_SLOTS}, and ${MAX_SLOTS_PER_HOLDER} of one token holder.`,
        hint: 'Drop those of subscribers that are gone: DROP_REPLICATION_SLOT on a replication connection.',
      });
    const slot: Slot = {
      ...{ name, holder, twoPhase, position },
      ...{ incarnation: null, samplesFrom: 0n, renewals: 0, reads: null },
    };
    this.slots.set(name, slot);
    this.save();
    return slot;
  }

  remove(name: string): void {
    if (this.slots.delete(name)) this.save();
  }

  /** Remembers where the WAL stood at a position. */
  sampled(sample: WalSample): void {
    const last = this.samples.at(-1);
    // A rebuild starts over.
    if (last !== undefined && (last.lsn > sample.lsn || last.position > sample.position)) this.samples = [];
    const known = last !== undefined && last.position === sample.position;
    if (known && [...this.slots.values()].every((slot) => slot.samplesFrom <= last.lsn)) return;
    this.samples.push(sample);
    if (this.samples.length > MAX_SAMPLES) this.samples = this.samples.filter((_, index) => index % 2 === 1);
  }

  /** A subscriber has flushed up to a WAL position of this incarnation. */
  flushed(slot: Slot, incarnation: string, lsn: bigint): void {
    if (slot.incarnation !== incarnation) return;
    const found = this.samples.findLast((sample) => sample.lsn <= lsn && sample.lsn >= slot.samplesFrom);
    if (found === undefined || found.position <= slot.position) return;
    slot.position = found.position;
    this.timer ??= setTimeout(() => this.save(), SAVE_MS).unref();
  }

  /** Writes the file as a whole and syncs it. */
  save(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    const stored: Stored[] = [...this.slots.values()].map((slot) => ({
      ...slot,
      position: String(slot.position),
      samplesFrom: String(slot.samplesFrom),
    }));
    const file: File = { format: FORMAT, lsnBase: String(this.base), slots: stored };
    const temporary = `${this.path}.new`;
    const descriptor = openSync(temporary, 'w', 0o600);
    try {
      writeSync(descriptor, this.vault.sealFile(FILE, Buffer.from(JSON.stringify(file))));
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporary, this.path);
  }

  close(): void {
    if (this.timer !== null) this.save();
  }
}

function load(path: string, vault: Vault): { lsnBase: bigint; slots: Slot[] } {
  if (!existsSync(path)) return { lsnBase: 0n, slots: [] };
  try {
    const { format, lsnBase, slots } = JSON.parse(
      vault.openFile(FILE, readFileSync(path)).toString(),
    ) as File;
    if (format !== FORMAT) throw new Error(`format ${format}`);
    const read = slots.map((slot) => ({
      ...slot,
      position: BigInt(slot.position),
      samplesFrom: BigInt(slot.samplesFrom),
    }));
    return { lsnBase: BigInt(lsnBase), slots: read };
  } catch (error) {
    throw new DatabaseError('F0000', `${path} cannot be read`, {
      detail: error instanceof Error ? error.message : String(error),
      hint: 'It holds the replication slots. Without the file every subscriber has to be set up again.',
    });
  }
}
