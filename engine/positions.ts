import { numberKey, Prefix } from './codec/keys.js';
import { decodeLogRun, encodeLogRun, type LogEntry } from './codec/records.js';
import type { Sealer } from './crypto/seal.js';
import type { Entry, Store } from './store/store.js';

/** The total order as it is stored: which event stands at which position, in runs. */
export class Positions {
  constructor(
    private readonly store: Store,
    private readonly sealer: Sealer,
  ) {}

  /** The record of a run of one commit that begins at position `first`. */
  entry(first: number, recordedAt: number, run: readonly Omit<LogEntry, 'position' | 'recordedAt'>[]): Entry {
    const key = numberKey(Prefix.log, first);
    return { key, value: this.sealer.seal(key, encodeLogRun(recordedAt, run)) };
  }

  /** @throws DatabaseError XX001 */
  openRun(key: Uint8Array, value: Buffer): LogEntry[] {
    return decodeLogRun(Number(Buffer.from(key).readBigUInt64BE(1)), this.sealer.open(key, value));
  }

  /** What stands at positions `from` through `to`, in order. */
  async *scan(from: number, to: number): AsyncGenerator<LogEntry> {
    // The run that holds `from` starts at or before it.
    const start = (await this.runAt(from))?.[0]?.position ?? from;
    const range = { gte: numberKey(Prefix.log, start), lt: numberKey(Prefix.log, to + 1) };
    for await (const { key, value } of this.store.scan(range)) {
      for (const entry of this.openRun(key, value))
        if (entry.position >= from && entry.position <= to) yield entry;
    }
  }

  async at(position: number): Promise<LogEntry | null> {
    const run = await this.runAt(position);
    return run?.[position - (run[0]?.position ?? 0)] ?? null;
  }

  /** The run that holds a position, or the one before it. */
  private async runAt(position: number): Promise<LogEntry[] | null> {
    const range = {
      gte: numberKey(Prefix.log, 0),
      lt: numberKey(Prefix.log, position + 1),
      reverse: true,
      limit: 1,
    };
    for await (const { key, value } of this.store.scan(range)) return this.openRun(key, value);
    return null;
  }
}
