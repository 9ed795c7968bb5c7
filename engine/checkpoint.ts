/**
 * Checkpoints: C2SP signed notes (c2sp.org/signed-note, c2sp.org/tlog-checkpoint) over the store tree, Ed25519.
 * Signed at most a second after the sync that made their size durable, and on demand; never before. The last one is
 * also kept as a file beside the store, so that a store that lost its tail is noticed when it is opened.
 */
import { sign, verify, createPublicKey, type KeyObject } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { Prefix, prefixRange } from './codec/keys.js';
import { checkpointKey } from './commit/encode.js';
import type { CommitLoop } from './commit/loop.js';
import { rawPublicKey } from './crypto/keyring.js';
import { sha256 } from './crypto/hash.js';
import { DatabaseError, SqlState } from './errors.js';
import type { Repository } from './repository.js';
import type { StoreTree } from './storeTree.js';
import { frontierRoot } from './tree.js';

const FILE = 'checkpoint';
const DELAY_MS = 1000;

export interface Checkpoint {
  readonly origin: string;
  readonly size: number;
  readonly root: Buffer;
  readonly note: string;
}

export class Checkpoints {
  readonly origin: string;
  /** C2SP verifier key: `origin+hash+base64(0x01 ‖ public key)`. */
  readonly verifierKey: string;
  private readonly publicKey: KeyObject;
  private readonly keyHash: Buffer;
  private timer: NodeJS.Timeout | null = null;
  private lastSize = -1;
  private saving: Promise<void> = Promise.resolve();

  constructor(
    private readonly repository: Repository,
    private readonly loop: CommitLoop,
    private readonly signingKey: KeyObject,
    private readonly directory: string | null,
    storeId: Buffer,
    private readonly onError: (error: unknown) => void,
  ) {
    this.origin = `eventfuldb/${storeId.toString('hex')}`;
    this.publicKey = createPublicKey(signingKey);
    const key = Buffer.concat([Buffer.of(1), rawPublicKey(signingKey)]);
    this.keyHash = sha256(Buffer.concat([Buffer.from(`${this.origin}\n`), key])).subarray(0, 4);
    this.verifierKey = `${this.origin}+${this.keyHash.toString('hex')}+${key.toString('base64')}`;
  }

  /** Makes sure that a checkpoint follows within a second. */
  schedule(): void {
    this.timer ??= setTimeout(() => {
      this.timer = null;
      this.create().catch(this.onError);
    }, DELAY_MS).unref();
  }

  /** Signs the store as it is now and keeps the result. What was appended without waiting for the disk gets there first. */
  async create(): Promise<Checkpoint> {
    const { position, frontier } = this.loop.state.progress;
    await this.loop.synced();
    const root = frontierRoot(frontier);
    const body = `${this.origin}\n${position}\n${root.toString('base64')}\n`;
    const signature = sign(null, Buffer.from(body), this.signingKey);
    const encoded = Buffer.concat([this.keyHash, signature]).toString('base64');
    const note = `${body}\n— ${this.origin} ${encoded}\n`;
    if (position !== this.lastSize) {
      this.lastSize = position;
      this.saving = this.saving.catch(() => undefined).then(() => this.save(position, note));
    }
    try {
      await this.saving;
    } catch (error) {
      // The next one tries again, also where nothing was appended since.
      this.lastSize = -1;
      throw error;
    }
    return { origin: this.origin, size: position, root, note };
  }

  private async save(size: number, note: string): Promise<void> {
    const entry = this.repository.sealed(checkpointKey(size), Buffer.from(note));
    await this.repository.store.write([entry, ...this.repository.dictionary.nonceEntries()]);
    if (this.directory === null) return;
    const path = join(this.directory, FILE);
    const file = await open(`${path}.new`, 'w', 0o600);
    try {
      await file.writeFile(note);
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(`${path}.new`, path);
  }

  async close(): Promise<void> {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    if (this.loop.state.progress.position > 0) await this.create();
  }

  /** Reads a note of ours and checks its signature. @throws DatabaseError XX001 */
  parse(note: string): Checkpoint {
    const cut = note.indexOf('\n\n');
    const body = note.slice(0, cut + 1);
    const [origin = '', size = '', root = ''] = body.split('\n');
    const signature = /^— \S+ (\S+)\n$/.exec(note.slice(cut + 2))?.[1];
    const bytes = Buffer.from(signature ?? '', 'base64');
    const ok =
      cut > 0 &&
      origin === this.origin &&
      bytes.subarray(0, 4).equals(this.keyHash) &&
      verify(null, Buffer.from(body), this.publicKey, bytes.subarray(4));
    if (!ok) throw new DatabaseError(SqlState.dataCorrupted, 'a checkpoint is not signed by this store');
    return { origin, size: Number(size), root: Buffer.from(root, 'base64'), note };
  }

  /** The kept checkpoints, oldest first. */
  async *all(): AsyncGenerator<Checkpoint> {
    for await (const { key, value } of this.repository.store.scan(prefixRange(Prefix.checkpoint)))
      yield this.parse(this.repository.unseal(key, value).toString());
  }

  /** The newest of the kept checkpoints and the one beside the store. */
  async latest(): Promise<Checkpoint | null> {
    let newest = this.beside();
    const range = { ...prefixRange(Prefix.checkpoint), reverse: true, limit: 1 };
    for await (const { key, value } of this.repository.store.scan(range)) {
      const kept = this.parse(this.repository.unseal(key, value).toString());
      if (newest === null || kept.size > newest.size) newest = kept;
    }
    return newest;
  }

  /** The checkpoint kept beside the store, null when there is none. */
  beside(): Checkpoint | null {
    const path = this.directory === null ? null : join(this.directory, FILE);
    if (path === null || !existsSync(path)) return null;
    return this.parse(readFileSync(path, 'utf8'));
  }

  /**
   * Holds the store against the checkpoint kept beside it.
   * @throws DatabaseError XX001 when the store is shorter than what was signed, or another
   */
  async checkTail(tree: StoreTree): Promise<void> {
    const kept = this.beside();
    if (kept === null) return;
    const { position } = this.loop.state.progress;
    if (position < kept.size) {
      throw new DatabaseError(SqlState.dataCorrupted, 'the store has lost its newest events', {
        detail: `The last checkpoint covers ${kept.size} positions, the store holds ${position}.`,
        hint: 'Restore the missing part of the commit log; nothing was changed.',
      });
    }
    const root = await tree.root(kept.size).catch(() => null);
    // Inner nodes only save work: a damaged one must not keep the store closed, or nobody could verify and name it.
    if (root?.equals(kept.root) === true || (await tree.rootFromLeaves(kept.size)).equals(kept.root)) return;
    throw new DatabaseError(
      SqlState.dataCorrupted,
      'the store does not continue what its last checkpoint signed',
    );
  }
}
