import type { Node } from 'libpg-query';
import { isObject } from './ast.js';

/** What of a relation a statement can read. */
export interface ColumnUse {
  /** Names that stand anywhere in the statement: no column of another name is read. */
  readonly names: ReadonlySet<string>;
  /** Names behind the relation's own; one that is no column makes PostgreSQL hand over the whole row. */
  readonly own: ReadonlySet<string>;
}

/**
 * Finds out which columns of its relations a statement reads, by the names in its syntax tree alone. All there are, where
 * `*`, a natural join, other names for columns or a name for the whole row make more than what is named count.
 */
export class ColumnUses {
  private readonly names = new Set<string>();
  /** The last names of column references, which may be a relation's. */
  private readonly last = new Set<string>();
  private readonly qualified = new Map<string, Set<string>>();
  private isAny = false;

  constructor(node: Node) {
    this.walk(node);
  }

  /** @param alias what the statement calls the relation. @returns null where all columns may be read */
  of(alias: string): ColumnUse | null {
    if (this.isAny || this.last.has(alias)) return null;
    return { names: this.names, own: this.qualified.get(alias) ?? new Set() };
  }

  private walk(value: unknown): void {
    if (!isObject(value)) return;
    if (Array.isArray(value)) {
      for (const item of value) this.walk(item);
      return;
    }
    for (const [key, inner] of Object.entries(value)) {
      if (key === 'A_Star' || key === 'colnames' || (key === 'isNatural' && inner === true))
        this.isAny = true;
      else if (key === 'sval' && typeof inner === 'string') this.names.add(inner);
      else if (key === 'ColumnRef') this.reference(inner);
      // COPY of a relation instead of a query.
      else if (key === 'CopyStmt') this.isAny ||= isObject(inner) && inner['relation'] !== undefined;
      this.walk(inner);
    }
  }

  private reference(reference: unknown): void {
    const fields = isObject(reference) && Array.isArray(reference['fields']) ? reference['fields'] : [];
    const names = fields.map((field: unknown) => {
      const text = isObject(field) ? field['String'] : undefined;
      return isObject(text) && typeof text['sval'] === 'string' ? text['sval'] : '';
    });
    const [name = '', relation] = [...names].reverse();
    this.last.add(name);
    if (relation === undefined) return;
    const own = this.qualified.get(relation) ?? new Set();
    own.add(name);
    this.qualified.set(relation, own);
  }
}
