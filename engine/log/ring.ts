import { readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory } from './files.js';
import type { LogFile, LogFiles } from './files.js';

/** A segment on disk: `0000000000000001.log`, its number in hexadecimal, from 1. */
export interface SegmentFile {
  readonly number: number;
  readonly path: string;
  readonly bytes: number;
}

export interface OpenSegment extends SegmentFile {
  readonly file: LogFile;
}

/** Spare segments kept for reuse; more are deleted. */
const maximumSpares = 4;
const fillBytes = 1024 * 1024;
const namePattern = /^([0-9a-f]{16})\.log$/;

/**
 * The segment files as a ring: a released segment is renamed to follow the last one and overwritten in time, as
 * PostgreSQL does with its WAL. Files are filled with zeros once, so that writing to one never changes the file
 * system's own structures and a sync costs one write.
 *
 * Numbers above `#newest` are spares; they hold no record written for their number. All changes of names run one
 * after the other, each made durable before the next, so that a crash leaves no gap before a segment in use.
 */
export class SegmentRing {
  readonly #directory: string;
  readonly #segmentBytes: number;
  readonly #files: LogFiles;
  /** Number of the segment last taken. */
  #newest = 0;
  /** Spares are numbered newest + 1 … newest + spares. */
  #spares = 0;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(directory: string, segmentBytes: number, files: LogFiles) {
    this.#directory = directory;
    this.#segmentBytes = segmentBytes;
    this.#files = files;
  }

  /** All segments by number. Changes nothing. */
  async list(): Promise<SegmentFile[]> {
    const segments: SegmentFile[] = [];
    for (const name of (await readdir(this.#directory)).sort()) {
      const digits = namePattern.exec(name)?.[1];
      if (digits === undefined) continue;
      const path = join(this.#directory, name);
      segments.push({ number: parseInt(digits, 16), path, bytes: (await stat(path)).size });
    }
    return segments;
  }

  /** Begins behind segment `newest`: numbers the spares (ascending) on from it, deletes those that do not serve. */
  adopt(newest: number, spares: readonly SegmentFile[]): Promise<void> {
    return this.#serially(async () => {
      for (const name of await readdir(this.#directory)) {
        if (name.endsWith('.log.tmp')) await rm(join(this.#directory, name));
      }
      this.#newest = newest;
      this.#spares = 0;
      for (const spare of spares) await this.#keepOrDelete(spare);
    });
  }

  /** The next segment, opened, with room for a record of this many bytes; one too large gets a file of its own. */
  take(recordBytes: number): Promise<OpenSegment> {
    return this.#serially(async () => {
      if (recordBytes > this.#segmentBytes) {
        await this.#makeWay();
        await this.#create(this.#newest + 1, recordBytes);
      } else if (this.#spares === 0) {
        await this.#create(this.#newest + 1, this.#segmentBytes);
      } else {
        this.#spares -= 1;
      }
      this.#newest += 1;
      return this.open({ ...this.#name(this.#newest), bytes: Math.max(recordBytes, this.#segmentBytes) });
    });
  }

  async open(segment: SegmentFile): Promise<OpenSegment> {
    return { ...segment, file: await this.#files.open(segment.path, 'existing') };
  }

  /** Makes a spare in the background if there is none. A failure shows when the segment is taken. */
  prepare(): void {
    const work = this.#serially(async () => {
      if (this.#spares > 0) return;
      await this.#create(this.#newest + 1, this.#segmentBytes);
      this.#spares = 1;
    });
    work.catch(() => undefined);
  }

  /** A segment nobody needs any more becomes a spare or is deleted. */
  recycle(segment: SegmentFile): Promise<void> {
    return this.#serially(() => this.#keepOrDelete(segment));
  }

  /** Resolves once no change of names is under way. */
  async settle(): Promise<void> {
    await this.#queue;
  }

  async #keepOrDelete(segment: SegmentFile): Promise<void> {
    if (segment.bytes === this.#segmentBytes && this.#spares < maximumSpares) {
      const { number, path } = this.#name(this.#newest + this.#spares + 1);
      if (number !== segment.number) await this.#rename(segment.path, path);
      this.#spares += 1;
    } else {
      await rm(segment.path);
      await syncDirectory(this.#directory);
    }
  }

  /** Moves the spares up by one, the last one first. */
  async #makeWay(): Promise<void> {
    for (let spare = this.#newest + this.#spares; spare > this.#newest; spare -= 1) {
      await this.#rename(this.#name(spare).path, this.#name(spare + 1).path);
    }
  }

  /** Under a temporary name until it is whole: a half-filled file is never taken for a segment. */
  async #create(number: number, bytes: number): Promise<void> {
    const { path } = this.#name(number);
    const file = await this.#files.open(`${path}.tmp`, 'create');
    try {
      const zeros = Buffer.alloc(Math.min(fillBytes, bytes));
      for (let offset = 0; offset < bytes; offset += zeros.length) {
        await file.write(zeros.subarray(0, bytes - offset), offset);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await this.#rename(`${path}.tmp`, path);
  }

  async #rename(from: string, to: string): Promise<void> {
    await rename(from, to);
    await syncDirectory(this.#directory);
  }

  #name(number: number): { number: number; path: string } {
    return { number, path: join(this.#directory, `${number.toString(16).padStart(16, '0')}.log`) };
  }

  #serially<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#queue.then(work);
    this.#queue = done.catch(() => undefined);
    return done;
  }
}
