import { dictionaryKey, dictionaryNumber, Prefix, prefixRange, type DictionaryPrefix } from './codec/keys.js';
import type { Names } from './codec/names.js';
import type { Sealer } from './crypto/seal.js';
import type { Entry, Store } from './store/store.js';

/** Keeps what records have numbers for: names, lists of names, and what nonces begin with. */
export class Dictionary {
  /** The newest prefix of nonces that `entries` returned. */
  private offered = 0;

  constructor(
    private readonly store: Store,
    private readonly sealer: Sealer,
    private readonly names: Names,
  ) {}

  /** Reads what nonces begin with; to be called before any record is read. */
  async loadNonces(): Promise<void> {
    for await (const { key, value } of this.store.scan(prefixRange(Prefix.nonces)))
      this.sealer.nonces.load(dictionaryNumber(key), value);
  }

  /** Reads everything; to be called before records of aggregates are read. */
  async load(): Promise<void> {
    const { names } = this;
    await this.loadNonces();
    await this.loadNumbered(Prefix.name, names, (number, plain) => names.load(number, plain.toString()));
    await this.loadNumbered(Prefix.shape, names.shapes, (number, plain) => names.shapes.load(number, plain));
  }

  private async loadNumbered(
    prefix: DictionaryPrefix,
    into: { reserve(number: number): void },
    load: (number: number, plain: Buffer) => void,
  ): Promise<void> {
    for await (const { key, value } of this.store.scan(prefixRange(prefix))) {
      const number = dictionaryNumber(key);
      try {
        load(number, this.sealer.open(key, value));
      } catch {
        // Whoever meets its number says so; the number must not be given again.
        into.reserve(number);
      }
    }
  }

  /** The records of what was numbered since the last group, to be asked for when all of the group is sealed. */
  entries(): Entry[] {
    const { names } = this;
    const entries = [
      ...names.added.map(({ number, name }) => this.sealed(Prefix.name, number, Buffer.from(name))),
      ...names.shapes.added.map(({ number, record }) => this.sealed(Prefix.shape, number, record)),
    ];
    this.offered = this.sealer.nonces.newest;
    return [...entries, ...this.nonceEntries()];
  }

  /** What the nonces of records sealed so far begin with, as long as the log has it not: goes with every batch. */
  nonceEntries(): Entry[] {
    return this.sealer.nonces.added.map(({ number, prefix }) => ({
      key: dictionaryKey(Prefix.nonces, number),
      value: prefix,
    }));
  }

  /** What `entries` returned is in the log. */
  settle(): void {
    this.sealer.nonces.settle(this.offered);
    this.names.settle();
    this.names.shapes.settle();
  }

  private sealed(prefix: DictionaryPrefix, number: number, plain: Buffer): Entry {
    const key = dictionaryKey(prefix, number);
    return { key, value: this.sealer.seal(key, plain) };
  }
}
