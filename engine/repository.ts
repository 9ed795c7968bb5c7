/**
 * Reads and seals single records: the store's bytes on one side, the engine's plain records on the other. Every value
 * is opened against the key it was found under, so a record in the wrong place never gets past here.
 */
import { randomBytes } from 'node:crypto';
import type { Keyring } from './crypto/keyring.js';
import { SealKey, Sealer } from './crypto/seal.js';
import {
  AGG_BYTES,
  aggOf,
  Index,
  Prefix,
  metaKey,
  numberKey,
  plainKey,
  prefixRange,
  versionKey,
} from './codec/keys.js';
import * as records from './codec/records.js';
import { DatabaseError, SqlState } from './errors.js';
import { LruMap } from './lru.js';
import { AggregateCursor } from './store/cursor.js';
import type { Entry } from './store/store.js';
import type { WriteBehindStore } from './store/writeBehind.js';
import type { Fields } from './types.js';

const KEY_CACHE = 100_000;
const PROGRESS = metaKey('progress');

/** A head with its state, ready to fold on. Never changed in place. */
export interface Head extends records.HeadRecord {
  readonly agg: Buffer;
  readonly key: SealKey;
  readonly state: Fields;
}

/** An event as stored, opened. */
export interface StoredEvent extends records.EventHeader {
  readonly agg: Buffer;
  readonly body: records.EventBody;
}

export class Repository {
  readonly index: Index;
  private readonly sealer: Sealer;
  private readonly aggregateKeys = new LruMap<string, SealKey>(KEY_CACHE);

  constructor(
    readonly store: WriteBehindStore,
    keyring: Keyring,
  ) {
    this.index = new Index(keyring.indexKey);
    this.sealer = new Sealer(keyring.storeId, keyring.ring, keyring.currentDataKey);
  }

  /** A new aggregate's own key, and the record that keeps it. */
  createAggregateKey(agg: Buffer): { key: SealKey; entry: Entry } {
    const bytes = randomBytes(32);
    const recordKey = plainKey(Prefix.key, agg);
    const key = new SealKey(0, bytes);
    return { key, entry: { key: recordKey, value: this.sealer.seal(recordKey, bytes) } };
  }

  async aggregateKey(agg: Buffer): Promise<SealKey> {
    const name = agg.toString('latin1');
    const cached = this.aggregateKeys.get(name);
    if (cached !== undefined) return cached;
    const recordKey = plainKey(Prefix.key, agg);
    const record = await this.store.get(recordKey);
    if (record === null) throw new DatabaseError(SqlState.dataCorrupted, "an aggregate's key is missing");
    const key = this.openKey(agg, record);
    this.aggregateKeys.set(name, key);
    return key;
  }

  openKey(agg: Buffer, record: Buffer): SealKey {
    return new SealKey(0, this.sealer.open(plainKey(Prefix.key, agg), record));
  }

  // Heads

  headEntry(head: Head): Entry {
    const key = plainKey(Prefix.head, head.agg);
    const state = Buffer.from(JSON.stringify(head.state));
    return { key, value: this.sealer.sealPair(key, head.key, records.encodeHead(head), state) };
  }

  /** @throws DatabaseError XX001 */
  openHeadWith(key: SealKey, agg: Buffer, value: Buffer): Head {
    const recordKey = plainKey(Prefix.head, agg);
    const head = records.decodeHead(this.sealer.openFirst(recordKey, value));
    const state = records.decodeFields(this.sealer.openSecond(recordKey, key, value));
    return { ...head, agg, key, state };
  }

  async openHead(agg: Buffer, value: Buffer): Promise<Head> {
    const head = records.decodeHead(this.sealer.openFirst(plainKey(Prefix.head, agg), value));
    try {
      return this.openHeadWith(await this.aggregateKey(agg), agg, value);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new DatabaseError(SqlState.dataCorrupted, 'the state of an aggregate cannot be read', {
        detail: `aggregate "${head.type}", id "${head.id}", version ${head.version}: ${why}`,
        hint: 'CALL verify() tells more. Keep the data as evidence and restore from a copy.',
      });
    }
  }

  async head(agg: Buffer): Promise<Head | null> {
    const value = await this.store.get(plainKey(Prefix.head, agg));
    return value === null ? null : this.openHead(agg, value);
  }

  async heads(aggs: readonly Buffer[]): Promise<(Head | null)[]> {
    const values = await this.store.getMany(aggs.map((agg) => plainKey(Prefix.head, agg)));
    return Promise.all(
      values.map(async (value, i) => {
        const agg = aggs[i];
        return value === null || agg === undefined ? null : this.openHead(agg, value);
      }),
    );
  }

  /** All heads whose agg starts with `prefix`, in key order, some hundred at a time. */
  async *headBatches(prefix: Buffer = Buffer.alloc(0)): AsyncGenerator<Head[]> {
    const keys = new AggregateCursor(this.store, prefixRange(Prefix.key, prefix));
    try {
      for await (const batch of this.store.batches(prefixRange(Prefix.head, prefix))) {
        const heads: Head[] = [];
        for (const { key, value } of batch) heads.push(await this.openScanned(keys, aggOf(key), value));
        yield heads;
      }
    } finally {
      await keys.close();
    }
  }

  private async openScanned(keys: AggregateCursor, agg: Buffer, value: Buffer): Promise<Head> {
    const [record] = await keys.of(agg);
    try {
      if (record !== undefined) return this.openHeadWith(this.openKey(agg, record.value), agg, value);
    } catch {
      // Met again below, where the error names the aggregate.
    }
    return this.openHead(agg, value);
  }

  // Events

  eventEntry(agg: Buffer, own: SealKey, header: records.EventHeader, body: records.EventBody): Entry {
    const key = versionKey(Prefix.event, agg, header.version);
    return {
      key,
      value: this.sealer.sealPair(key, own, records.encodeEventHeader(header), records.encodeEventBody(body)),
    };
  }

  eventHeader(key: Uint8Array, value: Buffer): records.EventHeader {
    return records.decodeEventHeader(this.sealer.openFirst(key, value));
  }

  async openEvent(key: Uint8Array, value: Buffer): Promise<StoredEvent> {
    const agg = aggOf(key);
    const header = this.eventHeader(key, value);
    const own = await this.aggregateKey(agg);
    return { ...header, agg, body: records.decodeEventBody(this.sealer.openSecond(key, own, value)) };
  }

  openEventWith(own: SealKey, agg: Buffer, key: Uint8Array, value: Buffer): StoredEvent {
    const header = this.eventHeader(key, value);
    return { ...header, agg, body: records.decodeEventBody(this.sealer.openSecond(key, own, value)) };
  }

  async event(agg: Buffer, version: number): Promise<StoredEvent | null> {
    const key = versionKey(Prefix.event, agg, version);
    const value = await this.store.get(key);
    return value === null ? null : this.openEvent(key, value);
  }

  async eventsAt(places: readonly { agg: Buffer; version: number }[]): Promise<(StoredEvent | null)[]> {
    const keys = places.map(({ agg, version }) => versionKey(Prefix.event, agg, version));
    const values = await this.store.getMany(keys);
    return Promise.all(
      values.map(async (value, i) => {
        const key = keys[i];
        return value === null || key === undefined ? null : this.openEvent(key, value);
      }),
    );
  }

  /** A snapshot, if asked for, and the events of versions `from` through `to`, in one read. */
  async segment(
    head: Head,
    snapshotVersion: number | null,
    from: number,
    to: number,
  ): Promise<{ snapshot: records.SnapshotRecord | null; events: (StoredEvent | null)[] }> {
    const { agg, key: own } = head;
    const keys: Buffer[] = [];
    for (let version = from; version <= to; version++) keys.push(versionKey(Prefix.event, agg, version));
    const snapshotKey = snapshotVersion === null ? null : versionKey(Prefix.snapshot, agg, snapshotVersion);
    const values = await this.store.getMany(snapshotKey === null ? keys : [...keys, snapshotKey]);
    const sealed = snapshotKey === null ? null : (values.pop() ?? null);
    return {
      snapshot:
        snapshotKey === null || sealed === null ? null : this.openSnapshotWith(own, snapshotKey, sealed),
      events: values.map((value, i) => {
        const key = keys[i];
        return value === null || key === undefined ? null : this.openEventWith(own, agg, key, value);
      }),
    };
  }

  /** Where a version stands in the total order; null when it is not stored. */
  async positionOf(agg: Buffer, version: number): Promise<number | null> {
    const key = versionKey(Prefix.event, agg, version);
    const value = await this.store.get(key);
    return value === null ? null : this.eventHeader(key, value).position;
  }

  /** The events of one aggregate from version `from` through `to`, in order. */
  async *scanEvents(agg: Buffer, from: number, to: number): AsyncGenerator<StoredEvent> {
    const range = {
      gte: versionKey(Prefix.event, agg, from),
      lt: versionKey(Prefix.event, agg, to + 1),
    };
    for await (const { key, value } of this.store.scan(range)) yield await this.openEvent(key, value);
  }

  // Snapshots

  snapshotEntry(agg: Buffer, own: SealKey, version: number, snapshot: records.SnapshotRecord): Entry {
    const key = versionKey(Prefix.snapshot, agg, version);
    return { key, value: this.sealer.sealPair(key, own, Buffer.alloc(0), records.encodeSnapshot(snapshot)) };
  }

  async openSnapshot(
    agg: Buffer,
    key: Uint8Array,
    value: Buffer,
  ): Promise<records.SnapshotRecord & { version: number }> {
    const snapshot = this.openSnapshotWith(await this.aggregateKey(agg), key, value);
    const version = Number(Buffer.from(key).readBigUInt64BE(1 + AGG_BYTES));
    return { ...snapshot, version };
  }

  openSnapshotWith(own: SealKey, key: Uint8Array, value: Buffer): records.SnapshotRecord {
    return records.decodeSnapshot(this.sealer.openSecond(key, own, value));
  }

  /** The newest snapshot at or before `version`. */
  async snapshotAt(
    agg: Buffer,
    version: number,
  ): Promise<(records.SnapshotRecord & { version: number }) | null> {
    const range = {
      gte: versionKey(Prefix.snapshot, agg, 0),
      lt: versionKey(Prefix.snapshot, agg, version + 1),
      reverse: true,
      limit: 1,
    };
    for await (const { key, value } of this.store.scan(range)) return this.openSnapshot(agg, key, value);
    return null;
  }

  // One-part records

  sealed(key: Buffer, plain: Uint8Array): Entry {
    return { key, value: this.sealer.seal(key, plain) };
  }

  unseal(key: Uint8Array, value: Buffer): Buffer {
    return this.sealer.open(key, value);
  }

  logEntry(first: number, run: readonly Omit<records.LogEntry, 'position'>[]): Entry {
    return this.sealed(numberKey(Prefix.log, first), records.encodeLogRun(run));
  }

  /** The places of positions `from` through `to`, in order. */
  async *scanLog(from: number, to: number): AsyncGenerator<records.LogEntry> {
    // The run that holds `from` starts at or before it.
    const start = (await this.logRunAt(from))?.[0]?.position ?? from;
    const range = { gte: numberKey(Prefix.log, start), lt: numberKey(Prefix.log, to + 1) };
    for await (const { key, value } of this.store.scan(range)) {
      for (const entry of this.openLogRun(key, value))
        if (entry.position >= from && entry.position <= to) yield entry;
    }
  }

  openLogRun(key: Uint8Array, value: Buffer): records.LogEntry[] {
    return records.decodeLogRun(Number(Buffer.from(key).readBigUInt64BE(1)), this.unseal(key, value));
  }

  async logRunAt(position: number): Promise<records.LogEntry[] | null> {
    const range = {
      gte: numberKey(Prefix.log, 0),
      lt: numberKey(Prefix.log, position + 1),
      reverse: true,
      limit: 1,
    };
    for await (const { key, value } of this.store.scan(range)) return this.openLogRun(key, value);
    return null;
  }

  async logAt(position: number): Promise<records.LogEntry | null> {
    const run = await this.logRunAt(position);
    return run?.find((entry) => entry.position === position) ?? null;
  }

  progressEntry(progress: records.Progress): Entry {
    return this.sealed(PROGRESS, records.encodeProgress(progress));
  }

  async progress(): Promise<records.Progress> {
    const value = await this.store.get(PROGRESS);
    if (value === null) return { sequence: 0, position: 0, recordedAt: 0, frontier: [] };
    return records.decodeProgress(this.unseal(PROGRESS, value));
  }
}
