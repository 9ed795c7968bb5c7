import type { Grant, Schema } from '../../engine/types.js';
import type {
  FillOptions,
  PastAnswer,
  PastRequest,
  ReadModelConnection,
  RoleLogin,
  ViewDraft,
  ViewShape,
} from '../../readmodel/index.js';
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

  hasApplied(position: bigint): boolean {
    return this.progress.hasApplied(position, BigInt(this.news.schema.revision));
  }

  waitFor(position: bigint, signal?: AbortSignal): Promise<void> {
    return this.hasApplied(position) ? Promise.resolve() : this.client.call('waitFor', [position], signal);
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

  past(request: PastRequest, signal?: AbortSignal): Promise<PastAnswer> {
    return this.client.call('past', [request], signal);
  }

  tryView(schema: Schema, draft: ViewDraft): Promise<ViewShape> {
    return this.client.call('tryView', [schema, draft]);
  }

  fillViews(names: readonly string[], { signal }: FillOptions): Promise<ReadonlyMap<string, string>> {
    return this.client.call('fillViews', [names], signal);
  }

  refreshView(name: string, withData: boolean, { signal }: FillOptions): Promise<void> {
    return this.client.call('refreshView', [name, withData], signal);
  }

  on(_: 'down', listener: () => void): void {
    this.listeners.push(listener);
  }

  isDown(): void {
    for (const listener of this.listeners) listener();
  }
}
