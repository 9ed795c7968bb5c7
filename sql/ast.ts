import type { A_Const, Node, TypeName } from 'libpg-query';

type KeyOf<T> = T extends T ? keyof T : never;
/** The name of a node kind in PostgreSQL's syntax tree. */
export type NodeKind = KeyOf<Node>;
type NodeOf<K extends NodeKind> = Extract<Node, Record<K, unknown>> extends infer N ? N[K & keyof N] : never;

/** The node's content if it is of that kind. */
export function unwrap<K extends NodeKind>(node: Node | undefined, kind: K): NodeOf<K> | undefined {
  if (node === undefined) return undefined;
  return (node as Partial<Record<K, NodeOf<K>>>)[kind];
}

/** The kind of a node: its only key. */
export function kindOf(node: Node | undefined): string {
  return node === undefined ? '' : (Object.keys(node)[0] ?? '');
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

/** Whether `*` or `x.*`, any number of columns, stands somewhere in it. */
export function holdsStar(node: unknown): boolean {
  return JSON.stringify(node ?? null).includes('"A_Star"');
}

/** The texts of a list of String nodes; null where another kind stands among them. */
export function strings(nodes: readonly Node[] | undefined): string[] | null {
  const texts: string[] = [];
  for (const node of nodes ?? []) {
    const text = unwrap(node, 'String');
    if (text === undefined) return null;
    texts.push(text.sval ?? '');
  }
  return texts;
}

/** A constant's text as PostgreSQL would print it; undefined for bit strings. */
export function constantText(constant: A_Const): string | null | undefined {
  if (constant.isnull === true) return null;
  if (constant.sval !== undefined) return constant.sval.sval ?? '';
  if (constant.ival !== undefined) return String(constant.ival.ival ?? 0);
  if (constant.fval !== undefined) return numericText(constant.fval.fval ?? '0');
  if (constant.boolval !== undefined) return constant.boolval.boolval === true ? 'true' : 'false';
  return undefined;
}

/** Digits are kept as written; only spellings that no number prints as are undone. */
function numericText(written: string): string {
  const plain = written.replace(/_/g, '');
  const radix = /^(-?)(0[xXoObB][0-9A-Fa-f]+)$/.exec(plain);
  if (radix !== null) return `${radix[1] ?? ''}${BigInt(radix[2] ?? '0').toString()}`;
  return plain.replace(/^(-?)\./, '$10.').replace(/\.$/, '');
}

/** A type's own name without schema, and whether it carries modifiers or array brackets. */
export interface TypeReference {
  readonly name: string;
  readonly modified: boolean;
  readonly array: boolean;
}

export function typeReference(type: TypeName | undefined): TypeReference {
  const names = strings(type?.names) ?? [];
  const schema = names.length > 1 ? names[0] : 'pg_catalog';
  return {
    name: schema === 'pg_catalog' ? (names.at(-1) ?? '') : names.join('.'),
    modified: (type?.typmods?.length ?? 0) > 0,
    array: (type?.arrayBounds?.length ?? 0) > 0,
  };
}
