import { readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/** The account the PostgreSQL child runs under. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

const NOBODY: Account = { uid: 65534, gid: 65534 };

/**
 * PostgreSQL refuses to run as root. As root the child gets the account `postgres` if there is one, else `nobody`;
 * otherwise our own (null: no change).
 */
export function childAccount(passwdFile = '/etc/passwd'): Account | null {
  if (process.getuid?.() !== 0) return null;
  let text = '';
  try {
    text = readFileSync(passwdFile, 'utf8');
  } catch {
    return NOBODY;
  }
  const accounts = new Map(text.split('\n').map((line) => [line.split(':')[0], line.split(':')] as const));
  for (const name of ['postgres', 'nobody']) {
    const entry = accounts.get(name);
    const [uid, gid] = [Number(entry?.[2]), Number(entry?.[3])];
    if (uid > 0 && gid > 0) return { uid, gid };
  }
  return NOBODY;
}

/** May the account walk into every directory from `/` down to `path`? Judged by mode bits; ACLs are not looked at. */
export function canTraverse(account: Account, path: string): boolean {
  for (let directory = path; ; directory = dirname(directory)) {
    const { uid, gid, mode } = statSync(directory);
    const bit = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return false;
    if (directory === dirname(directory)) return true;
  }
}
