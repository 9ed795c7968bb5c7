/**
 * initdb takes more than half of the CPU time that starting an empty server takes, and the tests start hundreds. It is run
 * once for all of them: each server then finds a cluster in the place of its read model, as if it had been killed right
 * after its own initdb.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readModelPath } from '../readmodel/directory.js';
import { EmbeddedPostgres } from '../readmodel/postgres.js';

const VARIABLE = 'EVENTFUL_TEST_CLUSTER';
const SILENT = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** Run by vitest before all tests (vitest.config.ts). @returns what it is to run after them */
export async function setup(): Promise<() => void> {
  // In memory, as what is copied from it; else where temporary files are.
  const parent = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'eventful-template-'));
  // PostgreSQL runs as another user than root.
  execFileSync('chmod', ['755', parent]);
  const postgres = new EmbeddedPostgres('template', parent, SILENT);
  await postgres.start();
  await postgres.stop();
  process.env[VARIABLE] = postgres.directory;
  return () => rmSync(parent, { recursive: true, force: true });
}

/** Puts a cluster where the read model of a new store will look for one; elsewhere than in a test run, nothing. */
export function placeCluster(storeId: string): void {
  const template = process.env[VARIABLE];
  if (template === undefined) return;
  // With owners and modes, which Node's own copying leaves out.
  execFileSync('cp', ['-a', template, readModelPath(storeId)]);
}
