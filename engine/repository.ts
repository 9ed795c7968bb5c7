/**
 * Reads and seals single records: the store's bytes on one side, the engine's plain records on the other. Every value
 * is opened against the key it was found under, so a record in the wrong place never gets past here.
 */
import type { Keyring } from './crypto/keyring.js';
import { SealKey, Sealer } from './crypto/seal.js';
import { EventIds } from './codec/eventIds.js';
import { aggOf, Index, Prefix, metaKey, plainKey, versionKey, versionOf } from './codec/keys.js';
import { Names } from './codec/names.js';
import * as records from './codec/records.js';
import { randomPool } from './crypto/random.js';
import { Dictionary } from './dictionary.js';
import { DatabaseError, SqlState } from './errors.js';
import type { LeafParts } from './hashes.js';
import { HeadScans } from './headScans.js';
import { RecentEvents } from './cache/recentEvents.js';
import { RecentMap } from './cache/recent.js';
import { Positions } from './positions.js';
import type { Entry, StoredEntry } from './store/store.js';
import type { WriteBehindStore } from './store/writeBehind.js';
import type { Fields } from './types.js';

const IDENTITY_CACHE = 100_000;
const PROGRESS = metaKey('progress');

/** Whose records these are, and the key that opens them. */
export interface Identity {
  readonly agg: Buffer;
  readonly type: string;
  readonly id: string;
  readonly key: SealKey;
}

type Name = Pick<Identity, 'type' | 'id'>;

/** A head with its state, ready to fold on. Never changed in place. */
export interface Head extends Identity, Omit<records.HeadRecord, 'key'> {}

/** A state without what only the commit loop needs of a head. */
export type PlainState = Omit<Head, 'agg' | 'key' | 'frontier'>;

/** The latest state of an aggregate, and its place in the store. */
export interface Placed {
  readonly agg: Buffer;
  readonly state: PlainState;
}

/** An event as stored, opened. */
export interface StoredEvent extends LeafParts {
  readonly agg: Buffer;
  readonly key: SealKey;
  readonly position: number;
  readonly metadata: string | null;
  readonly fields: Fields;
}

/** What of a keyring records are read with. */
export type RecordKeys = Pick<Keyring, 'storeId' | 'indexKey' | 'ring' | 'currentDataKey'>;

/** The same as plain data. */
export interface PlainKeys {
  readonly storeId: Uint8Array;
  readonly indexKey: Uint8Array;
  /** The data keys, by their numbers. */
  readonly ring: readonly (readonly [number, Uint8Array])[];
}

export class Repository {
  readonly index: Index;
  readonly eventIds: EventIds;
  readonly names = new Names();
  readonly dictionary: Dictionary;
  readonly positions: Positions;
  readonly scans: HeadScans;
  readonly recentEvents = new RecentEvents();
  private readonly sealer: Sealer;
  private readonly identities = new RecentMap<string, Identity>(IDENTITY_CACHE);

  constructor(
    readonly store: WriteBehindStore,
    private readonly keys: RecordKeys,
  ) {
    this.index = new Index(keys.indexKey);
    this.eventIds = new EventIds(keys.indexKey);
    this.sealer = new Sealer(keys.storeId, keys.ring, keys.currentDataKey);
    this.positions = new Positions(store, this.sealer);
    this.scans = new HeadScans(this);
    this.dictionary = new Dictionary(store, this.sealer, this.names);
  }

  /** What another thread reads the same records with. */
  plainKeys(): PlainKeys {
    const { storeId, indexKey, ring } = this.keys;
    return { storeId, indexKey, ring: [...ring.values()].map(({ id, bytes }) => [id, bytes]) };
  }

  // Identities

  /** The key of a new aggregate; its head keeps it. */
  newKey(): SealKey {
    return new SealKey(0, randomPool.take(32));
  }

  /** From the head, whatever its state is. @throws DatabaseError XX001 */
  async identity(agg: Buffer): Promise<Identity> {
    const name = agg.toString('latin1');
    const cached = this.identities.get(name);
    if (cached !== undefined) return cached;
    const recordKey = plainKey(Prefix.head, agg);
    const record = await this.store.get(recordKey);
    if (record === null) throw new DatabaseError(SqlState.dataCorrupted, "an aggregate's head is missing");
    const plain = this.sealer.openBriefly(recordKey, record);
    const { type, id, key } = records.decodeIdentity(this.names, plain);
    const identity = { agg, type, id, key: new SealKey(0, key) };
    this.identities.set(name, identity);
    return identity;
  }

  // Heads

  headEntry(head: Head): StoredEntry {
    const key = plainKey(Prefix.head, head.agg);
    return { key, value: this.sealer.seal(key, records.encodeHead(this.names, head.key.bytes, head)) };
  }

  /** @throws DatabaseError XX001 */
  openHead(recordKey: Uint8Array, value: Buffer, whose?: Name): Head {
    const open = (): records.HeadRecord =>
      records.decodeHead(this.names, this.sealer.openBriefly(recordKey, value));
    const head = readable(open, whose);
    const { type, id, version, position, createdAt, updatedAt, archived, frontier, state } = head;
    const [agg, key] = [aggOf(recordKey), new SealKey(0, head.key)];
    // Written out: a spread is several times slower.
    return { agg, type, id, key, version, position, createdAt, updatedAt, archived, frontier, state };
  }

  /** The part of a head that readers see. @throws DatabaseError XX001 */
  openState(recordKey: Uint8Array, value: Buffer, whose?: Name): PlainState {
    const open = (): PlainState =>
      records.decodeHeadState(this.names, this.sealer.openBriefly(recordKey, value));
    return readable(open, whose);
  }

  /** @param whose the name it was asked for by, for the error. @throws DatabaseError XX001 */
  async head(agg: Buffer, whose?: Name): Promise<Head | null> {
    const key = plainKey(Prefix.head, agg);
    const value = await this.store.get(key);
    return value === null ? null : this.openHead(key, value, whose);
  }

  /** @throws DatabaseError XX001 when one of them cannot be read */
  async heads(aggs: readonly Buffer[]): Promise<(Head | null)[]> {
    const keys = aggs.map((agg) => plainKey(Prefix.head, agg));
    const values = await this.store.getMany(keys);
    return keys.map((key, i) => {
      const value = values[i] ?? null;
      return value === null ? null : this.openHead(key, value);
    });
  }

  // Events

  /**
   * The event sealed; what it says is kept in memory beside, where nobody looks for it before its head is committed.
   * @param givenId null when the event's id was drawn
   */
  eventEntry(event: StoredEvent, givenId: Buffer | null): Entry {
    const key = versionKey(Prefix.event, event.agg, event.version);
    const { position, eventType, actor, recordedAt, metadata, fields } = event;
    const plain = records.encodeEvent(this.names, {
      position,
      eventType,
      actor,
      recordedAt,
      givenId,
      metadata,
      fields,
    });
    this.recentEvents.add(event.agg, event.version, plain);
    return { key, value: this.sealer.sealOwn(key, event.key, plain) };
  }

  async openEvent(key: Uint8Array, value: Buffer): Promise<StoredEvent> {
    return this.openEventWith(await this.identity(aggOf(key)), key, value);
  }

  /** @throws DatabaseError XX001 */
  openEventWith({ agg, type, id, key: own }: Identity, key: Uint8Array, value: Buffer): StoredEvent {
    const record = records.decodeEvent(this.names, this.sealer.openOwn(key, own, value));
    const { position, eventType, actor, recordedAt, givenId, metadata, fields } = record;
    const eventId = givenId ?? this.eventIds.draw(position, recordedAt);
    const version = versionOf(key);
    return {
      agg,
      key: own,
      type,
      id,
      version,
      position,
      eventId,
      eventType,
      actor,
      recordedAt,
      metadata,
      fields,
    };
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

  /** What the events of versions `from` through `to` changed, if all of them are in memory. */
  recentChanges(agg: Buffer, from: number, to: number): records.Change[] | null {
    const kept = this.recentEvents.range(agg, from, to);
    return kept === null ? null : kept.map((plain, i) => records.decodeChange(this.names, from + i, plain));
  }

  /**
   * What the event of version `to` and those before it changed, newest first, as far as they are in memory: down to
   * version `from`, or until `take` wants no more. @returns false where one is missing
   */
  recentBack(agg: Buffer, to: number, from: number, take: (change: records.Change) => boolean): boolean {
    return this.recentEvents.back(agg, to, from, (plain, version) =>
      take(records.decodeChange(this.names, version, plain)),
    );
  }

  /**
   * A snapshot, if asked for, and what the events of versions `from` through `to` changed, in one read of the store for
   * what is not in memory; null for what is not there.
   */
  async segment(
    identity: Identity,
    snapshotVersion: number | null,
    from: number,
    to: number,
  ): Promise<{ snapshot: records.SnapshotRecord | null; changes: (records.Change | null)[] }> {
    const { agg } = identity;
    const recent = this.recentChanges(agg, from, to);
    const keys: Buffer[] = [];
    for (let version = from; recent === null && version <= to; version++)
      keys.push(versionKey(Prefix.event, agg, version));
    const snapshotKey = snapshotVersion === null ? null : versionKey(Prefix.snapshot, agg, snapshotVersion);
    const values = await this.store.getMany(snapshotKey === null ? keys : [...keys, snapshotKey]);
    const sealed = snapshotKey === null ? null : (values.pop() ?? null);
    // What was appended meanwhile is newer, and nothing older may come behind it.
    const isKept = this.recentEvents.newest(agg) < to;
    const change = (value: Buffer, version: number): records.Change => {
      const plain = this.sealer.openOwn(versionKey(Prefix.event, agg, version), identity.key, value);
      if (isKept) this.recentEvents.add(agg, version, plain);
      return records.decodeChange(this.names, version, plain);
    };
    return {
      snapshot:
        snapshotKey === null || sealed === null ? null : this.openSnapshotWith(identity, snapshotKey, sealed),
      changes: recent ?? values.map((value, i) => (value === null ? null : change(value, from + i))),
    };
  }

  /** Where a version stands in the total order; null when it is not stored. */
  async positionOf({ agg, key: own }: Identity, version: number): Promise<number | null> {
    const [recent] = this.recentChanges(agg, version, version) ?? [];
    if (recent !== undefined) return recent.position;
    const key = versionKey(Prefix.event, agg, version);
    const value = await this.store.get(key);
    return value === null ? null : records.decodeEventPosition(this.sealer.openOwn(key, own, value));
  }

  /** The events with these ids, wherever they are. */
  async eventsWithIds(eventIds: readonly Buffer[]): Promise<(StoredEvent | null)[]> {
    const kept = await this.store.getMany(eventIds.map((id) => this.index.eventId(id)));
    return Promise.all(eventIds.map((eventId, i) => this.eventWithId(eventId, kept[i] ?? null)));
  }

  /** @param kept what the index of given ids says */
  private async eventWithId(eventId: Buffer, kept: Buffer | null): Promise<StoredEvent | null> {
    const position = kept === null ? this.eventIds.position(eventId) : kept.readUIntBE(0, 6);
    const entry = position === null ? null : await this.positions.at(position);
    // An id that only looks as if it had been drawn here.
    if (
      kept === null &&
      (entry === null || !this.eventIds.draw(entry.position, entry.recordedAt).equals(eventId))
    )
      return null;
    const event = entry === null ? null : await this.event(entry.agg, entry.version);
    if (event?.eventId.equals(eventId) === true) return event;
    // The drawn id of an event that a client gave another one.
    if (kept === null && event !== null) return null;
    throw new DatabaseError(SqlState.dataCorrupted, 'an event is not where its id says');
  }

  /** Where the event is that a client gave this id. Not sealed: whoever follows it checks where it leads. */
  givenIdEntry(eventId: Buffer, position: number): Entry {
    const value = Buffer.allocUnsafe(6);
    value.writeUIntBE(position, 0, 6);
    return { key: this.index.eventId(eventId), value };
  }

  /** The events of one aggregate from version `from` through `to`, in order. */
  async *scanEvents(identity: Identity, from: number, to: number): AsyncGenerator<StoredEvent> {
    const range = {
      gte: versionKey(Prefix.event, identity.agg, from),
      lt: versionKey(Prefix.event, identity.agg, to + 1),
    };
    for await (const { key, value } of this.store.scan(range)) yield this.openEventWith(identity, key, value);
  }

  // Snapshots

  snapshotEntry(identity: Identity, version: number, snapshot: records.SnapshotRecord): Entry {
    const key = versionKey(Prefix.snapshot, identity.agg, version);
    return {
      key,
      value: this.sealer.sealOwn(key, identity.key, records.encodeSnapshot(this.names, snapshot)),
    };
  }

  openSnapshotWith({ key: own }: Identity, key: Uint8Array, value: Buffer): records.SnapshotRecord {
    return records.decodeSnapshot(this.names, this.sealer.openOwn(key, own, value));
  }

  /** The newest snapshot at or before `version`. */
  async snapshotAt(
    identity: Identity,
    version: number,
  ): Promise<(records.SnapshotRecord & { version: number }) | null> {
    const range = {
      gte: versionKey(Prefix.snapshot, identity.agg, 0),
      lt: versionKey(Prefix.snapshot, identity.agg, version + 1),
      reverse: true,
      limit: 1,
    };
    for await (const { key, value } of this.store.scan(range))
      return { ...this.openSnapshotWith(identity, key, value), version: versionOf(key) };
    return null;
  }

  // Records under the ring

  sealed(key: Buffer, plain: Uint8Array): Entry {
    return { key, value: this.sealer.seal(key, plain) };
  }

  /** For what is kept outside the store. */
  sealedAlone(key: Buffer, plain: Uint8Array): Buffer {
    return this.sealer.sealAlone(key, plain);
  }

  unseal(key: Uint8Array, value: Buffer): Buffer {
    return this.sealer.open(key, value);
  }

  progressEntry(progress: records.Progress): Entry {
    return this.sealed(PROGRESS, records.encodeProgress(progress));
  }

  async progress(): Promise<records.Progress> {
    const value = await this.store.get(PROGRESS);
    if (value === null) return { sequence: 0, position: 0, recordedAt: 0, frontier: '' };
    return records.decodeProgress(this.unseal(PROGRESS, value));
  }
}

function readable<T>(open: () => T, whose?: Name): T {
  try {
    return open();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new DatabaseError(SqlState.dataCorrupted, 'the state of an aggregate cannot be read', {
      detail: whose === undefined ? why : `aggregate "${whose.type}", id "${whose.id}": ${why}`,
      hint: 'CALL verify() tells more. Keep the data as evidence and restore from a copy.',
    });
  }
}
