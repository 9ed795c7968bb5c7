import type { Schema } from '../engine/types.js';
import { catalogueOf } from './catalogue.js';
import { parseStatements } from './parse.js';
import type { Statement } from './statement.js';

export interface StatementCacheLimits {
  readonly entries: number;
  /** Of all cached texts together; a parsed statement takes several times its text. */
  readonly bytes: number;
  /** A longer text is parsed each time: it is a bulk load, not a statement that comes again. */
  readonly textBytes: number;
}

const DEFAULT_LIMITS: StatementCacheLimits = { entries: 2000, bytes: 8 * 1024 * 1024, textBytes: 64 * 1024 };

/** Parsed statements by text, least recently used first to go. A change of the schema empties it. */
export class StatementCache {
  readonly #limits: StatementCacheLimits;
  readonly #entries = new Map<
    string,
    { readonly statements: readonly Statement[]; readonly bytes: number }
  >();
  #bytes = 0;
  #revision: number | undefined;

  constructor(limits: Partial<StatementCacheLimits> = {}) {
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The statements of a text under this schema. Errors are not cached. */
  get(sql: string, schema: Schema): readonly Statement[] {
    if (this.#revision !== schema.revision) {
      this.#entries.clear();
      this.#bytes = 0;
      this.#revision = schema.revision;
    }
    const cached = this.#entries.get(sql);
    if (cached !== undefined) {
      this.#entries.delete(sql);
      this.#entries.set(sql, cached);
      return cached.statements;
    }
    const statements = parseStatements(sql, catalogueOf(schema));
    this.#add(sql, statements);
    return statements;
  }

  #add(sql: string, statements: readonly Statement[]): void {
    const bytes = Buffer.byteLength(sql);
    if (bytes > this.#limits.textBytes) return;
    this.#entries.set(sql, { statements, bytes });
    this.#bytes += bytes;
    for (const [text, entry] of this.#entries) {
      if (this.#entries.size <= this.#limits.entries && this.#bytes <= this.#limits.bytes) return;
      this.#entries.delete(text);
      this.#bytes -= entry.bytes;
    }
  }
}
