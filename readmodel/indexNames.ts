import { createHash } from 'node:crypto';
import { quoteIdentifier } from './session.js';

/**
 * The index of another table's key, which PostgreSQL has named, makes room for a relation of that name: an aggregate
 * may be called `patient_pkey`.
 */
export function giveWay(schema: string, name: string): string {
  const elsewhere = createHash('sha256').update(name).digest('hex').slice(0, 16);
  return `ALTER INDEX IF EXISTS ${schema}.${quoteIdentifier(name)} RENAME TO pg_key_${elsewhere}`;
}
