import type { Grant } from '../../engine/types.js';
import type { ReadModelConnection, RoleLogin } from '../../readmodel/index.js';
import type { SessionReadModel } from '../ports.js';
import type { CallClient } from './callClient.js';
import type { ThreadData } from './messages.js';
import type { NewsReader } from './news.js';
import type { Progress } from './shared.js';

/** The read model as sessions on another thread see it. They connect to its PostgreSQL by themselves. */
export class RemoteReadModel implements SessionReadModel {
  private readonly listeners: (() => void)[] = [];

  constructor(
    private readonly client: CallClient,
    private readonly progress: Progress,
    private readonly news: NewsReader,
    private readonly backend: ThreadData['backend'],
  ) {}

  get pid(): number | null {
    return this.progress.pid;
  }

  waitFor(position: bigint, signal?: AbortSignal): Promise<void> {
    if (this.progress.hasApplied(position, BigInt(this.news.schema.revision))) return Promise.resolve();
    return this.client.call('waitFor', [position], signal);
  }

  roleFor(grants: readonly Grant[]): Promise<RoleLogin> {
    return this.client.call('roleFor', [grants]);
  }

  connection(role: RoleLogin): ReadModelConnection {
    return { ...this.backend, ...role };
  }

  query(text: string, values: readonly unknown[] = []): ReturnType<SessionReadModel['query']> {
    return this.client.call('query', [text, values]);
  }

  on(_: 'down', listener: () => void): void {
    this.listeners.push(listener);
  }

  isDown(): void {
    for (const listener of this.listeners) listener();
  }
}
