/** Where the demo keeps its store: a fresh directory, removed at the end; what killed runs left is removed as well. */
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { storeIdOf } from '../../engine/index.js';
import { runningServer } from '../../cli/pidfile.js';
import { removeReadModel } from '../../readmodel/index.js';

const PREFIX = '.eventful-demo-';
/** One that is younger may be about to start. */
const ABANDONED_MS = 600_000;

export function makePlace(): string {
  return mkdtempSync(join(tmpdir(), PREFIX));
}

/** Removes what demos left that did not end by themselves: their data would stay in memory. */
export async function removeAbandoned(): Promise<void> {
  for (const name of readdirSync(tmpdir())) {
    if (!name.startsWith(PREFIX)) continue;
    const directory = join(tmpdir(), name);
    const { uid, mtimeMs } = statSync(directory);
    const abandoned = uid === process.getuid?.() && Date.now() - mtimeMs > ABANDONED_MS;
    if (!abandoned || runningServer(directory) !== null) continue;
    try {
      await removeReadModel(storeIdOf(directory));
    } catch {
      // No keyring, so no read model; or one in use, which its owner removes.
    }
    rmSync(directory, { recursive: true, force: true });
  }
}
