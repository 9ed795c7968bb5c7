import type { Grant } from '../../engine/types.js';
import type { SessionReadModel } from '../ports.js';
import { connectBackend } from './connect.js';
import type { RelayPool } from './pool.js';
import { SharedReader } from './sharedReader.js';

/** More kinds of sessions than this read over connections of their own. */
const READERS_MAX = 16;
const APPLICATION_NAME = 'eventful shared reads';

/** The shared readers of a thread: one for all sessions with the same rights and the same settings from their start. */
export class SharedReaders {
  private readonly readers = new Map<string, SharedReader>();

  constructor(
    private readonly readModel: SessionReadModel,
    private readonly pool: RelayPool,
  ) {}

  /**
   * @param settings of the startup packet, as for a connection of the session's own
   * @returns null when there are too many kinds already
   */
  async of(grants: readonly Grant[], settings: ReadonlyMap<string, string>): Promise<SharedReader | null> {
    const { readModel } = this;
    const own = new Map(settings);
    own.delete('application_name');
    const { user } = await readModel.roleFor(grants);
    const key = JSON.stringify([user, [...own].sort()]);
    const known = this.readers.get(key);
    if (known !== undefined) return known;
    if (this.readers.size >= READERS_MAX) return null;
    own.set('application_name', APPLICATION_NAME);
    // The role's password is another one when the read model was made anew.
    const connect = async (): ReturnType<typeof connectBackend> =>
      connectBackend(readModel.connection(await readModel.roleFor(grants)), own);
    const reader = new SharedReader(connect, this.pool, () => this.readers.delete(key));
    this.readers.set(key, reader);
    return reader;
  }
}
