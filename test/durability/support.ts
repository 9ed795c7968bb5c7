/** What the durability tests share: looking at files as bytes, and reading rows as PostgreSQL prints them. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import type pg from 'pg';

/** Every file below a directory, sorted. */
export function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** A hash over names and bytes of all files, except those whose relative path `skip` matches. */
export function hashOfFiles(directory: string, skip: RegExp = /^$/): string {
  const hash = createHash('sha256');
  for (const path of filesBelow(directory)) {
    const name = relative(directory, path);
    if (skip.test(name)) continue;
    hash.update(`${name}\0`).update(createHash('sha256').update(readFileSync(path)).digest());
  }
  return hash.digest('hex');
}

/** The needles that stand in any file below the directory, as `needle in file`. */
export function grep(directory: string, needles: readonly string[]): string[] {
  const found: string[] = [];
  for (const path of filesBelow(directory)) {
    const bytes = readFileSync(path);
    for (const needle of needles)
      if (bytes.includes(needle)) found.push(`${needle} in ${relative(directory, path)}`);
  }
  return found;
}

/** A configuration for `connect`: every value stays the text PostgreSQL sent. */
export const asText: pg.ClientConfig = {
  types: { getTypeParser: () => (value: unknown) => value },
};

export interface VerifyAnswer {
  readonly verified: boolean;
  readonly size: string;
  readonly events: string;
  readonly aggregates: string;
}

export async function callVerify(client: pg.Client): Promise<VerifyAnswer> {
  const { rows } = await client.query<VerifyAnswer>('CALL verify()');
  const [row] = rows;
  if (row === undefined) throw new Error('CALL verify() gave no row');
  return row;
}
