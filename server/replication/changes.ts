/**
 * What the walsender streams, message by message: WAL positions are moved to where a subscriber sees them, and changes of
 * relations the subscription does not cover are left out. PostgreSQL itself checks no grant here. Anything unknown ends
 * the stream: it could be a change.
 *
 * Layout: "Streaming Replication Protocol" and "Logical Replication Message Formats" of PostgreSQL's manual.
 */
import { DatabaseError, SqlState } from '../../engine/errors.js';
import { startMessage } from '../protocol/bytes.js';

const code = (letter: string): number => letter.charCodeAt(0);
const COPY_DATA = code('d');
const XLOG_DATA = code('w');
const KEEPALIVE = code('k');
/** Type byte, start, end and time. */
const XLOG_HEADER_BYTES = 25;
/** Offsets of the positions in a message, behind its type byte. */
const LSN_OFFSETS: ReadonlyMap<number, readonly number[]> = new Map([
  [code('B'), [1]],
  [code('C'), [2, 10]],
  [code('c'), [6, 14]],
]);
const [BEGIN, COMMIT, RELATION, TYPE] = [code('B'), code('C'), code('R'), code('Y')];
const [STREAM_START, STREAM_STOP, STREAM_COMMIT, STREAM_ABORT] = [code('S'), code('E'), code('c'), code('A')];
const CHANGES = new Set(['I', 'U', 'D'].map(code));
/** Transaction id, subtransaction id and the type byte: what a stream abort has before a position, if it has one. */
const ABORT_SHORT_BYTES = 9;

/** Which tables the subscription covers. */
export type Covers = (schema: string, relation: string) => boolean;

function unexpected(what: string): DatabaseError {
  return new DatabaseError(SqlState.internalError, `unexpected ${what} in the replication stream`);
}

export class ChangeFilter {
  private readonly relations = new Map<number, boolean>();
  private streaming = false;
  /** A transaction of which nothing was passed on yet. */
  private heldBegin: Buffer | null = null;
  private lastEnd = 0n;

  constructor(
    private readonly lsnBase: bigint,
    private readonly covers: Covers,
  ) {}

  /** The end of the WAL as far as the subscriber was told. */
  get told(): bigint {
    return this.lastEnd;
  }

  /** The messages to send on for one CopyData, whose bytes are changed. @throws DatabaseError XX000 */
  pass(body: Buffer, raw: Buffer): readonly Buffer[] {
    const type = body[0];
    if (type === KEEPALIVE) {
      if (body.length < 9) throw unexpected('keepalive');
      this.tell(this.move(body, 1));
      return [raw];
    }
    if (type !== XLOG_DATA || body.length <= XLOG_HEADER_BYTES) throw unexpected('message');
    this.move(body, 1);
    const end = this.move(body, 9);
    const passed = this.change(body.subarray(XLOG_HEADER_BYTES), raw);
    if (passed.length > 0) this.tell(end);
    return passed;
  }

  private tell(end: bigint): void {
    if (end > this.lastEnd) this.lastEnd = end;
  }

  private move(bytes: Buffer, at: number): bigint {
    const lsn = bytes.readBigUInt64BE(at);
    // 0 means none.
    if (lsn === 0n) return 0n;
    bytes.writeBigUInt64BE(lsn + this.lsnBase, at);
    return lsn + this.lsnBase;
  }

  private change(message: Buffer, raw: Buffer): readonly Buffer[] {
    const type = message[0] ?? 0;
    for (const at of LSN_OFFSETS.get(type) ?? []) this.move(message, at);
    if (type === BEGIN) {
      this.heldBegin = raw;
      return [];
    }
    if (type === COMMIT) {
      if (this.heldBegin === null) return [raw];
      this.heldBegin = null;
      return [];
    }
    if (type === STREAM_START || type === STREAM_STOP) {
      this.streaming = type === STREAM_START;
      return [raw];
    }
    if (type === STREAM_COMMIT) return [raw];
    if (type === STREAM_ABORT) {
      if (message.length > ABORT_SHORT_BYTES) this.move(message, ABORT_SHORT_BYTES);
      return [raw];
    }
    return this.ofRelation(type, message) ? this.withBegin(raw) : [];
  }

  private ofRelation(type: number, message: Buffer): boolean {
    const at = this.streaming ? 5 : 1;
    if (type === TYPE) return true;
    const id = message.readUInt32BE(at);
    if (type === RELATION) {
      const schemaEnd = message.indexOf(0, at + 4);
      const nameEnd = message.indexOf(0, schemaEnd + 1);
      if (schemaEnd < 0 || nameEnd < 0) throw unexpected('relation message');
      const schema = message.toString('utf8', at + 4, schemaEnd);
      // An empty name stands for pg_catalog.
      const covered = this.covers(schema, message.toString('utf8', schemaEnd + 1, nameEnd));
      this.relations.set(id, covered);
      return covered;
    }
    const covered = this.relations.get(id);
    if (!CHANGES.has(type) || covered === undefined) throw unexpected('change');
    return covered;
  }

  private withBegin(raw: Buffer): readonly Buffer[] {
    const begin = this.heldBegin;
    this.heldBegin = null;
    return begin === null ? [raw] : [begin, raw];
  }
}

const STATUS_UPDATE = code('r');
const STATUS_BYTES = 34;

/**
 * A subscriber's status update with its positions moved back, none beyond what it was told; null for other messages,
 * which a logical walsender has no use for.
 */
export function statusUpdate(
  body: Buffer,
  lsnBase: bigint,
  told: bigint,
): { readonly message: Buffer; readonly flushed: bigint } | null {
  if (body[0] !== STATUS_UPDATE || body.length !== STATUS_BYTES) return null;
  const message = startMessage(COPY_DATA, body.length);
  body.copy(message, 5);
  for (const at of [1, 9, 17]) {
    const seen = body.readBigUInt64BE(at);
    const known = seen > told ? told : seen;
    message.writeBigUInt64BE(known > lsnBase ? known - lsnBase : 0n, 5 + at);
  }
  return { message, flushed: message.readBigUInt64BE(5 + 9) };
}
