import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createKeyring, openKeyring, type Keyring } from './crypto/keyring.js';
import type { AggregateDefinition, Fields, NewEvent, Writer } from './types.js';

export const writer: Writer = { actor: 'user:tester', tokenId: null, writeLimit: null };

/** The keyring of a store of its own, whose directory is gone already: for engines in memory. For tests only. */
export function testKeyring(): Keyring {
  const directory = mkdtempSync(join(tmpdir(), 'keyring-'));
  const keys = { masterKey: randomBytes(32), dek: randomBytes(32) };
  try {
    createKeyring(directory, keys);
    return openKeyring(directory, keys);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** A type of aggregates, with one type of events, that takes any field. */
export function openType(type: string, snapshotThreshold: number): AggregateDefinition {
  const events = [{ name: 'written', fields: null }];
  return { type, fields: [], events, open: true, snapshotThreshold, comment: null };
}

/** An event of such a type. */
export function written(aggregateType: string, aggregateId: string, payload: Fields): NewEvent {
  return {
    aggregateType,
    aggregateId,
    eventType: 'written',
    payload,
    metadata: null,
    eventId: null,
    expected: { kind: 'any' },
    ignoreDuplicate: false,
  };
}

export async function collect<T>(batches: AsyncIterable<readonly T[]>): Promise<T[]> {
  const rows: T[] = [];
  for await (const batch of batches) rows.push(...batch);
  return rows;
}
