/**
 * Names that come again and again (types, event types, actors, fields) are kept once and stood for by a number. A name
 * gets its number in the group that first uses it, and keeps it for ever.
 */
import { DatabaseError, SqlState } from '../errors.js';
import type { ByteReader, ByteWriter } from './bytes.js';
import { Shapes } from './shapes.js';

/** More names than this are written out where they are used, so that memory stays bounded. */
const NAMES_MAX = 200_000;
/** In place of a number: the name itself follows. */
const WRITTEN_OUT = 0;

export class Names {
  private readonly numbers = new Map<string, number>();
  private readonly names: (string | undefined)[] = [undefined];
  private unkept: { readonly number: number; readonly name: string }[] = [];

  /** Lists of these names. */
  readonly shapes: Shapes;

  constructor(
    private readonly most = NAMES_MAX,
    mostInShapes?: number,
  ) {
    this.shapes = new Shapes(this, mostInShapes);
  }

  /** A name as it was kept. */
  load(number: number, name: string): void {
    this.names[number] = name;
    this.numbers.set(name, number);
  }

  /** Writes a name's number; a new name gets one. */
  write(to: ByteWriter, name: string): void {
    const number = this.numbers.get(name) ?? this.add(name);
    to.varint(number);
    if (number === WRITTEN_OUT) to.text(name);
  }

  /** The same for a name that has a number or gets one; false: it gets none, and nothing was written. */
  writeNumber(to: ByteWriter, name: string): boolean {
    const number = this.numbers.get(name) ?? this.add(name);
    if (number !== WRITTEN_OUT) to.varint(number);
    return number !== WRITTEN_OUT;
  }

  /** @throws DatabaseError XX001 when no such name is kept */
  read(from: ByteReader): string {
    const number = from.varint();
    if (number === WRITTEN_OUT) return from.text();
    const name = this.names[number];
    if (name === undefined) throw new DatabaseError(SqlState.dataCorrupted, `name ${number} is missing`);
    return name;
  }

  /** What was numbered and is not kept yet: it must be kept with the first record that uses it, or before. */
  get added(): readonly { readonly number: number; readonly name: string }[] {
    return this.unkept;
  }

  /** All that `added` returned is kept. */
  settle(): void {
    if (this.unkept.length > 0) this.unkept = [];
  }

  /** A number whose name cannot be read; it is not given again. */
  reserve(number: number): void {
    this.names[number] = undefined;
  }

  private add(name: string): number {
    if (this.names.length > this.most) return WRITTEN_OUT;
    const number = this.names.length;
    this.load(number, name);
    this.unkept.push({ number, name });
    return number;
  }
}
