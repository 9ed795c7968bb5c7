/**
 * Reads the segments from the first record to the last and says how the log ends. Changes nothing on disk.
 *
 * Where no valid record stands at the place it is due, the log ends there: at a place never written, or at a torn
 * write. It is damage instead, if a record behind that place proves that the missing group had been durable (see
 * format.ts), because then it was acknowledged.
 */
import { open, readFile } from 'node:fs/promises';
import { damaged, outOfOrder, seen } from './damage.js';
import { missingGroups } from './failures.js';
import { formatVersion, noTag, readHeader, readRecord, sectorBytes } from './format.js';
import type { RecordHeader, StoredRecord } from './format.js';
import { unknownVersion } from './identity.js';
import type { SegmentFile } from './ring.js';

export interface FilledSegment {
  readonly segment: SegmentFile;
  readonly lastSequence: bigint;
}

export interface WalkEnd {
  /** Where the next record is due; null: the log holds no record. */
  readonly end: { readonly segment: SegmentFile; readonly offset: number } | null;
  /** 0 when the log holds no record. */
  readonly lastSequence: bigint;
  readonly lastTag: Buffer;
  /** Segments before the one of `end`. */
  readonly filled: readonly FilledSegment[];
  /** Segments behind the end, without records in use. */
  readonly spares: readonly SegmentFile[];
  /**
   * Sectors of torn or void records, to be overwritten with zeros before anything is appended. Whatever of them a
   * crash leaves meanwhile is void again.
   */
  readonly cut: readonly { readonly segment: SegmentFile; readonly offset: number }[];
}

/** A record found behind the end of the log. */
interface Stray {
  readonly segment: SegmentFile;
  readonly offset: number;
  readonly header: RecordHeader;
}

/** Yields the records after `afterSequence`, returns how the log ends. Errors: as CommitLog.replay. */
export async function* walk(
  segments: readonly SegmentFile[],
  key: Buffer,
  afterSequence: bigint,
): AsyncGenerator<StoredRecord, WalkEnd> {
  const walker = new Walker(segments, key, afterSequence);
  for (let record = await walker.start(); record !== null; record = await walker.next()) {
    if (record.sequence > afterSequence) yield record;
  }
  return walker.finish();
}

class Walker {
  readonly #segments: readonly SegmentFile[];
  readonly #key: Buffer;
  readonly #after: bigint;
  readonly #filled: FilledSegment[] = [];
  /** Index of the segment and offset in it where the next record is due. */
  #index = 0;
  #offset = 0;
  #last: StoredRecord | null = null;
  #loaded: { index: number; bytes: Buffer } | null = null;

  constructor(segments: readonly SegmentFile[], key: Buffer, after: bigint) {
    this.#segments = segments;
    this.#key = key;
    this.#after = after;
  }

  /** Finds where the chain begins: at the last record that starts it anew, or else in the oldest segment. */
  async start(): Promise<StoredRecord | null> {
    for (let index = this.#segments.length - 1; index > 0; index -= 1) {
      if (!(await this.#saysRestart(index))) continue;
      const record = await this.#read(index, 0);
      if (record === null) continue;
      for (const segment of this.#segments.slice(0, index)) {
        this.#filled.push({ segment, lastSequence: record.sequence - 1n });
      }
      this.#index = index;
      break;
    }
    const first = await this.next();
    if (first !== null && first.sequence > this.#after + 1n) throw missingGroups(this.#after, first.sequence);
    return first;
  }

  /** The next record, checked against the one before; null at the end. */
  async next(): Promise<StoredRecord | null> {
    const segment = this.#segments[this.#index];
    if (segment === undefined) return null;
    const record = await this.#read(this.#index, this.#offset);
    if (record === null) return this.#enterNextSegment();
    if (record.version !== formatVersion) throw unknownVersion(segment.path, record.version);
    if (this.#last !== null && !follows(record, this.#last)) {
      throw outOfOrder(segment, this.#offset, record, this.#last);
    }
    this.#offset += record.bytes;
    this.#last = record;
    return record;
  }

  /** A record that did not fit into the rest of its segment begins the next one. */
  async #enterNextSegment(): Promise<StoredRecord | null> {
    const segment = this.#segments[this.#index];
    const next = this.#segments[this.#index + 1];
    if (segment === undefined || next?.number !== segment.number + 1 || this.#last === null) return null;
    const record = await this.#read(this.#index + 1, 0);
    if (record === null || !follows(record, this.#last)) return null;
    this.#filled.push({ segment, lastSequence: this.#last.sequence });
    this.#index += 1;
    this.#offset = 0;
    return this.next();
  }

  async finish(): Promise<WalkEnd> {
    const segment = this.#segments[this.#index];
    const last = this.#last;
    const strays = await this.#strays();
    if (segment !== undefined) await this.#refuseDamage(segment, strays);
    const voided = strays.map(({ segment, offset }) => ({ segment, offset }));
    const cut = segment !== undefined && !(await this.#isBlank()) ? [{ segment, offset: this.#offset }] : [];
    const behind = last === null ? this.#index : this.#index + 1;
    return {
      end: segment === undefined || last === null ? null : { segment, offset: this.#offset },
      lastSequence: last?.sequence ?? 0n,
      lastTag: Buffer.from(last?.tag ?? noTag),
      filled: this.#filled,
      spares: this.#segments.slice(behind),
      cut: [...cut, ...voided],
    };
  }

  /** All records behind the end that were written for the place where they stand. */
  async #strays(): Promise<Stray[]> {
    const strays: Stray[] = [];
    for (let index = this.#index; index < this.#segments.length; index += 1) {
      const segment = this.#segments[index];
      if (segment === undefined) break;
      let offset = index === this.#index ? this.#offset : 0;
      while (offset < segment.bytes) {
        const header = await this.#read(index, offset);
        if (header !== null) strays.push({ segment, offset, header });
        offset += header?.bytes ?? sectorBytes;
      }
    }
    return strays;
  }

  async #refuseDamage(segment: SegmentFile, strays: readonly Stray[]): Promise<void> {
    const expected = this.#expected(strays);
    const proof = strays.some(
      ({ header }) => header.sequence <= expected || header.durableThrough >= expected,
    );
    const claim = await this.#claim(expected);
    if (proof) {
      const place = claim ?? { segment, offset: this.#offset, header: null };
      throw damaged(place, expected, seen(this.#last, strays[0]?.header ?? null));
    }
    const version = claim?.header.version ?? formatVersion;
    // Version 0 is a header that was torn in the middle.
    if (version !== formatVersion && version !== 0) throw unknownVersion(segment.path, version);
  }

  /** The sequence due at the end. In a log without a first record the strays tell, or else what the store lacks. */
  #expected(strays: readonly Stray[]): bigint {
    if (this.#last !== null) return this.#last.sequence + 1n;
    const first = strays[0]?.header.sequence;
    return first !== undefined && first - 1n < this.#after + 1n ? first - 1n : this.#after + 1n;
  }

  /** The unreadable record that still says it is the expected one: at the end, or at the next segment's start. */
  async #claim(
    expected: bigint,
  ): Promise<{ segment: SegmentFile; offset: number; header: RecordHeader } | null> {
    for (const [index, offset] of [[this.#index, this.#offset] as const, [this.#index + 1, 0] as const]) {
      const segment = this.#segments[index];
      if (segment === undefined) continue;
      const header = readHeader(await this.#load(index), offset);
      if (header?.sequence === expected && header.segment === BigInt(segment.number)) {
        return { segment, offset, header };
      }
    }
    return null;
  }

  /** Looks at the first sector alone: this is asked of every segment. */
  async #saysRestart(index: number): Promise<boolean> {
    const segment = this.#segments[index];
    if (segment === undefined) return false;
    const handle = await open(segment.path, 'r');
    try {
      const { buffer } = await handle.read(Buffer.alloc(sectorBytes), 0, sectorBytes, 0);
      return readHeader(buffer, 0)?.restart ?? false;
    } finally {
      await handle.close();
    }
  }

  async #isBlank(): Promise<boolean> {
    const bytes = await this.#load(this.#index);
    return bytes.subarray(this.#offset, this.#offset + sectorBytes).every((byte) => byte === 0);
  }

  async #read(index: number, offset: number): Promise<StoredRecord | null> {
    const number = this.#segments[index]?.number ?? 0;
    return readRecord(this.#key, await this.#load(index), number, offset);
  }

  async #load(index: number): Promise<Buffer> {
    if (this.#loaded?.index !== index) {
      const segment = this.#segments[index];
      this.#loaded = { index, bytes: segment === undefined ? Buffer.alloc(0) : await readFile(segment.path) };
    }
    return this.#loaded.bytes;
  }
}

function follows(record: StoredRecord, last: StoredRecord): boolean {
  return !record.restart && record.sequence === last.sequence + 1n && record.previousTag.equals(last.tag);
}
