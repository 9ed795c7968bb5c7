/**
 * One connection to the read model for short reads of many sessions. While a batch of reads is there the next one
 * gathers: it goes out in one write, ends with one Sync, and comes back in as few pieces as it fits into. A connection
 * for each session costs PostgreSQL a process to wake, and us a write and a read, for every single read.
 */
import { SqlState } from '../../engine/errors.js';
import { encodeClose } from '../protocol/frontend/close.js';
import { encodeSync } from '../protocol/frontend/control.js';
import { encodeDescribe } from '../protocol/frontend/describe.js';
import { encodeExecute } from '../protocol/frontend/execute.js';
import { encodeParse } from '../protocol/frontend/parse.js';
import type { BackendConnection } from './connect.js';
import { Idleness } from './idleness.js';
import type { Holder, RelayPool } from './pool.js';
import { lostFields, Relay, type Sink } from './relay.js';
import { Sent, type Prepared, type SharedRead } from './sharedRead.js';

/** Reads of one batch. */
const BATCH_MAX = 64;
/** Batches under way at once, so that PostgreSQL need not sleep between them. */
const DEPTH = 4;
/** Who waits longer, for a lock or for a place, reads in another way: nobody has to wait behind others. */
const PATIENCE_MS = 100;
const STATEMENTS_MAX = 500;
/** Many use it, so it is kept for longer than a session's own. */
const IDLE_MS = 30_000;

const IGNORED: Sink = { message: () => undefined, error: () => undefined };
const DESCRIBE = encodeDescribe({ target: 'portal', name: '' });
const EXECUTE = encodeExecute('');
const SYNC = encodeSync();

export class SharedReader implements Holder {
  private relay: Relay | null = null;
  private isOpening = false;
  private isScheduled = false;
  private isWatching = false;
  /** Nothing has come back for so long that nobody waits any more. */
  private isStuck = false;
  /** Batches that came back. */
  private answered = 0;
  private waiting: SharedRead[] = [];
  /** Batches under way, oldest first. */
  private sent: Sent[][] = [];
  /** The one used last comes last. */
  private readonly prepared = new Map<string, Prepared>();
  private names = 0;
  private readonly idleness = new Idleness(IDLE_MS, () => {
    if (!this.giveBack()) return;
    this.pool.release(this);
    this.onIdle();
  });
  private readonly sync: Sink = { message: () => this.synced(), error: () => undefined };

  constructor(
    private readonly connect: () => Promise<BackendConnection>,
    private readonly pool: RelayPool,
    /** Nobody has read for a while. */
    private readonly onIdle: () => void,
  ) {}

  /** The read model has prepared it here, so a Parse of it would succeed. */
  knows(key: string): boolean {
    return this.prepared.get(key)?.isReady === true;
  }

  read(read: SharedRead): void {
    if (this.isStuck) {
      read.done(false);
      return;
    }
    this.waiting.push(read);
    this.watch();
    if (!this.isOpening && this.sent.length < DEPTH) this.schedule();
  }

  giveBack(): boolean {
    if (this.sent.length > 0 || this.waiting.length > 0 || this.isOpening) return false;
    const { relay } = this;
    this.relay = null;
    this.prepared.clear();
    relay?.close();
    return true;
  }

  /** Everybody is sent another way, should nothing come back until the time is up. */
  private watch(): void {
    if (this.isWatching) return;
    this.isWatching = true;
    const { answered } = this;
    setTimeout(() => {
      this.isWatching = false;
      if (this.answered === answered) this.giveUp();
      else if (this.sent.length > 0 || this.waiting.length > 0) this.watch();
    }, PATIENCE_MS).unref();
  }

  private giveUp(): void {
    this.isStuck = this.sent.length > 0;
    for (const batch of this.sent) for (const one of batch) one.leave();
    this.refuse();
  }

  /** What arrives in the same turn of the event loop goes along. */
  private schedule(): void {
    if (this.isScheduled) return;
    if (this.relay === null) {
      void this.open();
      return;
    }
    this.isScheduled = true;
    setImmediate(() => {
      this.isScheduled = false;
      this.send();
    });
  }

  private async open(): Promise<void> {
    this.isOpening = true;
    this.idleness.used();
    try {
      await this.pool.acquire(this);
      const relay: Relay = new Relay(
        await this.connect(),
        () => undefined,
        () => null,
        () => this.lost(relay),
      );
      this.relay = relay;
    } catch {
      this.pool.release(this);
    }
    this.isOpening = false;
    if (this.relay === null) this.refuse();
    else this.send();
  }

  /** Those who wait have to read in another way, and learn there what is wrong. */
  private refuse(): void {
    const refused = this.waiting;
    this.waiting = [];
    for (const read of refused) read.done(false);
  }

  private send(): void {
    const { relay } = this;
    if (relay === null || relay.isLost) {
      this.refuse();
      return;
    }
    if (this.waiting.length === 0 || this.sent.length >= DEPTH) return;
    this.sent.push(this.waiting.splice(0, BATCH_MAX).map((read) => this.sendOne(relay, read)));
    relay.send(SYNC, 'sync', this.sync);
  }

  private sendOne(relay: Relay, read: SharedRead): Sent {
    const sent = new Sent(read);
    const prepared = this.prepare(relay, sent);
    if (read.describesStatement)
      relay.send(encodeDescribe({ target: 'statement', name: prepared.name }), 'describe', sent);
    const bind = read.bind(prepared.name);
    if (bind !== null) this.execute(relay, sent, bind, prepared.beginnings);
    return sent;
  }

  private execute(relay: Relay, sent: Sent, bind: Buffer, beginnings: Map<string, Buffer>): void {
    const formats = sent.read.describes;
    const beginning = formats === null ? undefined : beginnings.get(formats);
    if (beginning !== undefined) relay.send(bind, 'bind', sent.instead(beginning));
    else {
      relay.send(bind, 'bind', sent);
      if (formats !== null) relay.send(DESCRIBE, 'describe', sent.noting(formats, beginnings));
    }
    relay.send(EXECUTE, 'execute', sent);
  }

  private prepare(relay: Relay, sent: Sent): Prepared {
    const { key, sql, types } = sent.read.statement;
    const known = this.prepared.get(key);
    this.prepared.delete(key);
    const prepared = known ?? { name: `s${++this.names}`, isReady: false, beginnings: new Map() };
    this.prepared.set(key, prepared);
    sent.prepared = prepared;
    if (known !== undefined) return known;
    this.forgetOldest(relay);
    relay.send(encodeParse({ statement: prepared.name, text: sql, parameterTypes: types }), 'parse', {
      message: () => (prepared.isReady = true),
      error: (fields) => sent.error(fields),
    });
    return prepared;
  }

  private forgetOldest(relay: Relay): void {
    if (this.prepared.size <= STATEMENTS_MAX) return;
    for (const [key, { name }] of this.prepared) {
      this.prepared.delete(key);
      relay.send(encodeClose({ target: 'statement', name }), 'close', IGNORED);
      return;
    }
  }

  private synced(): void {
    const sent = this.sent.shift() ?? [];
    this.answered++;
    this.isStuck = false;
    const failed = sent.find(({ failure }) => failure !== null);
    const answered = failed === undefined ? sent : sent.slice(0, sent.indexOf(failed) + 1);
    if (failed !== undefined) this.recover(failed, sent.slice(answered.length));
    // Before the next batch: the clients begin their next requests while that is put together.
    for (const one of answered) one.finish();
    this.send();
    this.idleness.used();
    if (this.sent.length === 0) this.pool.touch(this);
  }

  /** After the read that failed nothing was done up to the Sync. */
  private recover(failed: Sent, skipped: readonly Sent[]): void {
    for (const { read, prepared } of [failed, ...skipped])
      if (prepared?.isReady === false && this.prepared.get(read.statement.key) === prepared)
        this.prepared.delete(read.statement.key);
    const { key } = failed.read.statement;
    const prepared = this.prepared.get(key);
    if (prepared !== undefined && isOutdated(failed) && this.relay?.isLost === false) {
      this.prepared.delete(key);
      this.relay.send(encodeClose({ target: 'statement', name: prepared.name }), 'close', IGNORED);
    }
    this.waiting.unshift(...skipped.filter((one) => !one.hasLeft).map(({ read }) => read));
  }

  private lost(relay: Relay): void {
    if (this.relay !== relay) return;
    const sent = this.sent.flat();
    this.relay = null;
    this.sent = [];
    this.isStuck = false;
    this.prepared.clear();
    this.pool.release(this);
    for (const one of sent) {
      one.failure ??= lostFields();
      one.finish();
    }
    this.refuse();
  }
}

/** The relation has other columns now: "cached plan must not change result type". */
function isOutdated({ failure }: Sent): boolean {
  return failure?.get('C') === SqlState.featureNotSupported;
}
