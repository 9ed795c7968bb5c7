/**
 * Most events of a type have the same list of fields, so a list of names too is kept once and stood for by a number,
 * its shape. It gets its number in the group that first uses it, and keeps it for ever.
 */
import { DatabaseError, SqlState } from '../errors.js';
import { ByteReader, ByteWriter } from './bytes.js';

/** Names in all shapes together; lists beyond that are written out where they are used, so memory stays bounded. */
const LISTED_MAX = 100_000;
/** A longer list is written out. */
const LIST_MAX = 128;
/** In place of a number: the list itself follows. */
const WRITTEN_OUT = 0;

/** What is needed of the names that the lists are of. */
interface NumberedNames {
  write(to: ByteWriter, name: string): void;
  /** false: the name gets no number, and nothing was written. */
  writeNumber(to: ByteWriter, name: string): boolean;
  read(from: ByteReader): string;
}

/** The lists that begin alike, as a tree: looking one up makes no text of it. */
interface Branch {
  number: number;
  readonly next: Map<string, Branch>;
}

export class Shapes {
  private readonly root: Branch = { number: WRITTEN_OUT, next: new Map() };
  private readonly lists: (readonly string[] | undefined)[] = [undefined];
  private listed = 0;
  private unkept: { readonly number: number; readonly record: Buffer }[] = [];

  constructor(
    private readonly names: NumberedNames,
    private readonly most = LISTED_MAX,
  ) {}

  /** A list as it was kept. @throws DatabaseError XX001 when a name of it is missing */
  load(number: number, record: Buffer): void {
    const from = new ByteReader(record);
    const list: string[] = [];
    while (!from.atEnd) list.push(this.names.read(from));
    this.keep(number, list);
  }

  /** Writes a list's number; a new list gets one. */
  write(to: ByteWriter, list: readonly string[]): void {
    let branch: Branch | undefined = this.root;
    for (let i = 0; i < list.length && branch !== undefined; i++) branch = branch.next.get(list[i] ?? '');
    const number = branch === undefined || branch.number === WRITTEN_OUT ? this.add(list) : branch.number;
    to.varint(number);
    if (number !== WRITTEN_OUT) return;
    to.varint(list.length);
    for (const name of list) this.names.write(to, name);
  }

  /** @throws DatabaseError XX001 when no such list is kept */
  read(from: ByteReader): readonly string[] {
    const number = from.varint();
    if (number === WRITTEN_OUT) return Array.from({ length: from.count() }, () => this.names.read(from));
    const list = this.lists[number];
    if (list === undefined)
      throw new DatabaseError(SqlState.dataCorrupted, `the list of names ${number} is missing`);
    return list;
  }

  /** What was numbered and is not kept yet: it must be kept with the first record that uses it, or before. */
  get added(): readonly { readonly number: number; readonly record: Buffer }[] {
    return this.unkept;
  }

  /** All that `added` returned is kept. */
  settle(): void {
    if (this.unkept.length > 0) this.unkept = [];
  }

  /** A number whose list cannot be read; it is not given again. */
  reserve(number: number): void {
    this.lists[number] = undefined;
  }

  private add(list: readonly string[]): number {
    if (list.length > LIST_MAX || this.listed + list.length >= this.most) return WRITTEN_OUT;
    const record = new ByteWriter(4 * list.length + 4);
    // A name that is written out itself would make the record as long as the list.
    for (const name of list) if (!this.names.writeNumber(record, name)) return WRITTEN_OUT;
    const number = this.lists.length;
    this.keep(number, list);
    this.unkept.push({ number, record: record.result() });
    return number;
  }

  private keep(number: number, list: readonly string[]): void {
    let branch = this.root;
    for (const name of list) {
      let next = branch.next.get(name);
      if (next === undefined) branch.next.set(name, (next = { number: WRITTEN_OUT, next: new Map() }));
      branch = next;
    }
    branch.number = number;
    this.lists[number] = list;
    this.listed += list.length + 1;
  }
}
